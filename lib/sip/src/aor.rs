//! The canonical form of a presentity's address.
use crate::{ParseError, Uri};

/// A canonical presentity: what `presentity_uri` is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aor {
    /// The user, needless escapes decoded; empty for `sip:domain`.
    pub username: String,
    /// The domain in lower case, without port; empty for `tel:`.
    pub domain: String,
}

impl Aor {
    /// Canonicalises; `fold_case` lower-cases the user too (`sip_uri_match` = 1).
    ///
    /// # Errors
    /// 416 for a scheme that is none of sip, sips, tel.
    pub fn from_uri(_uri: &Uri, _fold_case: bool) -> Result<Aor, ParseError> {
        todo!()
    }

    /// `sip:user@domain`, `sip:domain` or `tel:number`.
    pub fn uri(&self) -> String {
        todo!()
    }
}
