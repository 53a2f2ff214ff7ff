//! The command line.

use std::path::PathBuf;

/// How this program is called.
pub(crate) const USAGE: &str = "\
./dev bench [--peer] [--runs N] [--only NAME,...] [--seconds S] [--json FILE] [--postgres KEY=VALUE] [--set KEY=VALUE]

  --peer            Kamailio beside us, on the same workloads: DB-only on the same PostgreSQL, and in memory
  --runs N          runs of each workload; the table shows medians (5)
  --peer-runs N     runs of each workload by Kamailio, in each of its two modes (3, or --runs if that is less)
  --only NAME,...   these workloads alone; --list names them
  --list            name the workloads and end
  --seconds S       measured seconds of each run (6)
  --json FILE       everything that was measured, as JSON
  --postgres K=V    a setting of PostgreSQL, for experiments; may be repeated
  --set K=V         a setting of our processes, for experiments; may be repeated
  --statements      after each run of ours, the statements that took PostgreSQL most time
  --smoke           each workload small and short, correctness only: no figure, no PostgreSQL baseline
";

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    pub(crate) peer: bool,
    pub(crate) runs: usize,
    pub(crate) peer_runs: usize,
    pub(crate) only: Vec<String>,
    pub(crate) list: bool,
    pub(crate) seconds: u32,
    pub(crate) json: Option<PathBuf>,
    pub(crate) postgres: Vec<String>,
    pub(crate) sets: Vec<String>,
    pub(crate) statements: bool,
    pub(crate) smoke: bool,
}

impl Arguments {
    /// Reads the words of a command line.
    ///
    /// # Errors
    /// A sentence about the first word that cannot be understood; empty when help was asked for.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            peer: false,
            runs: 5,
            peer_runs: 3,
            only: vec![],
            list: false,
            seconds: 6,
            json: None,
            postgres: vec![],
            sets: vec![],
            statements: false,
            smoke: false,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--peer" => arguments.peer = true,
                "--runs" => arguments.runs = number(&value()?)?,
                "--peer-runs" => arguments.peer_runs = number(&value()?)?,
                "--only" => arguments
                    .only
                    .extend(value()?.split(',').map(|name| name.trim().to_owned())),
                "--list" => arguments.list = true,
                "--seconds" => arguments.seconds = number(&value()?)?,
                "--json" => arguments.json = Some(value()?.into()),
                "--postgres" => arguments.postgres.push(value()?),
                "--set" => arguments.sets.push(value()?),
                "--statements" => arguments.statements = true,
                "--smoke" => arguments.smoke = true,
                "--help" | "-h" => return Err(String::new()),
                _ => return Err(format!("what is {word}?")),
            }
        }
        if arguments.smoke {
            (arguments.runs, arguments.seconds) = (1, 1);
        }
        arguments.peer_runs = arguments.peer_runs.min(arguments.runs);
        Ok(arguments)
    }

    /// Whether the workload of this name is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }
}

fn number<N: TryFrom<u32>>(text: &str) -> Result<N, String> {
    let number: Option<u32> = text.parse().ok().filter(|number| *number > 0);
    number
        .and_then(|number| N::try_from(number).ok())
        .ok_or(format!("{text}: a number of 1 or more is wanted"))
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_are_understood_or_refused() {
        let arguments = parse("--runs 2 --only publish,storm --peer --seconds 3").unwrap();
        assert_eq!(
            (arguments.runs, arguments.peer_runs, arguments.seconds),
            (2, 2, 3)
        );
        assert!(arguments.wants("storm") && !arguments.wants("refresh"));
        assert!(parse("").unwrap().wants("refresh"));
        for wrong in ["--runs", "--runs 0", "--runs x", "publish", "--Peer"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
