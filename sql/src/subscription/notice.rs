//! What a NOTIFY needs: a dialog is taken with its CSeq. RFC 6665 section 4.2.2; CSeq: RFC 3261 section 12.2.1.1.

use std::time::SystemTime;

use tokio_postgres::Row;

use super::Subscriptions;
use crate::registry::subscription;
use crate::statement::batch;
use crate::{Claimed, Resource, StoreError, ordinal, route_set};

/// A dialog that got its next CSeq and must now be sent a NOTIFY, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenDialog {
    /// Row id.
    pub id: i64,
    /// Position of its resource in the slice given to [`Subscriptions::take_free`].
    pub resource_index: usize,
    /// `id` parameter of Event, or `""`.
    pub event_id: String,
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub to_tag: String,
    /// The subscriber's tag.
    pub from_tag: String,
    /// From of the NOTIFY without tag.
    pub local_uri: String,
    /// To of the NOTIFY without tag.
    pub remote_uri: String,
    /// Remote target.
    pub contact: String,
    /// Route set, in the order to be used.
    pub record_route: Vec<String>,
    /// First route of our own, or `""`.
    pub flow: String,
    /// Our Contact.
    pub local_contact: String,
    /// User of the watcher.
    pub watcher_username: String,
    /// Domain of the watcher.
    pub watcher_domain: String,
    /// Accept header of the SUBSCRIBE, or `""`.
    pub accept: String,
    /// CSeq of this NOTIFY.
    pub cseq: u32,
    /// Document version of this NOTIFY: grows by one with each of the dialog.
    pub version: u32,
    /// Grows when the contact or the flow changes.
    pub target_version: i32,
    /// CSeq of the last SUBSCRIBE.
    pub remote_cseq: u32,
    /// Kamailio's number: 1 active, 2 pending, 3 terminated, 4 waiting.
    pub status: i16,
    /// Why it is pending or terminated (`timeout`, `rejected`), or `""`.
    pub reason: String,
    /// Seconds left; 0 when terminated; [`u32::MAX`] when it never ends.
    pub expires_s: u32,
    /// NOTIFYs failed since the last good one.
    pub failures: u32,
    /// What it is shown: `all`, the words of a view, `polite-block`, or `none` for no body.
    pub view: String,
    /// Its numbers were used up: it has ended, and there is nothing to send.
    pub ended: bool,
    /// What a partial document must reach back to; `None`: it must be full. Only documents that can be either look here.
    pub partial_since: Option<SystemTime>,
    /// A document in pieces goes on after this [`crate::Watcher::id`]; `None`: it does not.
    pub told_to: Option<i64>,
    /// It is shown what was looked at before it was taken ([`Seen`]); if not, that is to be read now.
    pub is_known: bool,
    /// There is nothing new for it: it took no CSeq, and nothing is to be sent.
    pub silent: bool,
}

/// What came of a take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The dialogs that were taken.
    pub dialogs: Vec<TakenDialog>,
    /// Positions of resources with due dialogs that could not be taken, because another transaction holds their rows. Not known where no
    /// dialog at all was taken ([`crate::TakenState::Doubted`]).
    pub left_behind: Vec<usize>,
    /// As many were chosen as the limit allows: there may be more, of any of the resources.
    pub is_cut: bool,
}

/// A resource that this notifier holds, offered to [`Subscriptions::take_free`].
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What is held.
    pub resource: &'a Resource,
    /// What its dialogs will be shown. `None`: that is read after they are taken, and all for which the state is due are taken.
    pub seen: Option<&'a Seen>,
}

/// What the dialogs of a resource will be shown, made of what was read before they are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// [`crate::LastChange::version`] of the claim before they were read.
    pub version: i64,
    /// Digest of what the view `all` shows.
    pub digest: i64,
    /// Those of the other views, by their name in `active_watchers.view`.
    pub other_digests: Vec<(String, i64)>,
    /// `Some`: an answer that has nothing to show is left out (`send_fast_notify`); and whether nothing is published.
    pub quiet: Option<bool>,
    /// Dialogs of who made the last changes, [`crate::LastChange::by`].
    pub own: Vec<i64>,
}

/// Who watches, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchingDialog {
    /// Position in the slice given to [`Subscriptions::list_contacts`].
    pub resource_index: usize,
    /// Row id.
    pub id: i64,
    /// Remote target.
    pub contact: String,
    /// User of the watcher.
    pub watcher_username: String,
    /// Domain of the watcher.
    pub watcher_domain: String,
}

