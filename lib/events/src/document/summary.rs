//! A presence document in a few words, for people and logs.

use roxmltree::Node;

use super::{BodyFault, xml};

/// What a presence document says: its basic states and its notes, in document order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The `<basic>` of each tuple that has one: `open` or `closed`.
    pub basics: Vec<String>,
    /// The text of each `<note>`, wherever it stands. Blank ones are left out.
    pub notes: Vec<String>,
}

impl Summary {
    /// `open` as soon as one tuple is open (RFC 3863 section 4.1.4), else `closed`; `unknown` without any basic state.
    pub fn basic(&self) -> &'static str {
        match self.basics.as_slice() {
            [] => "unknown",
            basics if basics.iter().any(|basic| basic == "open") => "open",
            _ => "closed",
        }
    }
}

/// Reads the words out of a presence document.
///
/// # Errors
/// The body is not XML that the guard lets through.
pub fn summary(body: &[u8]) -> Result<Summary, BodyFault> {
    let document = xml::parse(body)?;
    let texts = |name: &'static str| {
        let named = move |node: &Node<'_, '_>| node.is_element() && node.tag_name().name() == name;
        let words = document
            .descendants()
            .filter(named)
            .filter_map(|node| node.text());
        words
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
    };
    Ok(Summary {
        basics: texts("basic"),
        notes: texts("note"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_open_tuple_is_open() {
        let body = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:b@x'>\
            <tuple id='a'><status><basic>closed</basic></status></tuple>\
            <tuple id='b'><status><basic> open </basic></status><note>out &amp; about</note></tuple>\
            <note> </note></presence>";
        let summary = summary(body.as_bytes()).unwrap();
        assert_eq!(
            (summary.basic(), summary.notes),
            ("open", vec!["out & about".to_owned()])
        );
    }

    #[test]
    fn says_nothing_of_what_is_not_there() {
        assert_eq!(
            summary(b"<presence xmlns='urn:ietf:params:xml:ns:pidf'/>")
                .unwrap()
                .basic(),
            "unknown"
        );
        assert_eq!(summary(b"nonsense"), Err(BodyFault::NotWellFormed));
    }
}
