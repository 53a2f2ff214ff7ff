//! What it is judged by who may watch whom: rules documents, the lists that they name, the presentity's sphere.
//!
//! Notifiers decide about subscriptions by it, and `pres_auth_status` judges by it at once about anybody, in servers and notifiers
//! alike: all of them read the same and evaluate it by the same code, `events::authorization`. Nothing is written here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use events::authorization::auth_status::StoredStatus;
use events::authorization::lists::document_path;
use events::authorization::reevaluation::Ground;
use events::authorization::sphere::sphere_of;
use events::authorization::{AuthorizationPolicy, Lists, Moment, Rules, Watcher};
use events::package::Authorization;
use events::{MergeInput, Registry};
use sip::{Aor, Uri};
use tokio::sync::Semaphore;

use crate::{Resource, Store, StoreError, registry};

/// How often lists are followed to lists of further owners.
const MOST_ROUNDS: usize = 4;

/// Most owners of lists that are asked for one presentity.
const MOST_OWNERS: usize = 64;

/// The package that rules are about.
const PRESENCE: &str = "presence";

/// Documents of so many bytes in all are read where they arrive: that takes 2 ms at most.
const READ_AT_ONCE: usize = 64 * 1024;

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

/// One at a time reads large documents, on a thread of its own: whoever stores such documents holds up nobody else's requests.
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
        if bytes <= READ_AT_ONCE {
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
    /// What this presentity's watchers are judged by, given her rules documents and the time.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn grounds(
        &self,
        store: &Store,
        presentity_uri: &str,
        documents: Vec<Vec<u8>>,
        now_us: i64,
    ) -> Result<Grounds, StoreError> {
        let now = Moment::from_epoch_us(now_us);
        let bytes = documents.iter().map(Vec::len).sum();
        let fold_case = self.fold_case;
        let read = move || Rules::read(documents.iter().map(Vec::as_slice), fold_case);
        let rules = self.large.read(bytes, read).await;
        let lists = self.lists(store, &rules).await?;
        let sphere = match self.sphere_counts(&rules) {
            true => self.sphere(store, presentity_uri, now).await?,
            false => None,
        };
        Ok(Grounds {
            rules,
            lists,
            now,
            sphere,
        })
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
            .query(
                &registry::SCRIPT_LIST_GROUNDS,
                &[
                    &presentity_uri,
                    &watcher.username,
                    &watcher.domain,
                    &store.now(),
                ],
            )
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
        let grounds = self
            .grounds(store, &presentity_uri, documents, now_us)
            .await?;
        let ground = self.ground(&grounds);
        Ok(ground.auth_status(&Watcher::of(watcher), stored))
    }

    /// Whom a script or an operator names: by a URI, or one in angle brackets with whatever stands around it. `pres:` is the address
    /// of a presentity or watcher, whatever protocol serves it (RFC 3859); here it is SIP.
    fn person(&self, text: &str) -> Option<Aor> {
        let inside = text
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'));
        let text = inside.map_or(text, |(uri, _)| uri).trim();
        let uri = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("pres") => {
                Uri::parse(&format!("sip:{rest}"))
            }
            _ => Uri::parse(text),
        };
        Aor::from_uri(&uri.ok()?, self.fold_case).ok()
    }

    /// The lists that rules refer to, and those that these refer to, owner by owner.
    async fn lists(&self, store: &Store, rules: &Rules) -> Result<Lists, StoreError> {
        let Rules::Stored(rules) = rules else {
            return Ok(Lists::default());
        };
        let anchors: Arc<[String]> = rules.anchors().map(str::to_owned).collect();
        if anchors.is_empty() {
            return Ok(Lists::default());
        }
        let mut documents = Arc::new(HashMap::new());
        let mut lists = Lists::default();
        let mut asked = BTreeSet::new();
        for _ in 0..MOST_ROUNDS {
            let bytes: usize = documents.values().map(Vec::len).sum();
            // Each address is followed through the documents, and what it refers to as well.
            let work = bytes.saturating_mul(anchors.len()).saturating_mul(8);
            let (anchors, given) = (Arc::clone(&anchors), Arc::clone(&documents));
            let fold_case = self.fold_case;
            let gather =
                move || Lists::gather(anchors.iter().map(String::as_str), &given, fold_case);
            lists = self.large.read(work, gather).await;
            let owners: BTreeSet<String> = lists.missing().filter_map(owner_of).collect();
            let new: Vec<String> = owners.difference(&asked).cloned().collect();
            if new.is_empty() || asked.len() + new.len() > MOST_OWNERS {
                break;
            }
            let found = store.watcher().lists(&new).await?;
            Arc::make_mut(&mut documents).extend(found.into_iter().filter_map(
                |(address, document)| Some((document_path(&address, fold_case)?, document)),
            ));
            asked.extend(new);
        }
        Ok(lists)
    }

    async fn sphere(
        &self,
        store: &Store,
        presentity_uri: &str,
        now: Moment,
    ) -> Result<Option<String>, StoreError> {
        let Some(package) = self.registry.find_name(PRESENCE) else {
            return Ok(None);
        };
        let resource = Resource {
            presentity_uri: presentity_uri.to_owned(),
            event: PRESENCE.to_owned(),
        };
        let rows = store.publication().list(&[resource]).await?.publications;
        let publications: Vec<_> = rows.iter().map(|row| row.merge_row()).collect();
        let input = MergeInput {
            presentity: presentity_uri,
            publications: &publications,
            now: rows.first().map_or(0, |row| row.now),
            ..MergeInput::default()
        };
        let document = package.merge(&input);
        Ok(document.and_then(|document| sphere_of(&document.body, now)))
    }
}

/// Whose document a path of [`Lists::missing`] is of, in canonical form as all of it. Global lists have no owner, and are not found.
fn owner_of(path: &str) -> Option<String> {
    let (owner, _) = path
        .strip_prefix("resource-lists/users/")?
        .split_once('/')?;
    Some(owner.to_owned())
}