impl Subscriptions<'_> {
    /// Takes up to `limit` due dialogs of resources that `owner` holds, and gives each its next CSeq.
    /// The only place where a CSeq is taken. Send each dialog exactly once: of those that are not [`TakenDialog::is_known`] read the
    /// publications *after* this.
    ///
    /// A change of state that shows a dialog what it was shown last is none for it ([`Seen`]): it is not taken.
    ///
    /// Dialogs in `in_flight` (id, target_version as taken) are left alone unless their target has changed: then cancel the
    /// old transaction. Resources whose lease is over by the database's clock give nothing. If the call fails, some may
    /// have been taken all the same: give these resources up (no renewal, no settling, not among `held` of the next
    /// [`crate::Queue::claim`]), so that their lease runs out and they are recovered.
    ///
    /// # Locks
    /// Free rows of `active_watchers` (SKIP LOCKED) by (presentity_uri, event, id); none of `notify_queue`.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take_free<'a, O: Into<Offer<'a>>>(
        &self,
        owner: i64,
        offers: impl IntoIterator<Item = O>,
        in_flight: &[(i64, i32)],
        limit: u32,
    ) -> Result<Taken, StoreError> {
        let offers: Vec<Offer<'a>> = offers.into_iter().map(Into::into).collect();
        if offers.is_empty() || limit == 0 {
            return Ok(Taken::default());
        }
        let (in_flight_id, in_flight_target): (Vec<i64>, Vec<i32>) =
            in_flight.iter().copied().unzip();
        let seen = offers.iter().filter_map(|offer| offer.seen);
        let own: Vec<i64> = seen.flat_map(|seen| seen.own.iter().copied()).collect();
        let taken = self
            .0
            .query(&batch!(
                offers,
                |offer| subscription::Take {
                    presentity_uri: &offer.resource.presentity_uri,
                    event: &offer.resource.event,
                    looked: offer.seen.map(|seen| seen.version),
                    digest: offer.seen.map(|seen| seen.digest),
                    digests: offer.seen.and_then(Seen::others),
                    quiet: offer.seen.and_then(|seen| seen.quiet),
                },
                Once {
                    owner: owner,
                    in_flight_id: in_flight_id,
                    in_flight_target: in_flight_target,
                    own_id: own,
                    limit: i64::from(limit),
                    now: self.0.now(),
                }
            ))
            .await?;
        let left_behind = taken
            .first()
            .and_then(|row| row.get::<_, Option<Vec<i64>>>("left_behind"));
        let is_cut = taken.first().is_some_and(|row| row.get("cut"));
        let place = |ordinal: i64| usize::try_from(ordinal - 1).ok();
        Ok(Taken {
            dialogs: taken.iter().map(TakenDialog::from_row).collect(),
            left_behind: left_behind
                .into_iter()
                .flatten()
                .filter_map(place)
                .collect(),
            is_cut,
        })
    }

    /// The dialogs of a resource that have not ended: id, target_version.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_open(&self, resource: &Resource) -> Result<Vec<(i64, i32)>, StoreError> {
        let rows = self
            .0
            .query(&subscription::ListOpen {
                presentity_uri: &resource.presentity_uri,
                event: &resource.event,
            })
            .await?;
        let dialog = |row: &Row| (row.get("id"), row.get("target_version"));
        Ok(rows.iter().map(dialog).collect())
    }

    /// The active dialogs of resources, and where they are.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_contacts(
        &self,
        resources: &[Resource],
    ) -> Result<Vec<WatchingDialog>, StoreError> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let found = self
            .0
            .query(&batch!(
                resources,
                |resource| subscription::ListContacts {
                    presentity_uri: &resource.presentity_uri,
                    event: &resource.event,
                },
                Once {}
            ))
            .await?;
        let dialogs = found.iter().map(|row| WatchingDialog {
            resource_index: ordinal(row, "resource"),
            id: row.get("id"),
            contact: row.get("contact"),
            watcher_username: row.get("watcher_username"),
            watcher_domain: row.get("watcher_domain"),
        });
        Ok(dialogs.collect())
    }
}

// === impl Offer ===

impl<'a> From<&'a Claimed> for Offer<'a> {
    fn from(claimed: &'a Claimed) -> Offer<'a> {
        Offer {
            resource: &claimed.resource,
            seen: None,
        }
    }
}

// === impl Seen ===

impl Seen {
    /// As the statement reads it: a JSON object.
    pub(crate) fn others(&self) -> Option<String> {
        let named = self.other_digests.iter();
        let object: serde_json::Map<String, serde_json::Value> = named
            .map(|(view, digest)| (view.clone(), (*digest).into()))
            .collect();
        (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
    }
}

// === impl TakenDialog ===

impl TakenDialog {
    fn from_row(row: &Row) -> TakenDialog {
        // The table's constraints keep them within these bounds.
        let number = |column| {
            let number = row.get::<_, i64>(column);
            u32::try_from(number.max(0)).unwrap_or(u32::MAX)
        };
        TakenDialog {
            id: row.get("id"),
            resource_index: ordinal(row, "resource"),
            event_id: row.get("event_id"),
            call_id: row.get("callid"),
            to_tag: row.get("to_tag"),
            from_tag: row.get("from_tag"),
            local_uri: row.get("local_uri"),
            remote_uri: row.get("remote_uri"),
            contact: row.get("contact"),
            record_route: route_set::split(row.get("record_route")),
            flow: row.get("flow"),
            local_contact: row.get("local_contact"),
            watcher_username: row.get("watcher_username"),
            watcher_domain: row.get("watcher_domain"),
            accept: row.get("accept"),
            cseq: number("local_cseq"),
            version: number("version"),
            target_version: row.get("target_version"),
            remote_cseq: number("remote_cseq"),
            status: row.get("status"),
            reason: row.get("reason"),
            // -1 = never, and so is more than 136 years.
            expires_s: u32::try_from(row.get::<_, i64>("expires_s")).unwrap_or(u32::MAX),
            failures: u32::try_from(row.get::<_, i32>("failures")).unwrap_or(0),
            view: row.get("view"),
            ended: row.get("ended"),
            partial_since: row.get("partial_since"),
            told_to: row.get("told_to"),
            is_known: row.get("known"),
            silent: row.get("silent"),
        }
    }
}
