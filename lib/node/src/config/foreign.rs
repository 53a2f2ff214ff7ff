//! Parameters of Kamailio's presence module that steer what there is none of here: tables in memory, timers, replication, another way to do what is done. Their keys
//! in `[presence]` are no mistakes, so they are not refused; but a person who set them should read what does that job instead.

use toml::Value;

/// The numbers that a parameter has a meaning for in Kamailio.
type Range = std::ops::RangeInclusive<i64>;

/// Exponents of 2 for a size; Kamailio takes its default for what is below 1.
const SIZE: Range = 0..=31;
const SECONDS: Range = -2_147_483_648..=2_147_483_647;

/// Name, range, the value that asks for what happens in any case (if there is one), and the sentence for every other.
const TABLE: &[(&str, Range, Option<i64>, &str)] = &[
    (
        "subs_db_mode",
        0..=3,
        Some(3),
        "has no meaning here: subscriptions are in the database only, as with 3, and nothing is written back later",
    ),
    (
        "publ_cache",
        0..=2,
        Some(0),
        "has no meaning here: publications are in the database only, as with 0, so that all servers see the same rows",
    ),
    (
        "subs_htable_size",
        SIZE,
        None,
        "has no meaning here: there is no table in memory; the indexes of active_watchers do its job",
    ),
    (
        "pres_htable_size",
        SIZE,
        None,
        "has no meaning here: there is no table in memory; the indexes of presentity do its job",
    ),
    (
        "db_update_period",
        SECONDS,
        None,
        "has no meaning here: nothing waits in memory to be written; each change is stored before it is answered",
    ),
    (
        "timer_mode",
        0..=1,
        None,
        "has no meaning here: there are no timer processes; each notifier looks every second for what has expired",
    ),
    (
        "db_table_lock_type",
        0..=1,
        None,
        "has no meaning here: rows are locked, never tables, and always in one order, so that deadlocks do not happen",
    ),
    (
        "startup_mode",
        0..=1,
        Some(1),
        "has no meaning here: what has expired is never shown, as with 1; hard state and closed states, the purpose of 0, are always shown, and a publication with a short life as long as it lasts",
    ),
    (
        "subs_remove_match",
        0..=1,
        Some(1),
        "has no meaning here: a subscription is always found by its Call-ID and both tags, as with 1",
    ),
    (
        "enable_dmq",
        0..=1,
        Some(0),
        "has no meaning here: servers share the database, and there is nothing to replicate between them",
    ),
];

/// What there is to say about a key that is none of ours.
pub(super) enum Answer {
    /// Nothing: it asks for what happens anyway.
    Silence,
    /// One sentence; the key is left alone.
    Remark(&'static str),
    /// Its value is none in Kamailio either.
    Wrong(String),
}

/// Nothing for a key that this is not about.
pub(super) fn answer(section: &str, key: &str, value: &Value) -> Option<Answer> {
    let (_, range, anyway, sentence) = TABLE
        .iter()
        .find(|(name, ..)| section == "presence" && *name == key)?;
    Some(match value {
        Value::Integer(number) if !range.contains(number) => Answer::Wrong(format!(
            "must be {} to {}, not {number}",
            range.start(),
            range.end()
        )),
        Value::Integer(number) if Some(*number) == *anyway => Answer::Silence,
        Value::Integer(_) => Answer::Remark(sentence),
        _ => Answer::Wrong("must be a whole number".to_owned()),
    })
}
