//! Header parameters: `;name=value`, `;name="quoted value"`, `;flag` (RFC 3261 section 25.1, `generic-param`).

/// Parameters in wire order. Names compare without case; quoted values are kept unquoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// The value of the first parameter of that name; `Some(None)` for a flag.
    pub fn find(&self, name: &str) -> Option<Option<&str>> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_deref())
    }

    /// The value of the first parameter of that name, if it has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.find(name).flatten()
    }

    /// All parameters, in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
