//! Many short lives: whether one notifier keeps up with publications that are refreshed every minute, and with so many removals that their
//! tombstones would fill the tables.

use std::time::{Duration, Instant};

use crate::ground::{Ground, file};
use crate::ours::Ours;
use crate::pgbench::body;

const DATABASE: &str = "lifetimes";
/// Live publications, each with 60 s to live.
pub(crate) const PUBLICATIONS: u32 = 200_000;
/// Publications that are removed each second.
pub(crate) const REMOVALS: u32 = 5_000;
/// Until autovacuum, which looks once a minute, has freed the space of the first that were forgotten.
const WARM_UP_S: usize = 75;
const SECONDS: usize = 135;
/// How long is measured, in seconds.
pub(crate) const MEASURED_S: usize = SECONDS - WARM_UP_S;

/// Everything that was measured, after the warm-up.
#[derive(Clone, Debug)]
pub(crate) struct Lifetimes {
    /// By how many seconds the sweep was late at most.
    pub(crate) late_s: u64,
    /// Publications that were refreshed in time and ended all the same.
    pub(crate) ended: i64,
    /// Rows, and octets of their table, as many times as when the warm-up was over.
    pub(crate) rows: f64,
    pub(crate) octets: f64,
    /// Part of a core that the notifier took, and all of PostgreSQL, the load's own statements among it.
    pub(crate) notifier: f64,
    pub(crate) postgres: f64,
}

/// What one second found.
struct Second {
    late_s: u64,
    ended: i64,
    rows: f64,
    octets: f64,
}

/// Fills, measures and cleans up.
pub(crate) fn measure(
    ground: &Ground,
    sets: &[String],
    mut say: impl FnMut(&str),
) -> Result<Lifetimes, String> {
    ground.make_ours(DATABASE)?;
    say(&format!("filling with {PUBLICATIONS} publications"));
    ground.sql_file(
        DATABASE,
        &file("fill_lifetimes.sql"),
        &[("publications", &PUBLICATIONS), ("body", &body(1))],
    )?;
    let ours = Ours::start_with(ground, DATABASE, sets, 1)?;
    let mut seconds = Vec::with_capacity(SECONDS);
    let mut before = None;
    for number in 0..SECONDS {
        if number == WARM_UP_S {
            before = ours.cpu(ground);
            say(&format!("{REMOVALS} removals/s for {MEASURED_S} s"));
        }
        let end = Instant::now() + Duration::from_secs(1);
        seconds.push(a_second(ground)?);
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
    }
    let used = ours.cpu(ground).zip(before);
    let used = used
        .map(|(after, before)| after.since(before))
        .unwrap_or_default();
    drop(ours);
    ground.drop(DATABASE)?;
    let measured = &seconds[WARM_UP_S..];
    let (Some(first), Some(last)) = (measured.first(), measured.last()) else {
        return Err("nothing was measured".to_owned());
    };
    let measured_s = MEASURED_S as f64;
    Ok(Lifetimes {
        late_s: measured
            .iter()
            .map(|second| second.late_s)
            .max()
            .unwrap_or(0),
        ended: last.ended,
        rows: last.rows / first.rows,
        octets: last.octets / first.octets,
        notifier: used.notifiers / measured_s,
        postgres: used.postgres / measured_s,
    })
}

fn a_second(ground: &Ground) -> Result<Second, String> {
    let line = ground.sql_file(
        DATABASE,
        &file("live_a_second.sql"),
        &[("removals", &REMOVALS), ("publications", &PUBLICATIONS)],
    )?;
    let mut words = line.split('|');
    let mut word = || words.next().unwrap_or_default();
    let fault = |_| format!("no numbers: {line}");
    Ok(Second {
        late_s: word().parse().map_err(|_| fault(()))?,
        ended: word().parse().map_err(|_| fault(()))?,
        rows: word().parse().map_err(|_| fault(()))?,
        octets: word().parse().map_err(|_| fault(()))?,
    })
}
