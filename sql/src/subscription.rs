//! Subscription dialogs: rows of `active_watchers`. RFC 6665 sections 4.2.1 and 4.2.2; CSeq: RFC 3261 section 12.2.

use std::time::SystemTime;

pub(crate) mod watched;

use tokio_postgres::Row;

use crate::{Claimed, Resource, Store, StoreError, ordinal, registry, rounds, route_set};

/// A SUBSCRIBE without To-tag. Texts are as SIP has them; "local" is ours, "remote" the subscriber's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewSubscription {
    /// Canonical URI of the presentity.
    pub presentity_uri: String,
    /// Event package.
    pub event: String,
    /// `id` parameter of Event, or `""`.
    pub event_id: String,
    /// User of the watcher.
    pub watcher_username: String,
    /// Domain of the watcher.
    pub watcher_domain: String,
    /// User of the To header.
    pub to_user: String,
    /// Domain of the To header.
    pub to_domain: String,
    /// User of the From header.
    pub from_user: String,
    /// Domain of the From header.
    pub from_domain: String,
    /// Display name of the From header, or `""`.
    pub from_display: String,
    /// To of the SUBSCRIBE without tag: From of our NOTIFY.
    pub local_uri: String,
    /// From of the SUBSCRIBE without tag: To of our NOTIFY.
    pub remote_uri: String,
    /// Our tag, derived from the request, so that a retransmission makes no second dialog.
    pub to_tag: String,
    /// The subscriber's tag.
    pub from_tag: String,
    /// Call-ID.
    pub call_id: String,
    /// CSeq of the SUBSCRIBE.
    pub remote_cseq: u32,
    /// Remote target: URI of the Contact.
    pub contact: String,
    /// Record-Route of the SUBSCRIBE, each value raw, in its order.
    pub record_route: Vec<String>,
    /// Lifetime in seconds; 0 = fetch (RFC 6665 section 4.4.3).
    pub granted_s: u32,
    /// Accept header, or `""`.
    pub accept: String,
    /// User-Agent header, or `""`.
    pub user_agent: String,
    /// Route URI of the server that holds the phone's flow, with the signed token; `""` = none.
    pub flow: String,
    /// Our Contact in the 2xx and in each NOTIFY.
    pub local_contact: String,
    /// Socket that the request came to, as Kamailio writes it (`udp:192.0.2.1:5060`), or `""`.
    pub socket_info: String,
    /// Whether rules decide about it.
    pub authorization: Authorization,
    /// What makes a later subscription take the place of this one ([`Subscriptions::supersede_batch`]); `None`: nothing.
    pub subscriber_key: Option<String>,
}

/// Who decides about a subscription (RFC 5025). Not the server: a notifier does, before anything is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Nobody: it is active, and sees everything.
    #[default]
    Open,
    /// The presentity's rules. Without any it is active, and sees everything.
    RulesOrAllowed,
    /// The presentity's rules. Without any, what the operator says.
    Rules,
}

/// A SUBSCRIBE inside a dialog. RFC 6665 section 4.1.2.2 and 4.1.2.3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionRefresh {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub to_tag: String,
    /// The subscriber's tag.
    pub from_tag: String,
    /// Event package: it must be the dialog's.
    pub event: String,
    /// `id` parameter of Event: it must be the dialog's.
    pub event_id: String,
    /// CSeq of this SUBSCRIBE.
    pub remote_cseq: u32,
    /// New remote target; `None` keeps the old one.
    pub contact: Option<String>,
    /// Lifetime in seconds; 0 = unsubscribe.
    pub granted_s: u32,
    /// As in [`NewSubscription::flow`]; always replaces the old one.
    pub flow: String,
    /// Our new Contact; `""` keeps the old one.
    pub local_contact: String,
    /// Whether rules decide about it by now.
    pub authorization: Authorization,
}

