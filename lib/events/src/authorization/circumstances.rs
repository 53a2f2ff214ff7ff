//! Who watches, when, and where the presentity is: what conditions look at.

use super::identity::Watcher;
use super::lists::Lists;
use super::moment::Moment;

/// What a decision depends on besides the rules.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Who watches.
    pub watcher: &'a Watcher,
    /// When.
    pub now: Moment,
    /// The presentity's sphere; nothing if it is not known, not unambiguous, or not looked at (`enable_sphere_check` = 0).
    pub sphere: Option<&'a str>,
    /// The lists that the rules refer to.
    pub lists: &'a Lists,
}
