//! What a SUBSCRIBE asks the database to do, and what can become of it: said here once, for who decides, stores and answers.

use bytes::Bytes;
use sip::Aor;

/// What a SUBSCRIBE asks the database to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a request, moved once into its batch; a box would cost more than it saves"
)]
pub enum SubscribeIntent {
    /// Initial, or a fetch: there was no To-tag.
    Create(NewSubscription),
    /// Refresh or end of a subscription that exists.
    Refresh(SubscriptionRefresh),
}

/// A subscription to be created, with all that its NOTIFYs need. "Local" is ours, "remote" the watcher's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubscription {
    /// The presentity.
    pub aor: Aor,
    /// Name of the event package.
    pub event: String,
    /// The id parameter of Event, or empty.
    pub event_id: String,
    /// Who watches: the From URI in its canonical form.
    pub watcher: Aor,
    /// User part of the To URI, as written.
    pub to_user: String,
    /// Host of the To URI.
    pub to_domain: String,
    /// User part of the From URI, as written.
    pub from_user: String,
    /// Host of the From URI.
    pub from_domain: String,
    /// Display name of From for the presentity's eyes, or empty.
    pub from_display: String,
    /// To as written, without its parameters: From of the NOTIFYs.
    pub local_uri: String,
    /// From as written, without its parameters: To of the NOTIFYs.
    pub remote_uri: String,
    /// Our tag, derived from the request, so that a retransmission makes no second dialog.
    pub to_tag: String,
    /// The watcher's tag.
    pub from_tag: String,
    /// Call-ID.
    pub call_id: String,
    /// CSeq of the SUBSCRIBE.
    pub remote_cseq: u32,
    /// The Contact URI: where NOTIFYs go.
    pub contact: String,
    /// The route set: Record-Route in the order of the request, raw name-addrs.
    pub record_route: Vec<String>,
    /// Seconds that it lives; 0 for a fetch (RFC 6665 section 4.4.3).
    pub granted_s: u32,
    /// The media type for its NOTIFYs, chosen by Accept.
    pub accept: String,
    /// User-Agent, or empty.
    pub user_agent: String,
    /// Who decides whether the watcher is let in.
    pub decided_by: DecidedBy,
    /// What its body sets, in a package that reads it.
    pub feature: Option<FeatureChange>,
    /// What makes a later subscription of this watcher take the place of this one; `None`: nothing.
    pub subscriber_key: Option<String>,
    /// How both sides reach one another.
    pub reach: Reach,
}

/// A SUBSCRIBE within its dialog (RFC 6665 sections 4.1.2.2 and 4.1.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRefresh {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub to_tag: String,
    /// The watcher's tag.
    pub from_tag: String,
    /// Name of the event package: it must be the dialog's.
    pub event: String,
    /// The id parameter of Event, or empty: with the dialog, it names the subscription (RFC 6665 section 4.5.2).
    pub event_id: String,
    /// CSeq of the SUBSCRIBE.
    pub remote_cseq: u32,
    /// Tells this request from others in its dialog, whatever their CSeq. A copy has the same.
    pub request: i64,
    /// The Contact URI, if there is one: NOTIFYs go there from now on (RFC 3261 section 12.2.2).
    pub contact: Option<String>,
    /// Seconds that it lives from now; 0 to end it.
    pub granted_s: u32,
    /// Who has proven that he sends it: it must be with whom the dialog was made. `None`: nobody is asked.
    pub requester: Option<Aor>,
    /// Who decides by now whether the watcher is let in.
    pub decided_by: DecidedBy,
    /// What its body sets, in a package that reads it. Only for the line that the dialog was made with.
    pub feature: Option<FeatureChange>,
    /// How both sides reach one another from now on.
    pub reach: Reach,
}

/// Who decides about a subscription (RFC 5025). Not the server that takes it: a notifier does, before anything is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DecidedBy {
    /// Nobody: it is active, and sees everything.
    #[default]
    Nobody,
    /// The presentity's rules. Without any it is active, and sees everything.
    RulesOrAllowed,
    /// The presentity's rules. Without any, what the operator says.
    Rules,
}

/// How a watcher and the server that took its SUBSCRIBE reach one another. The request does not say it:
/// [`decide`](super::decide) leaves it empty, and the server fills it in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Route URI of the server that holds the phone's flow, with the signed token; empty if NOTIFYs need none. Always replaces the
    /// one before.
    pub flow: String,
    /// Our Contact in the 2xx and in each NOTIFY. Within a dialog an empty one keeps the one before.
    pub local_contact: String,
    /// Socket that the request came to, as Kamailio writes it (`udp:192.0.2.1:5060`), or empty. Stored with a new dialog only.
    pub socket_info: String,
}

/// What a phone sets for its own line by the body of a SUBSCRIBE (`as-feature-event`). All phones of the line are told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeatureChange {
    /// Whose feature.
    pub owner: FeatureOwner,
    /// Name of the event package.
    pub event: String,
    /// What names this feature among those of the line.
    pub feature: String,
    /// Derived from the request: names it.
    pub entity_tag: String,
    /// Media type of the body.
    pub content_type: String,
    /// What watchers are told.
    pub body: Bytes,
    /// How long it is known, in seconds; `None` until it is set again.
    pub lifetime_s: Option<u32>,
}

/// How the line of a [`FeatureChange`] is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FeatureOwner {
    /// By the request that makes a dialog with it.
    Line(Aor),
    /// By a dialog that its own phone has with it, or its delegate.
    Dialog {
        /// Which.
        dialog: DialogId,
        /// CSeq of the SUBSCRIBE.
        remote_cseq: u32,
        /// Who has proven that he sends it, and the line that he may act for: the dialog must be his, and with that line. `None`: nobody is
        /// asked, and the dialog must be of the line with itself.
        acting: Option<(Aor, Aor)>,
    },
}

/// What names a dialog (RFC 3261 section 12).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub to_tag: String,
    /// The watcher's tag.
    pub from_tag: String,
}

/// What became of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscribeOutcome {
    /// Stored, now or by an earlier copy of the same request; a NOTIFY is owed. Answer 200.
    Accepted {
        /// Expires of the answer, in seconds.
        granted_s: u32,
        /// To-tag of the answer.
        to_tag: String,
        /// Contact of the answer.
        local_contact: String,
    },
    /// No such dialog, or it has ended. Answer 481.
    NoDialog,
    /// The dialog is somebody else's. Answer 403.
    Forbidden,
    /// CSeq lower than an earlier one. Answer 500 (RFC 3261 section 12.2.2).
    OutOfOrder,
}

// === impl SubscribeIntent ===

impl SubscribeIntent {
    /// Takes out what its body sets, which is stored ahead of the rest.
    pub fn take_feature(&mut self) -> Option<FeatureChange> {
        match self {
            SubscribeIntent::Create(new) => new.feature.take(),
            SubscribeIntent::Refresh(refresh) => refresh.feature.take(),
        }
    }
}

// === impl DecidedBy ===

impl DecidedBy {
    /// Whether there is anything to be decided.
    pub fn is_by_rules(self) -> bool {
        self != DecidedBy::Nobody
    }
}
