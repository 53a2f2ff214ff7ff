//! Who published, as far as it can be told for good.

use sip::token::EntityTag;

/// Who a publication is by. Two publications of one publisher are about the same calls; those of two publishers may call different calls
/// the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Publisher<'a> {
    /// A device that speaks SIP, by what stands for its address ([`sip::token::source`]). It is the same one after a restart.
    Source(&'a str),
    /// A device that speaks SIP, but a version that did not say which one has given the entity-tag. All these count as one publisher,
    /// as they did for that version, until the next request that changes or refreshes the publication tells.
    Untold,
    /// Whoever writes this row: a program, by HTTP or by SQL, or somebody by hand. It has no other row, so the number is enough.
    Row(i64),
}

impl<'a> Publisher<'a> {
    /// The publisher of a row of `presentity`.
    pub fn of_row(entity_tag: &'a str, row: i64) -> Self {
        match EntityTag::read(entity_tag) {
            Some(EntityTag {
                source: Some(source),
            }) => Self::Source(source),
            Some(EntityTag { source: None }) => Self::Untold,
            None => Self::Row(row),
        }
    }

    /// The publisher of a row that a PUBLISH writes, by the entity-tag that the row then has.
    pub(crate) fn of_request(entity_tag: &'a str) -> Self {
        Self::of_row(entity_tag, 0)
    }
}
