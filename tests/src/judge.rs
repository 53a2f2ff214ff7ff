//! The judge of load tests: knows what every publisher was told is stored, sees what every watcher
//! is shown, and says whether the two agree.
//!
//! A publisher writes an increasing number into the note of a tuple of its own. So the judge can
//! tell from any NOTIFY how old the state is that it shows, whoever published it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::message::Message;
use crate::phone::{Dialog, Inspect, Notify, Phone, Publisher};
use crate::pidf;

/// What has been acknowledged: for each presentity, the number that each tuple shows last.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<HashMap<String, HashMap<String, u64>>>>);

/// Dialogs and the presentity that each of them watches.
pub type Watch = (Dialog, String);

impl Ledger {
    /// A publication was acknowledged.
    pub fn acknowledged(&self, presentity: &str, tuple: &str, number: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(presentity.into())
            .or_default()
            .insert(tuple.into(), number);
    }

    /// A removal was acknowledged.
    pub fn removed(&self, presentity: &str, tuple: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(presentity.into()).or_default().remove(tuple);
    }

    /// What a watcher of this presentity must be shown in the end.
    pub fn expected(&self, presentity: &str) -> HashMap<String, u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(presentity).cloned().unwrap_or_default()
    }

    /// How many publications there should be.
    pub fn publications(&self) -> usize {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(HashMap::len)
            .sum()
    }

    /// Waits until the newest NOTIFY of every dialog shows what was acknowledged last. With `exact`
    /// it shows nothing else; without, publications of unknown fate may stand beside it.
    ///
    /// # Errors
    /// The first dialogs that do not, and how many they are.
    pub async fn reached(
        &self,
        watches: &[Watch],
        exact: bool,
        patience: Duration,
    ) -> Result<(), String> {
        let end = Instant::now() + patience;
        let mut left: Vec<&Watch> = watches.iter().collect();
        loop {
            left.retain(|(dialog, presentity)| {
                let shown = dialog
                    .last()
                    .map(|notify| numbers(&notify))
                    .unwrap_or_default();
                let expected = self.expected(presentity);
                let all = expected
                    .iter()
                    .all(|(tuple, number)| shown.get(tuple) == Some(number));
                !(all && (!exact || shown.len() == expected.len()))
            });
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                let examples = left.iter().take(3).map(|(dialog, presentity)| {
                    let last = dialog.last();
                    let shown = last.as_ref().map(numbers).unwrap_or_default();
                    let state = last.map(|notify| (notify.cseq, notify.state));
                    format!(
                        "\n{presentity} in {}: shows {shown:?} ({state:?}), expected {:?}",
                        dialog.call_id(),
                        self.expected(presentity)
                    )
                });
                let examples: String = examples.collect();
                return Err(format!(
                    "{} of {} watchers are not on the last state:{examples}",
                    left.len(),
                    watches.len()
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The number that each tuple of a NOTIFY shows.
pub fn numbers(notify: &Notify) -> HashMap<String, u64> {
    let tuples = notify.presence.iter().flat_map(|presence| &presence.tuples);
    tuples
        .filter_map(|tuple| Some((tuple.id.clone(), tuple.note.as_ref()?.parse().ok()?)))
        .collect()
}

/// Says no to a NOTIFY that shows an older state than one before it in the same dialog.
pub fn never_back() -> Inspect {
    let seen: Mutex<HashMap<(String, String), u64>> = Mutex::new(HashMap::new());
    Arc::new(move |call_id, notify| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (tuple, number) in numbers(notify) {
            let newest = seen
                .entry((call_id.to_string(), tuple.clone()))
                .or_default();
            if number < *newest {
                return Err(format!("{tuple} goes back from {newest} to {number}"));
            }
            *newest = number;
        }
        Ok(())
    })
}

/// So many phones, each with this share of the watchers.
pub async fn phones(count: usize) -> Vec<Phone> {
    let inspect = never_back();
    let mut phones = Vec::new();
    for number in 0..count {
        let phone = Phone::udp(&format!("watcher{number}")).await;
        phone.inspects(inspect.clone());
        phones.push(phone);
    }
    phones
}

/// Makes `per_presentity` dialogs to each presentity, dealt over the phones; `subscribe` makes one.
pub async fn watches<F, R>(
    phones: &[Phone],
    presentities: &[String],
    per_presentity: usize,
    subscribe: F,
) -> Vec<Watch>
where
    F: Fn(Phone, String, usize) -> R + Clone + Send + 'static,
    R: Future<Output = Dialog> + Send,
{
    let mut tasks = JoinSet::new();
    for (number, phone) in phones.iter().enumerate() {
        let (phone, subscribe, count) = (phone.clone(), subscribe.clone(), phones.len());
        let mine: Vec<(usize, String)> = (0..presentities.len() * per_presentity)
            .filter(|index| index % count == number)
            .map(|index| (index, presentities[index / per_presentity].clone()))
            .collect();
        tasks.spawn(async move {
            let mut made = Vec::new();
            for (index, presentity) in mine {
                made.push((
                    subscribe(phone.clone(), presentity.clone(), index).await,
                    presentity,
                ));
            }
            made
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// One publisher of a load test: a publication, its tuple and the number it shows.
pub struct Source {
    publisher: Publisher,
    ledger: Ledger,
    presentity: String,
    name: String,
    generation: u32,
    number: u64,
    uncertain: bool,
}

impl Source {
    /// A source called `name` of the presence of `presentity`.
    pub fn new(phone: &Phone, ledger: &Ledger, presentity: &str, name: &str) -> Source {
        Source {
            publisher: phone.publisher(presentity),
            ledger: ledger.clone(),
            presentity: presentity.into(),
            name: name.into(),
            generation: 0,
            number: 0,
            uncertain: false,
        }
    }

    fn tuple(&self) -> String {
        format!("{}-{}", self.name, self.generation)
    }

    fn document(&self) -> String {
        let basic = if self.number.is_multiple_of(2) {
            "open"
        } else {
            "closed"
        };
        pidf::document(
            &self.presentity,
            &self.tuple(),
            basic,
            &self.number.to_string(),
        )
    }

    /// The next PUBLISH of the given kind.
    pub fn draft(&mut self, kind: Kind, expires_s: u32) -> Message {
        match kind {
            Kind::State => {
                self.number += 1;
                let document = self.document();
                self.publisher.draft(Some(&document), Some(expires_s))
            }
            Kind::Refresh => self.publisher.draft(None, Some(expires_s)),
            Kind::Remove => self.publisher.draft(None, Some(0)),
        }
    }

    /// Whether there is something to refresh or to remove.
    pub fn is_published(&self) -> bool {
        self.publisher.etag.is_some()
    }

    /// Takes the answer to the last draft.
    ///
    /// # Errors
    /// When it is not the 200 that it must be.
    pub fn settle(&mut self, kind: Kind, response: &Message) -> Result<(), String> {
        if response.status() != Some(200) {
            return Err(format!("{} {kind:?}: {response}", self.name));
        }
        self.publisher.learn(response);
        match kind {
            Kind::State => self
                .ledger
                .acknowledged(&self.presentity, &self.tuple(), self.number),
            Kind::Refresh => {}
            Kind::Remove => {
                self.ledger.removed(&self.presentity, &self.tuple());
                self.publisher.etag = None;
                self.generation += 1;
            }
        }
        Ok(())
    }

    /// Publishes one new state whatever happens to the servers meanwhile, as a patient client does:
    /// retransmits, tries again after 503, starts anew after 412 when the fate of an earlier request is
    /// unknown.
    ///
    /// # Errors
    /// When an answer is not one that may be given.
    pub async fn insist(
        &mut self,
        phone: &Phone,
        servers: &[SocketAddr],
        expires_s: u32,
    ) -> Result<(), String> {
        self.number += 1;
        for _ in 0..40 {
            let document = self.document();
            let request = self.publisher.draft(Some(&document), Some(expires_s));
            let response = phone
                .try_send(&request, servers, Duration::from_secs(32))
                .await?;
            match response.status() {
                Some(200) => {
                    self.uncertain = false;
                    return self.settle(Kind::State, &response);
                }
                Some(503) => {
                    // Whether it was stored is not known: the connection may have broken after COMMIT.
                    self.uncertain = true;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Some(412) if self.uncertain => {
                    self.ledger.removed(&self.presentity, &self.tuple());
                    self.publisher.etag = None;
                    self.generation += 1;
                    self.uncertain = false;
                }
                _ => return Err(format!("{} got\n{response}\nto\n{request}", self.name)),
            }
        }
        Err(format!("{}: 40 times 503", self.name))
    }
}

/// What a PUBLISH is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A new state: initial or modification.
    State,
    /// More time.
    Refresh,
    /// The end.
    Remove,
}
