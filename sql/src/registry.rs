//! All statements.

/// A statement.
#[derive(Debug)]
pub struct Statement {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// All.
pub static STATEMENTS: &[&Statement] = &[];
