//! What is asked of the DNS at once, and what is not asked again for a while: whoever writes names into Contacts chooses the questions, and the
//! name servers that answer them late or never.
//!
//! Those who ask the same share one answer. A zone has a share of all questions, so that one whose name servers are silent holds up
//! its own names only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sip::Transport;
use tokio::sync::{OnceCell, Semaphore};

use super::{ResolveError, Target};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) wanted: Option<Transport>,
}

type Answer = Result<Vec<Target>, ResolveError>;

/// Questions in progress, and failures that are remembered.
pub(super) struct Lookups {
    in_all: Semaphore,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    asking: HashMap<Question, Arc<OnceCell<Answer>>>,
    zones: HashMap<String, Zone>,
    failed: HashMap<Question, (ResolveError, Instant)>,
}

struct Zone {
    places: Arc<Semaphore>,
    /// Those who have a place or wait for one.
    visitors: usize,
}

/// Questions in progress, in all and of one zone. Each is a few packets, for five seconds at the most.
const IN_ALL: usize = 512;
const IN_ZONE: usize = 32;
/// How many of a zone may have a place or wait for one; beyond that they fail at once, and are tried again like all that fails.
const VISITORS: usize = 512;
/// How long a failure is the answer.
const FAILED_FOR: Duration = Duration::from_secs(30);
/// Failures remembered. Beyond that all are forgotten: each then costs a question once more.
const MAX_FAILED: usize = 8_192;

impl Lookups {
    pub(super) fn new() -> Lookups {
        Lookups {
            in_all: Semaphore::new(IN_ALL),
            inside: Mutex::default(),
        }
    }

    /// The answer of whoever asks already; a failure of a moment ago; or that of `ask`, which has until `deadline` for it, waiting included.
    pub(super) async fn find(
        &self,
        question: Question,
        deadline: Duration,
        ask: impl Future<Output = Answer>,
    ) -> Answer {
        let asking = {
            let mut inside = self.inside();
            if let Some(failure) = inside.failure(&question) {
                return Err(failure);
            }
            Arc::clone(inside.asking.entry(question.clone()).or_default())
        };
        // Whoever is dropped while he asks hands the question to the next one.
        let answer = asking
            .get_or_init(|| async {
                let in_time = tokio::time::timeout(deadline, self.ask(&question.host, ask));
                let late = |_| Err(ResolveError::Deadline(question.host.clone()));
                in_time.await.unwrap_or_else(late)
            })
            .await
            .clone();
        let mut inside = self.inside();
        let is_current = inside.asking.get(&question);
        if is_current.is_some_and(|current| Arc::ptr_eq(current, &asking)) {
            inside.asking.remove(&question);
            if let Err(failure) = &answer {
                inside.note(question, failure);
            }
        }
        answer
    }

    async fn ask(&self, host: &str, ask: impl Future<Output = Answer>) -> Answer {
        let visit = self.visit(zone(host))?;
        // In this order: who waits for his zone takes nothing from the others. Neither is ever closed.
        let _in_zone = visit.places.acquire().await;
        let _in_all = self.in_all.acquire().await;
        ask.await
    }

    fn visit(&self, zone: String) -> Result<Visit<'_>, ResolveError> {
        let mut inside = self.inside();
        let found = inside.zones.entry(zone.clone()).or_insert_with(|| Zone {
            places: Arc::new(Semaphore::new(IN_ZONE)),
            visitors: 0,
        });
        if found.visitors >= VISITORS {
            return Err(ResolveError::Busy(zone));
        }
        found.visitors += 1;
        Ok(Visit {
            places: Arc::clone(&found.places),
            lookups: self,
            zone,
        })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn failure(&self, question: &Question) -> Option<ResolveError> {
        let (failure, since) = self.failed.get(question)?;
        (since.elapsed() < FAILED_FOR).then(|| failure.clone())
    }

    fn note(&mut self, question: Question, failure: &ResolveError) {
        if matches!(failure, ResolveError::Busy(_)) {
            return;
        }
        if self.failed.len() >= MAX_FAILED {
            self.failed
                .retain(|_, (_, since)| since.elapsed() < FAILED_FOR);
        }
        if self.failed.len() >= MAX_FAILED {
            self.failed.clear();
        }
        self.failed
            .insert(question, (failure.clone(), Instant::now()));
    }
}

/// Somebody who has a place in a zone, or waits for one.
struct Visit<'a> {
    places: Arc<Semaphore>,
    lookups: &'a Lookups,
    zone: String,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut inside = self.lookups.inside();
        if let Some(zone) = inside.zones.get_mut(&self.zone) {
            zone.visitors -= 1;
            if zone.visitors == 0 {
                inside.zones.remove(&self.zone);
            }
        }
    }
}

/// The last two labels: where registries give out names below a second label, as in `co.uk`, several owners share what one has.
fn zone(host: &str) -> String {
    let mut labels = host.rsplit('.');
    let (last, second) = (labels.next().unwrap_or_default(), labels.next());
    match second {
        Some(second) => format!("{second}.{last}"),
        None => last.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_two_labels() {
        for (host, expected) in [
            ("phone-1.sip.example.org", "example.org"),
            ("example.org", "example.org"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert_eq!(zone(host), expected, "{host}");
        }
    }

    #[test]
    fn failures_are_forgotten_rather_than_piled_up() {
        let question = |number: usize| Question {
            host: format!("{number}.example.org"),
            port: None,
            wanted: None,
        };
        let mut inside = Inside::default();
        for number in 0..=MAX_FAILED {
            let host = question(number).host;
            inside.note(question(number), &ResolveError::NoAddress(host));
        }
        assert_eq!(inside.failed.len(), 1);
        assert!(inside.failure(&question(MAX_FAILED)).is_some());
        let busy = ResolveError::Busy("example.org".to_owned());
        inside.note(question(0), &busy);
        assert_eq!(inside.failure(&question(0)), None);
        let long_ago = Instant::now().checked_sub(FAILED_FOR).unwrap();
        for (_, since) in inside.failed.values_mut() {
            *since = long_ago;
        }
        assert_eq!(inside.failure(&question(MAX_FAILED)), None);
    }
}