/// What became of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscribeOutcome {
    /// Stored, now or by an earlier copy of the same request; a NOTIFY is owed. Answer 200.
    Accepted {
        /// Expires of the answer.
        granted_s: u32,
        /// To-tag of the answer.
        to_tag: String,
        /// Contact of the answer.
        local_contact: String,
    },
    /// No such dialog, or it has ended. Answer 481.
    NoDialog,
    /// CSeq lower than an earlier one. Answer 500 (RFC 3261 section 12.2.2).
    OutOfOrder,
}

/// A dialog that got its next CSeq and must now be sent a NOTIFY, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenDialog {
    /// Row id.
    pub id: i64,
    /// Position of its resource in the slice given to [`Subscriptions::take`].
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
}

/// What a final answer, or its absence, means for a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogVerdict {
    /// Row id.
    pub id: i64,
    /// As taken: a SUBSCRIBE that has come since then proves the subscriber alive and voids the verdict.
    pub remote_cseq: u32,
    /// As taken: the answer of an old address says nothing about the new one.
    pub target_version: i32,
    /// What to do.
    pub verdict: Verdict,
}

/// What to do with a dialog after its NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered. Needed only if [`TakenDialog::failures`] is not 0; else a 2xx writes nothing.
    Delivered,
    /// The dialog is over: its terminating NOTIFY was sent, or the subscriber is gone.
    Ended,
    /// The NOTIFY is still owed; try again no earlier than in this many seconds.
    Retry {
        /// Seconds.
        after_s: u32,
    },
}

/// The statements of this area; see [`Store::subscription`].
#[derive(Clone, Copy, Debug)]
pub struct Subscriptions<'a>(pub(crate) &'a Store);

