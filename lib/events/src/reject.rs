//! Why a request is refused, as values.
//!
//! A rejection is an ordinary outcome: nobody logs it above debug. Which response it becomes is decided in one place,
//! the server's table of answers; the numbers here only name the usual one.

use crate::document::BodyFault;

/// Why a PUBLISH is refused before the database is asked (RFC 3903 section 6).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishReject {
    /// A header is missing or malformed, or headers contradict one another: 400 with this reason phrase.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The Request-URI is none of sip, sips, tel: 416.
    #[error("Unsupported URI Scheme")]
    UnsupportedScheme,
    /// The Request-URI names somebody by more than can be stored: 414 with this reason phrase.
    #[error("{0}")]
    UriTooLong(&'static str),
    /// No Event, or a package that we do not serve: 489 with Allow-Events (RFC 3903 section 6 step 2).
    #[error("Bad Event")]
    UnknownEvent,
    /// Require names what we do not do: 420 with Unsupported (RFC 3261 section 8.2.2.3).
    #[error("Bad Extension")]
    BadExtension {
        /// The option tags for the Unsupported header, in the order of the request.
        unsupported: Vec<String>,
    },
    /// The requested interval is shorter than the policy allows: 423 with Min-Expires (RFC 3903 section 6 step 4).
    #[error("Interval Too Brief")]
    IntervalTooBrief {
        /// The value for Min-Expires, in seconds.
        min_s: u32,
    },
    /// The body is of a type that the package does not take: 415 with Accept (RFC 3903 section 6 step 5).
    #[error("Unsupported Media Type")]
    UnsupportedBody {
        /// The value for Accept.
        accept: String,
    },
    /// The body has an unknown Content-Encoding: 415 with Accept-Encoding (RFC 3261 section 8.2.3).
    #[error("Unsupported Content-Encoding")]
    UnsupportedEncoding,
    /// The body is of the right type, but not fit to be shown to watchers: 400.
    #[error("{}", .0.reason())]
    BodyRefused(BodyFault),
    /// The body is larger than the package takes: 413.
    #[error("Request Entity Too Large")]
    BodyTooLarge,
}

/// Why a SUBSCRIBE is refused before the database is asked (RFC 6665 section 4.2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeReject {
    /// A header is missing or malformed, or headers contradict one another: 400 with this reason phrase.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The Request-URI is none of sip, sips, tel: 416.
    #[error("Unsupported URI Scheme")]
    UnsupportedScheme,
    /// The Request-URI names somebody by more than can be stored: 414 with this reason phrase.
    #[error("{0}")]
    UriTooLong(&'static str),
    /// No Event, or a package that we do not serve: 489 with Allow-Events.
    #[error("Bad Event")]
    UnknownEvent,
    /// Require names what we do not do: 420 with Unsupported (RFC 3261 section 8.2.2.3).
    #[error("Bad Extension")]
    BadExtension {
        /// The option tags for the Unsupported header, in the order of the request.
        unsupported: Vec<String>,
    },
    /// The requested duration is shorter than the policy allows: 423 with Min-Expires.
    #[error("Interval Too Brief")]
    IntervalTooBrief {
        /// The value for Min-Expires, in seconds.
        min_s: u32,
    },
    /// Nothing that Accept allows can be sent for this package: 406.
    #[error("Not Acceptable")]
    NotAcceptable,
    /// The package is not for this watcher, or it asks for something that it may not have done: 403 (RFC 6665 section 4.2.1.2).
    #[error("Forbidden")]
    Forbidden,
    /// The package reads bodies, and this one is of another type: 415 with Accept.
    #[error("Unsupported Media Type")]
    UnsupportedBody {
        /// The value for Accept.
        accept: String,
    },
    /// The package reads bodies, and this one is in a coding that is not understood: 415 with Accept-Encoding.
    #[error("Unsupported Content-Encoding")]
    UnsupportedEncoding,
    /// The package reads bodies, and this one asks for nothing that it knows: 400; 413 if it is too large.
    #[error("{}", .0.reason())]
    BodyRefused(BodyFault),
}
