//! What it is judged by who may watch whom: rules documents, the lists that they name, the presentity's sphere.
//!
//! Notifiers decide about subscriptions by it, and `pres_auth_status` judges by it at once about anybody, in servers and notifiers
//! alike: all of them read the same and evaluate it by the same code, `events::authorization`. Nothing is written here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use events::Registry;
use events::authorization::auth_status::StoredStatus;
use events::authorization::lists::document_path;
use events::authorization::reevaluation::Ground;
use events::authorization::ruleset::SubHandling;
use events::authorization::sphere::sphere_of;
use events::authorization::{AuthorizationPolicy, Lists, Moment, Rules, Watcher};
use events::package::Authorization;
use sip::{Aor, Uri};
use tokio::sync::Semaphore;

use crate::registry::script;
use crate::{Resource, Store, StoreError};

/// How often lists are followed to lists of further owners.
const MAX_ROUNDS: usize = 4;

/// Most owners of lists that are asked for one presentity.
const MAX_OWNERS: usize = 64;

/// The package that rules are about.
const PRESENCE: &str = "presence";

/// Documents of so many bytes in all are read where they arrive: that takes 2 ms at most.
const MAX_READ_IN_PLACE_BYTES: usize = 64 * 1024;

/// Judges by what the operator says.
#[derive(Clone, Debug)]
pub struct Judge {
    /// The packages that are served.
    pub registry: Registry,
    /// `default_policy`, `force_active`
    pub policy: AuthorizationPolicy,
    /// `xcapauth_userdel_reason`
    pub removed_reason: String,
    /// `enable_sphere_check`
    pub sphere_check: bool,
    /// `sip_uri_match` = 1
    pub fold_case: bool,
    /// Whose turn it is to read large documents.
    pub large: LargeDocuments,
}

/// A presentity and her rules, of which [`Judge::grounds`] makes what her watchers are judged by.
#[derive(Clone, Debug)]
pub struct Ruled<'a> {
    /// Canonical URI of the presentity.
    pub presentity_uri: &'a str,
    /// Her rules documents.
    pub documents: Vec<Vec<u8>>,
    /// The time by the database's clock: microseconds since the epoch.
    pub now_us: i64,
}

/// One at a time reads large documents, on a thread of its own: so that such documents do not delay other requests.
#[derive(Clone, Debug)]
pub struct LargeDocuments(Arc<Semaphore>);

/// What a presentity's watchers are judged by.
#[derive(Clone, Debug)]
pub struct Grounds {
    /// Her rules.
    pub rules: Rules,
    /// The lists that they refer to.
    pub lists: Lists,
    /// When.
    pub now: Moment,
    /// Her sphere, if a rule asks for it.
    pub sphere: Option<String>,
}

// === impl LargeDocuments ===

impl Default for LargeDocuments {
    fn default() -> Self {
        LargeDocuments(Arc::new(Semaphore::new(1)))
    }
}

