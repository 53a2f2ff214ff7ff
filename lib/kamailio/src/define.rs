//! `#!define` and its kin: names that stand for text.

use std::collections::HashMap;
use std::sync::Arc;

/// What to do when the name is taken already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfTaken {
    /// `#!define`, `#!substdef`: Kamailio refuses to start. The first one stays.
    Complain,
    /// `#!trydef`: the first one stays.
    Keep,
    /// `#!redefine`: the last one counts.
    Replace,
}

/// All names with their text; a name without text is defined all the same.
#[derive(Debug, Default)]
pub(crate) struct Defines(HashMap<String, Arc<str>>);

impl Defines {
    /// `false`: the name was taken, and that is a fault.
    pub(crate) fn add(&mut self, name: &str, text: &str, if_taken: IfTaken) -> bool {
        let taken = self.0.contains_key(name);
        match if_taken {
            _ if !taken => {}
            IfTaken::Replace => {}
            IfTaken::Keep => return true,
            IfTaken::Complain => return false,
        }
        self.0.insert(name.to_owned(), Arc::from(text));
        true
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<Arc<str>> {
        self.0.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Defines, IfTaken};

    #[test]
    fn the_first_stays_unless_redefined() {
        let mut defines = Defines::default();
        assert!(defines.add("A", "1", IfTaken::Complain));
        assert!(!defines.add("A", "2", IfTaken::Complain));
        assert!(defines.add("A", "3", IfTaken::Keep));
        assert_eq!(defines.text("A").as_deref(), Some("1"));
        assert!(defines.add("A", "4", IfTaken::Replace));
        assert_eq!(defines.text("A").as_deref(), Some("4"));
        assert!(defines.add("B", "", IfTaken::Keep));
        assert!(defines.has("B") && !defines.has("C"));
    }
}