impl Subscriptions<'_> {
    /// Stores new dialogs (and fetches, `granted_s` 0), each owed a NOTIFY at once; outcomes in input order.
    ///
    /// # Locks
    /// New keys of `active_watchers` in key order, then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn create_batch(
        &self,
        rows: &[NewSubscription],
    ) -> Result<Vec<SubscribeOutcome>, StoreError> {
        let presentity_uri = texts(rows, |row| &row.presentity_uri);
        let event = texts(rows, |row| &row.event);
        let event_id = texts(rows, |row| &row.event_id);
        let watcher_username = texts(rows, |row| &row.watcher_username);
        let watcher_domain = texts(rows, |row| &row.watcher_domain);
        let to_user = texts(rows, |row| &row.to_user);
        let to_domain = texts(rows, |row| &row.to_domain);
        let from_user = texts(rows, |row| &row.from_user);
        let from_domain = texts(rows, |row| &row.from_domain);
        let from_display = texts(rows, |row| &row.from_display);
        let local_uri = texts(rows, |row| &row.local_uri);
        let remote_uri = texts(rows, |row| &row.remote_uri);
        let to_tag = texts(rows, |row| &row.to_tag);
        let from_tag = texts(rows, |row| &row.from_tag);
        let call_id = texts(rows, |row| &row.call_id);
        let remote_cseq: Vec<i64> = rows.iter().map(|row| row.remote_cseq.into()).collect();
        let contact = texts(rows, |row| &row.contact);
        let record_route: Vec<String> = rows
            .iter()
            .map(|row| route_set::join(&row.record_route))
            .collect();
        let granted_s: Vec<i64> = rows.iter().map(|row| row.granted_s.into()).collect();
        let accept = texts(rows, |row| &row.accept);
        let user_agent = texts(rows, |row| &row.user_agent);
        let flow = texts(rows, |row| &row.flow);
        let local_contact = texts(rows, |row| &row.local_contact);
        let socket_info = texts(rows, |row| &row.socket_info);
        let is = |wanted: fn(Authorization) -> bool| -> Vec<bool> {
            rows.iter().map(|row| wanted(row.authorization)).collect()
        };
        let under_rules = is(Authorization::is_by_rules);
        let allowed = is(|authorization| authorization != Authorization::Rules);
        // Null when no row has a key: the statement then costs what it would without the parameter.
        let subscriber_key: Option<Vec<Option<&str>>> = rows
            .iter()
            .any(|row| row.subscriber_key.is_some())
            .then(|| {
                rows.iter()
                    .map(|row| row.subscriber_key.as_deref())
                    .collect()
            });
        let answers = self
            .0
            .query(
                &registry::SUBSCRIPTION_CREATE_BATCH,
                &[
                    &presentity_uri,
                    &event,
                    &event_id,
                    &watcher_username,
                    &watcher_domain,
                    &to_user,
                    &to_domain,
                    &from_user,
                    &from_domain,
                    &local_uri,
                    &remote_uri,
                    &to_tag,
                    &from_tag,
                    &call_id,
                    &remote_cseq,
                    &contact,
                    &record_route,
                    &granted_s,
                    &accept,
                    &user_agent,
                    &flow,
                    &local_contact,
                    &socket_info,
                    &self.0.now(),
                    &under_rules,
                    &allowed,
                    &from_display,
                    &subscriber_key,
                ],
            )
            .await?;
        rows.iter()
            .zip(answers)
            .map(|(row, answer)| accepted(&row.to_tag, &answer))
            .collect()
    }

    /// Of the subscriptions of one subscriber (presentity, event and its id, watcher, `subscriber_key`) keeps the newest and ends the
    /// others, each owed `terminated;reason=rejected`; returns how many it ended. Call it when [`Subscriptions::create_batch`] has
    /// returned, with the same rows, and answer after it. Without keys in `rows` it does nothing.
    ///
    /// # Locks
    /// Rows of `active_watchers` that are to end, by (presentity_uri, event, id), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn supersede_batch(&self, rows: &[NewSubscription]) -> Result<u64, StoreError> {
        let keyed: Vec<(&NewSubscription, &str)> = rows
            .iter()
            .filter_map(|row| Some((row, row.subscriber_key.as_deref()?)))
            .collect();
        if keyed.is_empty() {
            return Ok(0);
        }
        let column = |column: fn(&NewSubscription) -> &str| -> Vec<&str> {
            keyed.iter().map(|(row, _)| column(row)).collect()
        };
        let subscriber_key: Vec<&str> = keyed.iter().map(|(_, key)| *key).collect();
        self.0
            .execute(
                &registry::SUBSCRIPTION_SUPERSEDE_BATCH,
                &[
                    &column(|row| &row.presentity_uri),
                    &column(|row| &row.event),
                    &column(|row| &row.event_id),
                    &column(|row| &row.watcher_username),
                    &column(|row| &row.watcher_domain),
                    &subscriber_key,
                    &self.0.now(),
                ],
            )
            .await
    }

    /// Refreshes and ends dialogs; outcomes in input order. Each accepted one is owed a NOTIFY at once.
    ///
    /// The stored CSeq again is a retransmission: same answer, nothing changes. A lower one is accepted only within
    /// `cseq_offset`. Two requests of one dialog in one slice are carried out one after the other.
    ///
    /// # Locks
    /// Rows of `active_watchers` by (presentity_uri, event, id), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn refresh_batch(
        &self,
        rows: &[SubscriptionRefresh],
        cseq_offset: u32,
    ) -> Result<Vec<SubscribeOutcome>, StoreError> {
        let mut outcomes = vec![SubscribeOutcome::NoDialog; rows.len()];
        for round in rounds::split(
            rows.iter()
                .map(|row| (&row.call_id, &row.to_tag, &row.from_tag)),
        ) {
            let rows: Vec<&SubscriptionRefresh> = round.iter().map(|&index| &rows[index]).collect();
            for (index, outcome) in round
                .into_iter()
                .zip(self.refresh_distinct(&rows, cseq_offset).await?)
            {
                outcomes[index] = outcome;
            }
        }
        Ok(outcomes)
    }

    /// Takes up to `limit` dialogs of resources that `owner` holds and that owe a NOTIFY, and gives each its next CSeq.
    /// The only place where a CSeq is taken. Read the publications *after* this, and send each dialog exactly once.
    ///
    /// Dialogs in `in_flight` (id, target_version as taken) are left alone unless their target has changed: then cancel the
    /// old transaction. Resources whose lease is over by the database's clock give nothing. If the call fails, some may
    /// have been taken all the same: give these resources up (no renewal, no settling, not among `held` of the next
    /// [`crate::Queue::claim`]), so that their lease runs out and they are recovered.
    ///
    /// # Locks
    /// Rows of `active_watchers` by (presentity_uri, event, id); none of `notify_queue`.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take(
        &self,
        owner: i64,
        claimed: &[Claimed],
        in_flight: &[(i64, i32)],
        limit: u32,
    ) -> Result<Vec<TakenDialog>, StoreError> {
        if claimed.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let (presentity_uri, event) =
            Resource::columns(claimed.iter().map(|claimed| &claimed.resource));
        let (ids, targets): (Vec<i64>, Vec<i32>) = in_flight.iter().copied().unzip();
        let limit = i64::from(limit);
        let taken = self
            .0
            .query(
                &registry::SUBSCRIPTION_TAKE,
                &[
                    &owner,
                    &presentity_uri,
                    &event,
                    &ids,
                    &targets,
                    &limit,
                    &self.0.now(),
                ],
            )
            .await?;
        taken.iter().map(TakenDialog::from_row).collect()
    }

    /// Writes verdicts down; returns how many still applied. Must be committed before the resource is settled
    /// ([`crate::Queue::settle`]), or a crash in between would lose a retry.
    ///
    /// # Locks
    /// Rows of `active_watchers` by (presentity_uri, event, id), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn settle_batch(&self, verdicts: &[DialogVerdict]) -> Result<u64, StoreError> {
        if verdicts.is_empty() {
            return Ok(0);
        }
        let id: Vec<i64> = verdicts.iter().map(|verdict| verdict.id).collect();
        let remote_cseq: Vec<i64> = verdicts
            .iter()
            .map(|verdict| verdict.remote_cseq.into())
            .collect();
        let target_version: Vec<i32> = verdicts
            .iter()
            .map(|verdict| verdict.target_version)
            .collect();
        let (name, after_s): (Vec<&str>, Vec<i64>) = verdicts
            .iter()
            .map(|verdict| match verdict.verdict {
                Verdict::Delivered => ("delivered", 0),
                Verdict::Ended => ("ended", 0),
                Verdict::Retry { after_s } => ("retry", after_s.into()),
            })
            .unzip();
        self.0
            .execute(
                &registry::SUBSCRIPTION_SETTLE_BATCH,
                &[
                    &id,
                    &remote_cseq,
                    &target_version,
                    &name,
                    &after_s,
                    &self.0.now(),
                ],
            )
            .await
    }

    /// Ends up to `limit` dialogs whose time is up (each is owed `terminated;reason=timeout`), and forgets ended ones after
    /// 64*T1. Returns how many rows it touched: call again at once when that is `limit` or more.
    ///
    /// # Locks
    /// Free rows of `active_watchers` only (SKIP LOCKED), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn expire_batch(&self, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        let now = self.0.now();
        let expired = self
            .0
            .execute(&registry::SUBSCRIPTION_EXPIRE_BATCH, &[&limit, &now])
            .await?;
        let deleted = self
            .0
            .execute(&registry::SUBSCRIPTION_DELETE_ENDED, &[&limit, &now])
            .await?;
        Ok(expired + deleted)
    }

    /// Refreshes of which no two name the same dialog.
    async fn refresh_distinct(
        &self,
        rows: &[&SubscriptionRefresh],
        cseq_offset: u32,
    ) -> Result<Vec<SubscribeOutcome>, StoreError> {
        let call_id: Vec<&str> = rows.iter().map(|row| row.call_id.as_str()).collect();
        let to_tag: Vec<&str> = rows.iter().map(|row| row.to_tag.as_str()).collect();
        let from_tag: Vec<&str> = rows.iter().map(|row| row.from_tag.as_str()).collect();
        let event: Vec<&str> = rows.iter().map(|row| row.event.as_str()).collect();
        let event_id: Vec<&str> = rows.iter().map(|row| row.event_id.as_str()).collect();
        let remote_cseq: Vec<i64> = rows.iter().map(|row| row.remote_cseq.into()).collect();
        let contact: Vec<Option<&str>> = rows.iter().map(|row| row.contact.as_deref()).collect();
        let granted_s: Vec<i64> = rows.iter().map(|row| row.granted_s.into()).collect();
        let flow: Vec<&str> = rows.iter().map(|row| row.flow.as_str()).collect();
        let local_contact: Vec<&str> = rows.iter().map(|row| row.local_contact.as_str()).collect();
        let cseq_offset = i64::from(cseq_offset);
        let under_rules: Vec<bool> = rows
            .iter()
            .map(|row| row.authorization.is_by_rules())
            .collect();
        let answers = self
            .0
            .query(
                &registry::SUBSCRIPTION_REFRESH_BATCH,
                &[
                    &call_id,
                    &to_tag,
                    &from_tag,
                    &event,
                    &event_id,
                    &remote_cseq,
                    &contact,
                    &granted_s,
                    &flow,
                    &local_contact,
                    &cseq_offset,
                    &self.0.now(),
                    &under_rules,
                ],
            )
            .await?;
        let mut outcomes = vec![SubscribeOutcome::NoDialog; rows.len()];
        for answer in &answers {
            let index = ordinal(answer, "ord");
            if let (Some(row), Some(outcome)) = (rows.get(index), outcomes.get_mut(index)) {
                *outcome = match answer.get("outcome") {
                    "accepted" => accepted(&row.to_tag, answer)?,
                    "out_of_order" => SubscribeOutcome::OutOfOrder,
                    _ => SubscribeOutcome::NoDialog,
                };
            }
        }
        Ok(outcomes)
    }
}