impl LargeDocuments {
    async fn read<T: Send + 'static>(
        &self,
        bytes: usize,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if bytes <= MAX_READ_IN_PLACE_BYTES {
            return read();
        }
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let reading = tokio::task::spawn_blocking(move || {
            // Also if nobody waits for it any more.
            let _turn = turn;
            read()
        });
        match reading.await {
            Ok(read) => read,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

// === impl Judge ===

impl Judge {
    /// A judge who goes by this configuration: servers and notifiers alike.
    pub fn new(config: &node::PresenceConfig, registry: Registry) -> Judge {
        Judge {
            registry,
            policy: AuthorizationPolicy {
                default_handling: SubHandling::read(config.default_policy.as_str()),
                force_active: config.force_active,
            },
            removed_reason: config.xcapauth_userdel_reason.clone(),
            sphere_check: config.enable_sphere_check,
            fold_case: config.sip_uri_match.folds_case(),
            large: LargeDocuments::default(),
        }
    }

    /// What the watchers of presentities are judged by, given their rules documents and the time. Asks for all of them together.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn grounds(
        &self,
        store: &Store,
        ruled: Vec<Ruled<'_>>,
    ) -> Result<Vec<Grounds>, StoreError> {
        let mut uris = Vec::with_capacity(ruled.len());
        let mut grounds = Vec::with_capacity(ruled.len());
        for Ruled {
            presentity_uri,
            documents,
            now_us,
        } in ruled
        {
            let bytes = documents.iter().map(Vec::len).sum();
            let fold_case = self.fold_case;
            let read = move || Rules::read(documents.iter().map(Vec::as_slice), fold_case);
            uris.push(presentity_uri);
            grounds.push(Grounds {
                rules: self.large.read(bytes, read).await,
                lists: Lists::default(),
                now: Moment::from_epoch_us(now_us),
                sphere: None,
            });
        }
        self.find_lists(store, &mut grounds).await?;
        self.find_spheres(store, &uris, &mut grounds).await?;
        Ok(grounds)
    }

    /// Whether these rules ask for the sphere, and it is looked at.
    pub fn sphere_counts(&self, rules: &Rules) -> bool {
        self.sphere_check && matches!(rules, Rules::Stored(rules) if rules.depends_on_sphere())
    }

    /// The grounds, and what the operator says.
    pub fn ground<'a>(&'a self, grounds: &'a Grounds) -> Ground<'a> {
        Ground {
            policy: &self.policy,
            removed_reason: &self.removed_reason,
            rules: &grounds.rules,
            lists: &grounds.lists,
            now: grounds.now,
            sphere: grounds.sphere.as_deref(),
        }
    }

    /// Whether this watcher may watch this presentity's presence, judged at once, whether it ever subscribed or not: 1 active, 2
    /// pending, 3 terminated, 4 waiting, 5 politely blocked. -1: a URI is none, or there is no package `presence`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn auth_status(
        &self,
        store: &Store,
        watcher_uri: &str,
        presentity_uri: &str,
    ) -> Result<i32, StoreError> {
        let named = self.person(watcher_uri).zip(self.person(presentity_uri));
        let (Some((watcher, presentity)), Some(package)) =
            (named, self.registry.find_name(PRESENCE))
        else {
            return Ok(-1);
        };
        if package.authorization != Authorization::Rules || self.policy.force_active {
            return Ok(1);
        }
        let presentity_uri = presentity.uri();
        let rows = store
            .query(&script::ListGrounds {
                presentity_uri: &presentity_uri,
                watcher_username: &watcher.username,
                watcher_domain: &watcher.domain,
                now: &store.now(),
            })
            .await?;
        let Some(first) = rows.first() else {
            return Ok(-1);
        };
        let stored = first.get::<_, Option<i16>>("stored_status");
        let stored = stored.map(|status| StoredStatus {
            status: status.into(),
            reason: first
                .get::<_, Option<&str>>("stored_reason")
                .unwrap_or_default(),
            is_current: first.get("stored_is_current"),
        });
        let documents = rows.iter().filter_map(|row| row.get("doc")).collect();
        let now_us = first.get("now_us");
        let ruled = Ruled {
            presentity_uri: &presentity_uri,
            documents,
            now_us,
        };
        let grounds = self.grounds(store, vec![ruled]).await?;
        let Some(grounds) = grounds.first() else {
            return Ok(-1);
        };
        let ground = self.ground(grounds);
        Ok(ground.auth_status(&Watcher::of(watcher), stored))
    }

