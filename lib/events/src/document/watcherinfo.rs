//! Watcher information documents (RFC 3858).

use super::writer::{DECLARATION, push_attribute, push_text};
use super::{Document, DocumentState};
use crate::notification::SubscriptionStatus;

/// The media type of watcher information.
pub const CONTENT_TYPE: &str = "application/watcherinfo+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";

const END: &str = "</watcher-list>\n</watcherinfo>\n";

/// One subscription, as whoever may see the watchers is shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatcherRecord<'a> {
    /// The row's number in `active_watchers`. It stays through refreshes and changes of status, also to waiting, so that
    /// `id` keeps naming the same subscription. It tells nothing else: a Call-ID would let others end the subscription.
    pub id: i64,
    /// The watcher's URI.
    pub uri: &'a str,
    /// The watcher's display name, or empty.
    pub display_name: &'a str,
    /// Its status.
    pub status: SubscriptionStatus,
    /// What brought it there.
    pub event: WatcherEvent,
    /// Seconds until the subscription expires; nothing if it never does, or is over.
    pub expiration_s: Option<u32>,
    /// Seconds since it was made; nothing if nobody knows.
    pub subscribed_s: Option<u32>,
}

/// What brought a subscription into its status (RFC 3857 section 4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatcherEvent {
    /// The watcher subscribed.
    Subscribe,
    /// The presentity, or its rules, allowed it.
    Approved,
    /// The notifier ended it; the watcher should subscribe again.
    Deactivated,
    /// The same, but later.
    Probation,
    /// The presentity, or its rules, refused it.
    Rejected,
    /// It expired, or the watcher ended it.
    Timeout,
    /// Nobody decided in time.
    Giveup,
    /// The presentity no longer exists.
    Noresource,
}

impl WatcherEvent {
    /// The event that led to this status, by what the database says led there: the event's word, or the reason of a termination with
    /// its parameters, or nothing.
    ///
    /// Words that do not go with the status are not believed. What is over for no known reason has timed out, and so has, while it was
    /// pending, what is waiting. One that is `approved` and over was decided about while it waited (RFC 3857 section 4.7.1).
    pub fn of(status: SubscriptionStatus, said: &str) -> Self {
        let said = said.split(';').next().unwrap_or_default().trim();
        let named = [
            Self::Approved,
            Self::Deactivated,
            Self::Probation,
            Self::Rejected,
            Self::Timeout,
            Self::Giveup,
            Self::Noresource,
        ]
        .into_iter()
        .find(|event| event.word().eq_ignore_ascii_case(said));
        match (status, named) {
            (SubscriptionStatus::Active, Some(Self::Approved)) => Self::Approved,
            (SubscriptionStatus::Active | SubscriptionStatus::Pending, _) => Self::Subscribe,
            (SubscriptionStatus::Terminated, Some(event)) => event,
            (SubscriptionStatus::Terminated | SubscriptionStatus::Waiting, _) => Self::Timeout,
        }
    }

    /// The value of the attribute `event`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Approved => "approved",
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Giveup => "giveup",
            Self::Noresource => "noresource",
        }
    }
}

/// The value of the attribute `status`.
fn status_word(status: SubscriptionStatus) -> &'static str {
    match status {
        SubscriptionStatus::Active => "active",
        SubscriptionStatus::Pending => "pending",
        SubscriptionStatus::Terminated => "terminated",
        SubscriptionStatus::Waiting => "waiting",
    }
}

