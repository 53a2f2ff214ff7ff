//! How long a value may be that is stored: the one place that says it and checks it, for whatever way a value comes in by.
//!
//! All bounds are in octets, and far below what an index of PostgreSQL takes (2,704). The tables have the same ones as
//! constraints (`schema/migrations/V2__bounds.sql`), so a value that passes here is one that they take; a test of crate `sql`
//! compares both. What is longer is refused, not cut: half a name is another name.

use crate::{ParseError, StatusCode};

pub use crate::aor::check_uri;

/// The longest that a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    what: &'static str,
    octets: usize,
    reason: &'static str,
}

/// The bounds of somebody's address: how long its user and its domain may be in their canonical form ([`crate::Aor`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressBound {
    /// Of the user; of a number, with its context.
    pub user: Bound,
    /// Of the domain.
    pub domain: Bound,
    status: StatusCode,
    bad: &'static str,
}

macro_rules! bounds {
    ($($(#[$doc:meta])* $name:ident: $what:literal, $octets:literal;)*) => {
        $($(#[$doc])* pub const $name: Bound = bound!($what, $octets);)*
        /// Every bound but those of addresses.
        pub const ALL: &[Bound] = &[$($name),*];
    };
}

macro_rules! bound {
    ($what:expr, $octets:literal) => {
        Bound {
            what: $what,
            octets: $octets,
            reason: concat!($what, " Longer Than ", $octets, " Octets"),
        }
    };
}

macro_rules! addresses {
    ($($(#[$doc:meta])* $name:ident: $place:literal, $status:ident;)*) => {
        $($(#[$doc])* pub const $name: AddressBound = AddressBound {
            user: bound!(concat!("User Of ", $place), 255),
            domain: bound!(concat!("Domain Of ", $place), 255),
            status: StatusCode::$status,
            bad: concat!("Bad ", $place),
        };)*
    };
}

bounds! {
    /// Call-ID.
    CALL_ID: "Call-ID", 255;
    /// The tag of From.
    FROM_TAG: "From Tag", 255;
    /// The tag of To.
    TO_TAG: "To Tag", 255;
    /// From as written, without its parameters.
    FROM: "From", 2048;
    /// To as written, without its parameters.
    TO: "To", 2048;
    /// The display name of From.
    DISPLAY_NAME: "Display Name Of From", 1024;
    /// The name of the event package, with its parameters where they are part of it.
    EVENT: "Event", 128;
    /// The `id` parameter of Event.
    EVENT_ID: "Event ID", 255;
    /// The URI of Contact.
    CONTACT: "Contact", 1024;
    /// `+sip.instance` of Contact, which names a phone.
    INSTANCE: "Instance ID Of Contact", 255;
    /// All values of Record-Route together, with a comma between two.
    RECORD_ROUTE: "Record-Route", 4096;
    /// User-Agent.
    USER_AGENT: "User-Agent", 1024;
    /// SIP-If-Match: an entity-tag.
    IF_MATCH: "SIP-If-Match", 255;
    /// Sender, or whoever publishes: a URI.
    SENDER: "Sender", 1024;
    /// The media type of Content-Type, without its parameters.
    CONTENT_TYPE: "Content-Type", 255;
    /// What names a publication among those of its resource.
    SOURCE: "source", 128;
    /// The words of what a watcher is shown.
    VIEW: "View", 1024;
    /// The address of a stored document.
    DOCUMENT_ADDRESS: "Address Of Document", 2048;
}

addresses! {
    /// The Request-URI.
    REQUEST_URI: "Request-URI", REQUEST_URI_TOO_LONG;
    /// From, as the watcher.
    WATCHER_FROM: "From", BAD_REQUEST;
    /// To.
    WATCHED_TO: "To", BAD_REQUEST;
    /// A watcher whom a script names.
    WATCHER: "Watcher", BAD_REQUEST;
    /// Any other URI of a person.
    URI: "URI", BAD_REQUEST;
}

impl Bound {
    /// What is bounded, in the words of a reason phrase.
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// How many octets it may have.
    pub const fn octets(&self) -> usize {
        self.octets
    }

    /// Refuses a longer text.
    ///
    /// # Errors
    /// A reason phrase that names the value and the bound.
    pub fn check(&self, text: &str) -> Result<(), &'static str> {
        self.check_octets(text.len())
    }

    /// The same for what is longer than one text.
    ///
    /// # Errors
    /// As [`Bound::check`].
    pub const fn check_octets(&self, octets: usize) -> Result<(), &'static str> {
        if octets <= self.octets {
            Ok(())
        } else {
            Err(self.reason)
        }
    }
}

impl AddressBound {
    /// Refuses a longer user or domain.
    ///
    /// # Errors
    /// 414 for a Request-URI, else 400.
    pub fn check(&self, user: &str, domain: &str) -> Result<(), ParseError> {
        self.user
            .check(user)
            .and(self.domain.check(domain))
            .map_err(|reason| ParseError::new(reason).status(self.status))
    }

    /// The reason phrase for a URI that [`crate::Aor::within`] has refused: which bound, or that it is none of a person.
    pub fn reason(&self, fault: &ParseError) -> &'static str {
        match self.is_exceeded(fault) {
            true => fault.reason,
            false => self.bad,
        }
    }

    /// Whether that is why it was refused.
    pub fn is_exceeded(&self, fault: &ParseError) -> bool {
        [self.user.reason, self.domain.reason].contains(&fault.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_the_value_and_its_bound() {
        assert_eq!(
            CALL_ID.check(&"x".repeat(256)),
            Err("Call-ID Longer Than 255 Octets")
        );
        let user = REQUEST_URI.check(&"x".repeat(256), "").unwrap_err();
        assert_eq!(user.reason, "User Of Request-URI Longer Than 255 Octets");
        assert_eq!(user.status, StatusCode::REQUEST_URI_TOO_LONG);
        let domain = WATCHER_FROM.check("", &"x".repeat(256)).unwrap_err();
        assert_eq!(domain.reason, "Domain Of From Longer Than 255 Octets");
        assert_eq!(domain.status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn octets_count_and_not_characters() {
        for bound in ALL {
            assert_eq!(bound.check(&"x".repeat(bound.octets())), Ok(()));
            assert!(bound.check(&"x".repeat(bound.octets() + 1)).is_err());
            assert!(bound.check(&"é".repeat(bound.octets() / 2 + 1)).is_err());
            assert!(bound.octets() < 2704 || *bound == RECORD_ROUTE, "{bound:?}");
        }
    }
}
