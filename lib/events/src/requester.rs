//! Who sends a request, as far as the server that took it knows.

use sip::Aor;

/// Who sends a request, how that was proven, and whether it may act for the presentity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requester {
    /// Whom it is from. `None`: nobody was named by anybody who is believed, and From counts.
    pub identity: Option<Aor>,
    /// How it is known.
    pub proof: Proof,
    /// Whether it may do what only the presentity itself may: publish, see who watches, set features, hold a shared line.
    pub acts: Acts,
}

/// How it is known who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proof {
    /// A peer that is believed sent it, and names nobody: From counts.
    #[default]
    Peer,
    /// A peer that is believed says so (RFC 3325).
    Asserted,
    /// By a password (RFC 3261 section 22).
    Digest,
    /// Not at all: it says itself that it is nobody (RFC 3323).
    Anonymous,
}

/// Whether a requester may act for the presentity of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acts {
    /// A peer that is believed and names nobody may do everything; where something is for the presentity itself, From must name it.
    #[default]
    AsPeer,
    /// It is the presentity, or its delegate.
    ForPresentity,
    /// It is somebody else.
    ForOthers,
}

impl Requester {
    /// Somebody whom the operator's script names: the script has decided.
    pub fn named_by_script(identity: Option<Aor>) -> Requester {
        Requester {
            identity,
            ..Requester::default()
        }
    }

    /// With whom a dialog must have been made that this request is within; `None`: a peer that is believed answers for that.
    pub(crate) fn owner(&self) -> Option<&Aor> {
        match self.proof {
            Proof::Peer => None,
            Proof::Asserted | Proof::Digest | Proof::Anonymous => self.identity.as_ref(),
        }
    }

    /// Somebody of whom nothing is known, and who may do nothing in anybody's name.
    pub fn nobody() -> Requester {
        Requester {
            identity: None,
            proof: Proof::Anonymous,
            acts: Acts::ForOthers,
        }
    }

    /// Whether it may publish for the presentity.
    pub fn may_publish(&self) -> bool {
        self.acts != Acts::ForOthers
    }

    /// Whether it may do what is for the presentity itself, of which `is_presentity` tells whether the watcher is it.
    pub(crate) fn may_as_presentity(&self, is_presentity: bool) -> bool {
        match self.acts {
            Acts::AsPeer => is_presentity,
            Acts::ForPresentity => true,
            Acts::ForOthers => false,
        }
    }
}

impl Proof {
    /// A word for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Proof::Peer => "peer",
            Proof::Asserted => "asserted",
            Proof::Digest => "digest",
            Proof::Anonymous => "anonymous",
        }
    }
}
