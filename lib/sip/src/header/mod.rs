//! Typed headers, one a file. Each parses the value of one header line or of one element of a list; unfolding and
//! trimming have been done by the scanner.

pub(crate) mod cseq;
pub(crate) mod event;
pub(crate) mod list;
pub(crate) mod media_type;
mod name;
pub(crate) mod name_addr;
pub(crate) mod number;
mod params;
pub(crate) mod text;
pub(crate) mod via;

pub use cseq::CSeq;
pub use event::Event;
pub use media_type::MediaType;
pub use name::HeaderName;
pub use name_addr::{NameAddr, enclosed_uri};
pub use params::Params;
pub use via::Via;