/// The watcher information of a resource: of one list, for one package.
///
/// Full state leaves out who is not a watcher any more: its reader starts with an empty table, and a row that is to be removed at
/// once (RFC 3858 section 4) says nothing. Partial state has them, because that is how the reader learns of it. The order is that of
/// the rows' numbers, whatever the order of the slice; of two records of one number the last in the slice counts.
pub fn render(
    resource: &str,
    package: &str,
    state: DocumentState,
    watchers: &[WatcherRecord<'_>],
) -> Document {
    render_within(resource, package, state, watchers, usize::MAX).0
}

/// The same with no more than `max` octets, and the number of the last watcher that there was room for if there was not for all of them. One
/// that would not have room in a document of its own is left out.
pub fn render_within(
    resource: &str,
    package: &str,
    state: DocumentState,
    watchers: &[WatcherRecord<'_>],
    max: usize,
) -> (Document, Option<i64>) {
    let mut rows: Vec<&WatcherRecord<'_>> = watchers.iter().collect();
    // Stable: of equal numbers the last one stays last, and is the one that is kept.
    rows.sort_by_key(|row| row.id);
    let mut out = String::with_capacity((300 + 200 * rows.len()).min(max));
    out.push_str(DECLARATION);
    out.push_str("<watcherinfo");
    push_attribute(&mut out, "xmlns", NAMESPACE);
    out.push_str(" version=\"");
    let version_at = out.len();
    out.push('0');
    out.push('"');
    push_attribute(&mut out, "state", state.word());
    out.push_str(">\n<watcher-list");
    push_attribute(&mut out, "resource", resource);
    push_attribute(&mut out, "package", package);
    out.push_str(">\n");
    let begin = out.len();
    let mut told_to = i64::MIN;
    let mut is_full = false;
    for (at, row) in rows.iter().enumerate() {
        let is_superseded = rows.get(at + 1).is_some_and(|next| next.id == row.id);
        let is_gone = row.status == SubscriptionStatus::Terminated;
        if is_superseded || (is_gone && state == DocumentState::Full) {
            continue;
        }
        let before = out.len();
        push_watcher(&mut out, row);
        if out.len() + END.len() > max {
            out.truncate(before);
            if before == begin {
                // There would be no room for it in any document: who waits for it waits for ever.
                continue;
            }
            is_full = true;
            break;
        }
        told_to = row.id;
    }
    out.push_str(END);
    let document = Document::versioned(CONTENT_TYPE, out, version_at);
    (document, is_full.then_some(told_to))
}

fn push_watcher(out: &mut String, row: &WatcherRecord<'_>) {
    out.push_str("<watcher");
    push_attribute(out, "id", &format!("w{}", row.id));
    push_attribute(out, "status", status_word(row.status));
    push_attribute(out, "event", row.event.word());
    if !row.display_name.is_empty() {
        push_attribute(out, "display-name", row.display_name);
    }
    if let Some(expiration_s) = row.expiration_s {
        push_attribute(out, "expiration", &expiration_s.to_string());
    }
    if let Some(subscribed_s) = row.subscribed_s {
        push_attribute(out, "duration-subscribed", &subscribed_s.to_string());
    }
    out.push('>');
    push_text(out, row.uri);
    out.push_str("</watcher>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use SubscriptionStatus::{Active, Pending, Terminated, Waiting};

    fn record(id: i64) -> WatcherRecord<'static> {
        WatcherRecord {
            id,
            uri: "sip:somebody@example.org",
            display_name: "",
            status: Active,
            event: WatcherEvent::Subscribe,
            expiration_s: Some(60),
            subscribed_s: Some(1),
        }
    }

    #[test]
    fn a_piece_says_how_far_it_goes() {
        let all: Vec<WatcherRecord<'_>> = (1..=100).rev().map(record).collect();
        let within =
            |max| render_within("sip:bob@x", "presence", DocumentState::Partial, &all, max);
        let (whole, told_to) = within(usize::MAX);
        assert_eq!(told_to, None);
        assert_eq!(
            within(whole.body.len()),
            (whole.clone(), None),
            "just enough room"
        );
        let (piece, told_to) = within(whole.body.len() - 1);
        assert_eq!(told_to, Some(99));
        let text = String::from_utf8(piece.body.to_vec()).unwrap();
        assert!(
            text.contains("\"w99\"") && !text.contains("\"w100\""),
            "{text}"
        );
        assert!(text.ends_with(END), "{text}");
        // A line that no document has room for is left out, or all after it would never be told.
        let long = "x".repeat(500);
        let mut all = all.clone();
        all.push(WatcherRecord {
            display_name: &long,
            ..record(0)
        });
        let (piece, told_to) =
            render_within("sip:bob@x", "presence", DocumentState::Partial, &all, 500);
        let text = String::from_utf8(piece.body.to_vec()).unwrap();
        assert!(
            text.contains("\"w1\"") && !text.contains("\"w0\""),
            "{text}"
        );
        assert!(told_to.is_some_and(|told_to| told_to >= 1), "{told_to:?}");
    }

    #[test]
    fn what_led_there_is_believed_if_it_goes_with_the_status() {
        for (status, said, expected) in [
            (Active, "", "subscribe"),
            (Active, "approved", "approved"),
            (Active, "polite-block", "subscribe"),
            (Active, "timeout", "subscribe"),
            (Pending, "", "subscribe"),
            (Pending, "approved", "subscribe"),
            (Waiting, "", "timeout"),
            (Waiting, "giveup", "timeout"),
            (Terminated, "", "timeout"),
            (Terminated, "timeout", "timeout"),
            (Terminated, "rejected", "rejected"),
            (Terminated, "deactivated", "deactivated"),
            (Terminated, "probation;retry-after=30", "probation"),
            (Terminated, "giveup", "giveup"),
            (Terminated, "noresource", "noresource"),
            (Active, "subscribe", "subscribe"),
            (Pending, "subscribe", "subscribe"),
            (Terminated, "subscribe", "timeout"),
            (Terminated, "Rejected", "rejected"),
            (Terminated, "approved", "approved"),
            (Terminated, "who knows", "timeout"),
        ] {
            assert_eq!(
                WatcherEvent::of(status, said).word(),
                expected,
                "{status:?} {said}"
            );
        }
    }
}
