//! Who gets a NOTIFY for a change of state: a watcher whom it shows something new, and not the one who made it.
//!
//! The documents of a claimed resource are made before its dialogs are taken, and each view gets a digest once, however many dialogs
//! have it. The taking statement compares it with the digest of what each dialog was shown last, which it writes anyway when it
//! takes the dialog. A dialog that is shown the same is not taken: a politely blocked watcher learns nothing from how often the
//! same document comes, and a phone is not woken for a change that is not shown to it.
//!
//! Who made all the changes since then knows them, and gets no NOTIFY either (Kamailio's `handle_publish(sender_uri)`). It is whoever
//! watches by that address of record or at that Contact. Which changes those are is written down by the trigger that queues them.

use events::Document;
use sha2::{Digest as _, Sha256};
use sip::{Aor, Uri};
use sql::WatchingDialog;

/// What the configuration says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// `send_fast_notify` = 0: a NOTIFY that has nothing to tell is left out.
    pub(crate) is_quiet: bool,
    /// `sip_uri_match` = 1: user parts are compared without regard to case.
    pub(crate) fold_case: bool,
}

/// What `active_watchers.shown` says of a NOTIFY without a document.
const NOTHING: i64 = 0;

/// The first 64 bits of a SHA-256 of the media type and the body, whose version is 0 here. The same in all processes, of whatever build: they
/// compare their digests with one another's.
pub(crate) fn digest(document: Option<&Document>) -> i64 {
    let Some(document) = document else {
        return NOTHING;
    };
    let mut hash = Sha256::new();
    hash.update(document.content_type.as_bytes());
    hash.update([0]);
    hash.update(&document.body);
    let hash = hash.finalize();
    let first = hash.iter().take(8);
    let digest = first.fold(0_i64, |digest, octet| (digest << 8) | i64::from(*octet));
    match digest {
        NOTHING => 1,
        digest => digest,
    }
}

/// Who made a change, as `presentity.sender` has it.
#[derive(Debug)]
pub(crate) struct ChangedBy {
    address: Uri,
    person: Option<Aor>,
}

// === impl ChangedBy ===

impl ChangedBy {
    /// Nothing if it is not a URI: a text that was written by hand names nobody.
    pub(crate) fn read(sender: &str, manner: Manner) -> Option<ChangedBy> {
        let address = Uri::parse(sender).ok()?;
        let person = Aor::from_uri(&address, manner.fold_case).ok();
        Some(ChangedBy { address, person })
    }

    /// Whether this dialog is his.
    pub(crate) fn watches_by(&self, dialog: &WatchingDialog) -> bool {
        let is_person = |person: &Aor| {
            person.username == dialog.watcher_username && person.domain == dialog.watcher_domain
        };
        self.person.as_ref().is_some_and(is_person)
            || Uri::parse(&dialog.contact).is_ok_and(|contact| contact.is_equivalent(&self.address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_the_type_and_the_body() {
        let digest_of = |kind: &str, body: &'static str| digest(Some(&Document::new(kind, body)));
        let one = digest_of("text/plain", "a");
        assert_eq!(one, digest_of("text/plain", "a"));
        assert_ne!(one, digest_of("text/plain", "b"));
        assert_ne!(one, digest_of("text/xml", "a"));
        assert_ne!(digest_of("ab", "c"), digest_of("a", "bc"));
        assert_eq!(digest(None), 0);
        // Written down by another build: it must not change.
        assert_eq!(
            digest_of("application/pidf+xml", "x"),
            9_079_775_784_774_193_193
        );
    }

    #[test]
    fn a_sender_is_known_by_its_address_or_its_contact() {
        let dialog = WatchingDialog {
            resource_index: 0,
            id: 1,
            contact: "sip:bob@192.0.2.1:5062;transport=udp".to_owned(),
            watcher_username: "bob".to_owned(),
            watcher_domain: "example.org".to_owned(),
        };
        for (sender, fold_case, expected) in [
            ("sip:bob@example.org", false, true),
            ("sip:bob@EXAMPLE.org:5070;x=y", false, true),
            ("sips:%62ob@example.org", false, true),
            ("sip:BOB@example.org", false, false),
            ("sip:BOB@example.org", true, true),
            ("sip:bob@192.0.2.1:5062;transport=UDP", false, true),
            ("sip:bob@192.0.2.1:5062", false, false),
            ("sip:bob@192.0.2.1", false, false),
            ("sip:carol@192.0.2.1:5062;transport=udp", false, false),
            ("sip:alice@example.org", false, false),
            ("bob", false, false),
            ("", false, false),
        ] {
            let manner = Manner {
                is_quiet: false,
                fold_case,
            };
            let by = ChangedBy::read(sender, manner);
            assert_eq!(
                by.is_some_and(|by| by.watches_by(&dialog)),
                expected,
                "{sender}"
            );
        }
    }
}
