//! What a statement is, and how its parameters get their names.
//!
//! A file in `sql/statements` says `:entity_tag` where it means a parameter, and its header declares them: name, type, remark. `sql/build.rs`
//! makes a struct of it, with a field for each of them. A call is a value of that struct, so that the compiler finds a parameter which is
//! missing or of another type, and nobody counts to 17. PostgreSQL gets `$1`, `$2` … in the order of the header.

use std::time::SystemTime;

use tokio_postgres::types::ToSql;

/// One statement: one file, one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    /// `area.verb_object`: the path below `statements`, the first comment of the text, the label in logs and errors.
    pub name: &'static str,
    /// The whole file, with numbers for the names of parameters, and with its fragments. Its header travels to PostgreSQL too, and names the statement in `pg_stat_activity`.
    pub text: &'static str,
    /// Name and type of each parameter, in the order of `$1`, `$2` …
    pub parameters: &'static [(&'static str, &'static str)],
}

/// A statement with its parameters, ready to be run: [`crate::Store::query`].
pub(crate) trait Call: Sync {
    /// What is run.
    const STATEMENT: &'static Statement;

    /// The parameters in their order.
    fn values(&self) -> impl AsRef<[Parameter<'_>]> + Send;
}

/// As `tokio_postgres` takes it.
pub(crate) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// What can be the value of a parameter of a type of PostgreSQL's, which `Kind` stands for: `str` for `text`, [`Array`] of it for `text[]`.
pub(crate) trait Value<Kind: ?Sized>: ToSql + Sync {}

/// Stands for an array of PostgreSQL's.
pub(crate) struct Array<Kind: ?Sized>(std::marker::PhantomData<Kind>);

impl Value<str> for &str {}
impl Value<str> for String {}
impl Value<[u8]> for &[u8] {}
impl Value<[u8]> for Vec<u8> {}
impl Value<bool> for bool {}
impl Value<i16> for i16 {}
impl Value<i32> for i32 {}
impl Value<i64> for i64 {}
impl Value<f64> for f64 {}
impl Value<SystemTime> for SystemTime {}
impl<Kind: ?Sized, T: Value<Kind>> Value<Kind> for Option<T> {}
impl<Kind: ?Sized, T: Value<Kind>> Value<Kind> for &T {}
impl<Kind: ?Sized, T: Value<Kind>> Value<Array<Kind>> for Vec<T> {}
impl<Kind: ?Sized, T: Value<Kind>> Value<Array<Kind>> for &[T] {}

/// A call of a batch statement: what each row gives to each column, and what is said once for all rows.
///
/// ```ignore
/// batch!(resources, |of| subscription::ListContacts { presentity_uri: &of.presentity_uri, event: &of.event }, Once {})
/// ```
macro_rules! batch {
    (
        $rows:expr,
        |$row:ident| $area:ident::$call:ident { $($column:ident: $value:expr),* $(,)? },
        Once { $($name:ident: $once:expr),* $(,)? } $(,)?
    ) => {
        $area::$call {
            $($column: &$rows.iter().map(|$row| $value).collect::<Vec<_>>(),)*
            $($name: &$once,)*
        }
    };
}
pub(crate) use batch;