    /// Whom a script or an operator names: by a URI, or one in angle brackets with whatever stands around it. `pres:` is the address
    /// of a presentity or watcher, whatever protocol serves it (RFC 3859); here it is SIP.
    fn person(&self, text: &str) -> Option<Aor> {
        let text = sip::enclosed_uri(text);
        let uri = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("pres") => {
                Uri::parse(&format!("sip:{rest}"))
            }
            _ => Uri::parse(text),
        };
        Aor::from_uri(&uri.ok()?, self.fold_case).ok()
    }

    /// The lists that rules refer to, and those that these refer to, round after round.
    async fn find_lists(&self, store: &Store, grounds: &mut [Grounds]) -> Result<(), StoreError> {
        let mut gathering: Vec<Gathering> = grounds
            .iter()
            .enumerate()
            .filter_map(|(place, grounds)| Gathering::of(place, &grounds.rules))
            .collect();
        for _ in 0..MAX_ROUNDS {
            let mut owners = BTreeSet::new();
            for gathered in &mut gathering {
                let lists = gathered.gather(self).await;
                let missing: BTreeSet<String> = lists.missing().filter_map(owner_of).collect();
                if let Some(grounds) = grounds.get_mut(gathered.place) {
                    grounds.lists = lists;
                }
                gathered.ask(&missing);
                owners.extend(gathered.asks.iter().cloned());
            }
            gathering.retain(|gathered| !gathered.asks.is_empty());
            if owners.is_empty() {
                break;
            }
            let owners: Vec<String> = owners.into_iter().collect();
            let found = store.watcher().lists(&owners).await?;
            let found = found.into_iter().filter_map(|(address, document)| {
                Some((document_path(&address, self.fold_case)?, document))
            });
            let found: HashMap<String, Vec<u8>> = found.collect();
            for gathered in &mut gathering {
                gathered.take(&found);
            }
        }
        Ok(())
    }

    /// The spheres of those whose rules ask for it.
    async fn find_spheres(
        &self,
        store: &Store,
        uris: &[&str],
        grounds: &mut [Grounds],
    ) -> Result<(), StoreError> {
        let concerned: Vec<(&str, &mut Grounds)> = uris
            .iter()
            .copied()
            .zip(grounds.iter_mut())
            .filter(|(_, grounds)| self.sphere_counts(&grounds.rules))
            .collect();
        let Some(package) = self.registry.find_name(PRESENCE) else {
            return Ok(());
        };
        let resources: Vec<Resource> = concerned
            .iter()
            .map(|(uri, _)| Resource {
                presentity_uri: (*uri).to_owned(),
                event: PRESENCE.to_owned(),
            })
            .collect();
        let listed = store.publication().list(&resources).await?;
        let sources = listed.by_resource(resources.len());
        for ((uri, grounds), source) in concerned.into_iter().zip(&sources) {
            let document = package.merge(&source.input(uri));
            grounds.sphere = document.and_then(|document| sphere_of(&document.body, grounds.now));
        }
        Ok(())
    }
}

/// The lists of one presentity, being gathered.
struct Gathering {
    place: usize,
    anchors: Arc<[String]>,
    documents: Arc<HashMap<String, Vec<u8>>>,
    asked: BTreeSet<String>,
    /// Whose documents are asked for next.
    asks: Vec<String>,
}

// === impl Gathering ===

impl Gathering {
    /// Nothing, if the rules refer to none.
    fn of(place: usize, rules: &Rules) -> Option<Gathering> {
        let Rules::Stored(rules) = rules else {
            return None;
        };
        let anchors: Arc<[String]> = rules.anchors().map(str::to_owned).collect();
        (!anchors.is_empty()).then(|| Gathering {
            place,
            anchors,
            documents: Arc::default(),
            asked: BTreeSet::new(),
            asks: Vec::new(),
        })
    }

    /// What there is so far.
    async fn gather(&self, judge: &Judge) -> Lists {
        let bytes: usize = self.documents.values().map(Vec::len).sum();
        // Each address is followed through the documents, and what it refers to as well.
        let work = bytes.saturating_mul(self.anchors.len()).saturating_mul(8);
        let (anchors, given) = (Arc::clone(&self.anchors), Arc::clone(&self.documents));
        let fold_case = judge.fold_case;
        let gather = move || Lists::gather(anchors.iter().map(String::as_str), &given, fold_case);
        judge.large.read(work, gather).await
    }

    /// Whom to ask next: nobody twice, and not too many.
    fn ask(&mut self, missing: &BTreeSet<String>) {
        self.asks = missing.difference(&self.asked).cloned().collect();
        if self.asked.len() + self.asks.len() > MAX_OWNERS {
            self.asks.clear();
        }
        self.asked.extend(self.asks.iter().cloned());
    }

    /// Takes what was found of those who were asked.
    fn take(&mut self, found: &HashMap<String, Vec<u8>>) {
        let asks: BTreeSet<&str> = self.asks.iter().map(String::as_str).collect();
        let own = found.iter().filter(|(path, _)| {
            let owner = owner_of(path);
            owner.is_some_and(|owner| asks.contains(owner.as_str()))
        });
        let own: Vec<(String, Vec<u8>)> = own
            .map(|(path, document)| (path.clone(), document.clone()))
            .collect();
        Arc::make_mut(&mut self.documents).extend(own);
    }
}

/// Whose document a path of [`Lists::missing`] is of, in canonical form as all of it. Global lists have no owner, and are not found.
fn owner_of(path: &str) -> Option<String> {
    let (owner, _) = path
        .strip_prefix("resource-lists/users/")?
        .split_once('/')?;
    Some(owner.to_owned())
}
