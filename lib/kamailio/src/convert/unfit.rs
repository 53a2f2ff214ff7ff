//! Why a row cannot be taken over.

/// What is wrong with a row of Kamailio's. Remedy: none is needed for rows that are over; others are put right in Kamailio's database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Of an event package that is switched off, or that there is none of.
    #[error("the event package {} is not served here", .0.escape_debug())]
    NotServed(String),
    /// It is for no event package.
    #[error("it names no event package")]
    NoPackage,
    /// Something that each row has is missing.
    #[error("it has no {0}")]
    Without(&'static str),
    /// A subscription that is over.
    #[error("it has ended")]
    Ended,
    /// Its time is up, since so many seconds.
    #[error("it expired {0} s ago")]
    Expired(i64),
    /// A number of a status that means nothing.
    #[error("there is no status {0}")]
    Status(i64),
    /// A column holds what cannot stand in SIP.
    #[error("its {0} is not valid")]
    Invalid(&'static str),
    /// No number is left for its next NOTIFY.
    #[error("its local_cseq is not valid, or at its maximum")]
    NoMoreCseq,
    /// A column holds something else than it should.
    #[error("its {0} is not {1}")]
    Not(&'static str, &'static str),
    /// A text is longer than our tables can hold, and which.
    #[error("{0}")]
    TooLong(&'static str),
}

/// A route that is no URI of a proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SIP URI of a proxy; write sip:HOST:PORT")]
pub struct NoProxy(pub(super) String);