// === impl Authorization ===

impl Authorization {
    fn is_by_rules(self) -> bool {
        self != Authorization::Open
    }
}

// === impl TakenDialog ===

impl TakenDialog {
    fn from_row(row: &Row) -> Result<TakenDialog, StoreError> {
        let id: i64 = row.get("id");
        let number = |column: &'static str| {
            u32::try_from(row.get::<_, i64>(column)).map_err(|_| StoreError::Inconsistent {
                table: "active_watchers",
                column,
                row: id,
            })
        };
        Ok(TakenDialog {
            id,
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
            cseq: number("local_cseq")?,
            version: number("version")?,
            target_version: row.get("target_version"),
            remote_cseq: number("remote_cseq")?,
            status: row.get("status"),
            reason: row.get("reason"),
            // -1 = never, and so is more than 136 years.
            expires_s: u32::try_from(row.get::<_, i64>("expires_s")).unwrap_or(u32::MAX),
            failures: u32::try_from(row.get::<_, i32>("failures")).unwrap_or(0),
            view: row.get("view"),
            ended: row.get("ended"),
            partial_since: row.get("partial_since"),
        })
    }
}

fn texts<'a>(
    rows: &'a [NewSubscription],
    column: impl Fn(&'a NewSubscription) -> &'a String,
) -> Vec<&'a str> {
    rows.iter().map(|row| column(row).as_str()).collect()
}

fn accepted(to_tag: &str, answer: &Row) -> Result<SubscribeOutcome, StoreError> {
    let granted_s: i64 = answer.get("granted_s");
    Ok(SubscribeOutcome::Accepted {
        granted_s: u32::try_from(granted_s).map_err(|_| StoreError::Inconsistent {
            table: "active_watchers",
            column: "granted_s",
            row: 0,
        })?,
        to_tag: to_tag.to_owned(),
        local_contact: answer.get("local_contact"),
    })
}
