//! PostgreSQL's own limit: pgbench writing what PUBLISHes would write.

use std::process::Command;

use crate::ground::{Ground, file};

const DATABASE: &str = "limit";
/// Rows per statement in [`Limit::batch`], as many as a server sends at most.
pub(crate) const BATCH: u32 = 64;

/// Rows a second, each with its queue row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// One row a statement, 32 clients.
    pub(crate) single: f64,
    /// 64 rows a statement, 4 clients.
    pub(crate) batch: f64,
}

/// Makes the tables that pgbench writes to.
pub(crate) fn prepare(ground: &Ground) -> Result<(), String> {
    ground.make_empty(DATABASE)?;
    let file = file("pgbench_tables.sql");
    ground
        .sql_file(DATABASE, &file, &[("body", &body(0))])
        .map(drop)
}

/// Measures both for so many seconds each.
pub(crate) fn measure(ground: &Ground, seconds: u32) -> Result<Limit, String> {
    let bodies: Vec<String> = (0..BATCH).map(|n| array_element(&body(n))).collect();
    let bodies = format!("bodies={{{}}}", bodies.join(","));
    let body = format!("body={}", body(0));
    Ok(Limit {
        single: run(ground, "pgbench_single.sql", 32, seconds, &body)?,
        batch: f64::from(BATCH) * run(ground, "pgbench_batch.sql", 4, seconds, &bodies)?,
    })
}

fn run(
    ground: &Ground,
    script: &str,
    clients: u32,
    seconds: u32,
    variable: &str,
) -> Result<f64, String> {
    let mut command = Command::new(ground.cluster.binaries().join("pgbench"));
    command
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={seconds}"))
        .args(["--define", variable, "--file"])
        .arg(file(script))
        .arg(ground.url(DATABASE));
    let out = ground.run(&mut command)?;
    rate(&out).ok_or(format!("pgbench names no rate:\n{out}"))
}

fn rate(out: &str) -> Option<f64> {
    let line = out.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

/// Some 550 bytes, as a phone publishes them.
pub(crate) fn body(number: u32) -> String {
    let body = format!(
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"sip:user{number}@example.org\"><tuple id=\"t{number}\"><status><basic>open</basic></status></tuple>\
         <dm:person id=\"p1\"><rpid:activities><rpid:on-the-phone/></rpid:activities><dm:note>"
    );
    let end = "</dm:note></dm:person></presence>";
    let filling = 550_usize.saturating_sub(body.len() + end.len());
    format!("{body}{}{end}", "x".repeat(filling))
}

fn array_element(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found() {
        let out = "latency average = 1.9 ms\ntps = 16712.305 (without initial connection time)\n";
        assert_eq!(rate(out), Some(16712.305));
        assert_eq!(rate("tps"), None);
        assert_eq!(body(7).len(), 550);
    }
}
