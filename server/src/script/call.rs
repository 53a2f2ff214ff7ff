//! What a script gives a request along when it hands it over, and how it learns what became of it.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{OnceLock, mpsc};

use ::script::{Attribute, Subscription};
use events::{DialogId, NewSubscription, SubscriptionRefresh};
use sip::Aor;

use super::worker::WorkerTask;

/// The call that a request was handed over by. It goes on when this is dropped, wherever that is: with the request, after its answer.
pub(crate) struct Call {
    pub(super) id: u64,
    pub(super) back: mpsc::Sender<WorkerTask>,
    /// Kamailio's `sender_uri`, a URI.
    pub(crate) sender_uri: Option<String>,
    /// Kamailio's `watcher_uri`.
    pub(crate) watcher: Option<Aor>,
    /// The script has called `handle_publish` or `handle_subscribe`: it has decided who may do this. `default_route` has not.
    pub(crate) decides: bool,
    /// `xavp.<xavp_cfg>.priority`
    pub(crate) priority: Option<i64>,
    pub(super) shows_subscription: bool,
    pub(super) subscription: OnceLock<Box<Subscription>>,
    /// Status code of the answer; 0 while there is none.
    pub(super) answered: AtomicU16,
}

impl Call {
    /// The request was answered.
    pub(crate) fn answered(&self, status: u16) {
        self.answered.store(status, Ordering::Relaxed);
    }

    /// What is stored, for `subs`. What only the database decides (status and the like) is left out.
    pub(crate) fn creates(&self, row: &NewSubscription) {
        if !self.shows_subscription {
            return;
        }
        let presentity_uri = row.aor.uri();
        let mut known = dialog(&row.call_id, &row.to_tag, &row.from_tag);
        for (attribute, text) in [
            (Attribute::Uri, &presentity_uri),
            (Attribute::PresUri, &presentity_uri),
            (Attribute::ToUser, &row.to_user),
            (Attribute::ToDomain, &row.to_domain),
            (Attribute::FromUser, &row.from_user),
            (Attribute::FromDomain, &row.from_domain),
            (Attribute::WatcherUsername, &row.watcher.username),
            (Attribute::WatcherDomain, &row.watcher.domain),
            (Attribute::Event, &row.event),
            (Attribute::EventId, &row.event_id),
            (Attribute::Contact, &row.contact),
            (Attribute::LocalContact, &row.reach.local_contact),
            (Attribute::UserAgent, &row.user_agent),
        ] {
            known.set_text(attribute, text.as_str());
        }
        known.set_text(Attribute::RecordRoute, row.record_route.join(","));
        known.set_number(Attribute::RemoteCSeq, row.remote_cseq);
        known.set_number(Attribute::Expires, row.granted_s);
        let _ = self.subscription.set(Box::new(known));
    }

    /// The same for a dialog that exists: the rest of it is in the database.
    pub(crate) fn refreshes(&self, row: &SubscriptionRefresh) {
        if !self.shows_subscription {
            return;
        }
        let mut known = dialog(&row.call_id, &row.to_tag, &row.from_tag);
        known.set_text(Attribute::Event, row.event.as_str());
        known.set_text(Attribute::EventId, row.event_id.as_str());
        known.set_number(Attribute::RemoteCSeq, row.remote_cseq);
        known.set_number(Attribute::Expires, row.granted_s);
        let _ = self.subscription.set(Box::new(known));
    }
}

fn dialog(call_id: &str, to_tag: &str, from_tag: &str) -> Subscription {
    Subscription::of(DialogId {
        call_id: call_id.to_owned(),
        to_tag: to_tag.to_owned(),
        from_tag: from_tag.to_owned(),
    })
}

impl Drop for Call {
    fn drop(&mut self) {
        let task = WorkerTask::Handled {
            call: self.id,
            status: self.answered.load(Ordering::Relaxed),
            subscription: self.subscription.take(),
        };
        // A worker that is gone wants to know no more.
        let _ = self.back.send(task);
    }
}
