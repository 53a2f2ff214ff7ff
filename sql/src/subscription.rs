//! Subscription dialogs: rows of `active_watchers`. RFC 6665 sections 4.2.1 and 4.2.2; CSeq: RFC 3261 section 12.2.

use std::time::Duration;

use crate::registry::{self, Statement};
use crate::{Claimed, Resource, Store, StoreError, rounds, route_set};

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub async fn create_batch(&self, rows: &[NewSubscription]) -> Result<Vec<SubscribeOutcome>, StoreError> {
        todo!()
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
        todo!()
    }

    /// Takes up to `limit` dialogs of resources that `owner` holds and that owe a NOTIFY, and gives each its next CSeq.
    /// The only place where a CSeq is taken. Read the publications *after* this, and send each dialog exactly once.
    ///
    /// Dialogs in `in_flight` (id, target_version as taken) are left alone unless their target has changed: then cancel the
    /// old transaction. Resources whose lease is over by the database's clock give nothing. If the call fails, some may
    /// have been taken all the same: let the lease of these resources run out, the next claim recovers them.
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
        todo!()
    }

    /// Writes verdicts down; returns how many still applied. Must be committed before the resource is settled
    /// ([`crate::queue::Queue::settle`]), or a crash in between would lose a retry.
    ///
    /// # Locks
    /// Rows of `active_watchers` by (presentity_uri, event, id), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn settle_batch(&self, verdicts: &[DialogVerdict]) -> Result<u64, StoreError> {
        todo!()
    }

    /// Ends up to `limit` dialogs whose time is up (each is owed `terminated;reason=timeout`), and forgets ended ones after
    /// 64*T1. Returns how many rows it touched: call again at once when that is `limit` or more.
    ///
    /// # Locks
    /// Free rows of `active_watchers` only (SKIP LOCKED), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn expire_batch(&self, limit: u32) -> Result<u64, StoreError> {
        todo!()
    }
}
