//! Who sends a request: a peer that is believed, whoever proves a password, or nobody.
//!
//! Asked for PUBLISH and SUBSCRIBE only, once for each request, ahead of the script and of everything that reads more of it than its headers. What
//! is known at once (a peer that names nobody) costs nothing; what must be looked up is looked up for many requests at a time.
//! Answers are made from the request, the cluster's secret and the database alone, so any server may get the answer to another
//! one's challenge.

mod accounts;
mod delegates;
mod domains;
mod recent;
mod replays;

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use events::{Acts, Proof, Registry, Requester};
use net::FlowKey;
use node::{Anonymous, Believed, IdentityConfig};
use sip::digest::{Algorithm, Challenge, Credentials, Nonce};
use sip::token::Secret;
use sip::{Aor, HeaderName, Method, NameAddr, Request, Uri, bound};
use sql::Store;
use tokio::time::Instant;

use self::accounts::Accounts;
use self::delegates::Delegates;
pub(crate) use self::domains::Domains;
use self::recent::Recent;
use self::replays::{Replays, Use};
use crate::admission::Admission;
use crate::answer::{self, Answer};
use crate::write_batch::{WriteQueue, Writers};

/// How long a nonce is good at another server than the one that gave it: the way of a challenge to a phone and of its answer back, which a
/// balancer may send anywhere.
const ELSEWHERE_S: u32 = 10;
/// Whoever says that he is nobody (RFC 3323 section 4.1.1.3).
const ANONYMOUS: (&str, &str) = ("anonymous", "anonymous.invalid");
/// Answers to challenges that are looked at in one request.
const REALMS: usize = 4;
/// Octets of a realm: of a domain in the table `subscriber`.
const MAX_REALM: usize = 255;
/// Octets of a user name, with its domain if a phone sends both.
const MAX_USERNAME: usize = 2 * 255 + 1;
/// Database connections for looking up accounts and delegates. Each carries a batch.
const LOOKUPS_AT_ONCE: usize = 2;

/// Finds out who sends a request.
pub(crate) struct Identities {
    believed: Believed,
    registry: Registry,
    config: IdentityConfig,
    fold_case: bool,
    server: u32,
    accounts: Accounts,
    delegates: Delegates,
    replays: Replays,
    pub(crate) domains: Domains,
    admission: Admission,
}

/// A PUBLISH or SUBSCRIBE of which it is asked who sent it.
pub(crate) struct Sent<'a> {
    pub(crate) request: &'a Request,
    /// The address that it came from.
    pub(crate) source: IpAddr,
    /// When it must be answered.
    pub(crate) deadline: Instant,
}

/// Whether an answer to a challenge is as new as it must be.
enum Freshness {
    New(Nonce),
    /// Whoever made it may make another one for another nonce.
    Stale,
}

impl Identities {
    pub(crate) fn new(
        store: &Store,
        believed: Believed,
        registry: Registry,
        config: &node::Config,
        admission: Admission,
    ) -> Identities {
        let identity = &config.identity;
        let cached = identity.cache_s.seconds();
        let writers = Writers::new(LOOKUPS_AT_ONCE);
        let batch_size = config.server.batch_size.usize();
        let accounts = accounts::Lookup(store.clone());
        let accounts = WriteQueue::new(accounts, writers.clone(), batch_size);
        let delegates = delegates::Lookup(store.clone());
        let delegates = WriteQueue::new(delegates, writers, batch_size);
        Identities {
            believed,
            registry,
            config: identity.clone(),
            fold_case: config.presence.sip_uri_match.folds_case(),
            server: rand::random(),
            accounts: Accounts::new(Recent::new(cached), accounts),
            delegates: Delegates::new(Recent::new(cached), delegates),
            replays: Replays::new(),
            domains: Domains::new(store.clone(), identity),
            admission,
        }
    }

    /// From whom requests are accepted without a password.
    pub(crate) fn believed(&self) -> &Believed {
        &self.believed
    }

    /// Whether what comes this way is believed: Record-Route, Vias of others, a Contact elsewhere.
    pub(crate) fn believes(&self, flow: &FlowKey) -> bool {
        self.believed.includes(flow.remote.ip())
    }

    /// Whether a request brings an answer to a challenge that was sent to the address that it came from: whoever sent it receives there, and does not
    /// forge it. Nothing else of the answer is looked at, not even whether it is in time.
    pub(crate) fn shows_address(&self, request: &Request, flow: &FlowKey, secret: &Secret) -> bool {
        let lines = request.header_lines(HeaderName::Authorization);
        // A phone has one for each realm, and no need of more.
        let mut nonces = lines
            .take(REALMS)
            .filter_map(Credentials::parse)
            .filter_map(|credentials| Nonce::read(&credentials.nonce, secret));
        let source = Nonce::source(secret, flow.remote.ip());
        nonces.any(|nonce| nonce.source == source)
    }

    /// Who sends a request, where that needs no look: the peer itself, which is believed; or nobody is asked. Where everybody is believed, From
    /// counts, and no header that an edge would write.
    pub(crate) fn at_once(&self, request: &Request, flow: &FlowKey) -> Option<Requester> {
        if !matches!(request.method(), Method::Publish | Method::Subscribe) {
            return Some(match self.believes(flow) {
                true => Requester::default(),
                false => Requester::nobody(),
            });
        }
        let asserts = matches!(self.believed, Believed::Peers(_))
            && request.header(HeaderName::PAssertedIdentity).is_some();
        (self.believes(flow) && !asserts).then(Requester::default)
    }

    /// Who sends a PUBLISH or SUBSCRIBE that is sound.
    ///
    /// # Errors
    /// The answer that it gets instead: 401 with challenges, 403, 400, 503.
    pub(crate) async fn find(&self, sent: &Sent<'_>, secret: &Secret) -> Result<Requester, Answer> {
        let request = sent.request;
        let (identity, proof) = if self.believed.includes(sent.source) {
            (self.asserted(request)?, Proof::Asserted)
        } else if self.is_anonymous(request) {
            return Ok(Requester {
                identity: self.aor(ANONYMOUS.0, ANONYMOUS.1),
                ..Requester::nobody()
            });
        } else if self.config.digest {
            (self.proven(sent, secret).await?, Proof::Digest)
        } else {
            return Err(answer::not_trusted());
        };
        self.standing(sent, identity, proof).await
    }

    /// RFC 3325 section 9.1: of a SIP and a tel URI the SIP one is who he is.
    fn asserted(&self, request: &Request) -> Result<Aor, Answer> {
        let values = request
            .asserted_identities()
            .map_err(|fault| answer::malformed(&fault))?;
        let is_sip = |value: &&NameAddr| value.uri.scheme != sip::Scheme::Tel;
        let value = values.iter().find(is_sip).or_else(|| values.first());
        let value = value.ok_or_else(|| answer::bad_name("Bad P-Asserted-Identity"))?;
        Aor::within(&bound::WATCHER, &value.uri, self.fold_case)
            .map_err(|fault| answer::bad_name(bound::WATCHER.reason(&fault)))
    }

    fn is_anonymous(&self, request: &Request) -> bool {
        let says_so = || {
            let from = request.from().ok()?;
            Aor::from_uri(&from.uri, true).ok()
        };
        self.config.anonymous == Anonymous::Allow
            && *request.method() == Method::Subscribe
            && says_so()
                .is_some_and(|from| (from.username.as_str(), from.domain.as_str()) == ANONYMOUS)
    }

    /// Whoever has answered a challenge as only who knows the password can.
    async fn proven(&self, sent: &Sent<'_>, secret: &Secret) -> Result<Aor, Answer> {
        let request = sent.request;
        let realm = self.realm(request)?;
        let challenge = |stale| self.challenge(sent, &realm, stale, secret);
        let Some(credentials) = self.credentials(request, &realm) else {
            return Err(challenge(false));
        };
        let admitted = self.admission.admit().ok_or_else(answer::unavailable)?;
        let method = request.method().as_str();
        let is_proven = self
            .accounts
            .prove(&credentials, method, admitted, sent.deadline)
            .await
            .map_err(|error| answer::write_error(&error))?;
        if !is_proven {
            return Err(challenge(false).after_wrong_password());
        }
        let now_s = now_s();
        let Freshness::New(nonce) = self.freshness(&credentials, sent, secret, now_s) else {
            return Err(challenge(true));
        };
        if let Some(protection) = &credentials.protection {
            let digest = secret.digest("request", &[request.bytes()]);
            let life_s = self.config.nonce_life_s.get();
            let count = protection.count;
            if self.replays.use_up(nonce, count, digest, now_s, life_s) == Use::Used {
                return Err(challenge(true));
            }
        }
        self.user(&credentials.username, &realm)
            .ok_or_else(answer::forbidden)
    }

    /// The user whom an account belongs to. Some phones send `user@domain` as their name.
    fn user(&self, username: &str, realm: &str) -> Option<Aor> {
        match username.rsplit_once('@') {
            Some((user, domain)) if domain.eq_ignore_ascii_case(realm) => self.aor(user, realm),
            _ => self.aor(username, realm),
        }
    }

    fn aor(&self, username: &str, domain: &str) -> Option<Aor> {
        Aor::of_account(username, domain, self.fold_case).ok()
    }

    /// The realm of a request: `identity.realm`, else the domain of From, in lower case.
    fn realm(&self, request: &Request) -> Result<String, Answer> {
        if !self.config.realm.is_empty() {
            return Ok(self.config.realm.clone());
        }
        let from = request.from().map_err(|fault| answer::malformed(&fault))?;
        Ok(from
            .uri
            .host
            .to_string()
            .trim_end_matches('.')
            .to_ascii_lowercase())
    }

    /// The answer to a challenge of ours that a request has, if it is one that we take.
    fn credentials(&self, request: &Request, realm: &str) -> Option<Credentials> {
        let lines = request.header_lines(HeaderName::Authorization);
        // RFC 3261 section 22.3: there may be one for each realm.
        let mut ours = lines
            .filter_map(Credentials::parse)
            .filter(|credentials| credentials.realm.eq_ignore_ascii_case(realm));
        let credentials = ours.next()?;
        let is_offered = self
            .algorithms(request)
            .any(|offered| offered == credentials.algorithm);
        let is_protected = credentials.protection.is_some() || !self.config.qop_required;
        // Nobody has a longer name, and what is looked up is remembered.
        let is_short = credentials.username.len() <= MAX_USERNAME && realm.len() <= MAX_REALM;
        (is_offered && is_protected && is_short && is_for(&credentials, request))
            .then_some(credentials)
    }

    /// What a phone is offered, in this order.
    fn algorithms<'a>(&'a self, request: &Request) -> impl Iterator<Item = Algorithm> + 'a {
        let user_agent = request.user_agent().unwrap_or_default();
        let mut rules = self.config.user_agents.iter();
        let algorithms = match rules.find(|rule| rule.fits(user_agent)) {
            Some(rule) => &rule.algorithms,
            None => &self.config.algorithms,
        };
        algorithms.iter().map(|algorithm| match algorithm {
            node::DigestAlgorithm::Sha256 => Algorithm::Sha256,
            node::DigestAlgorithm::Md5 => Algorithm::Md5,
        })
    }

    fn freshness(
        &self,
        credentials: &Credentials,
        sent: &Sent<'_>,
        secret: &Secret,
        now_s: u32,
    ) -> Freshness {
        let Some(nonce) = Nonce::read(&credentials.nonce, secret) else {
            return Freshness::Stale;
        };
        let is_here = nonce.server == self.server;
        let life_s = match is_here {
            true => self.config.nonce_life_s.get(),
            false => ELSEWHERE_S.min(self.config.nonce_life_s.get()),
        };
        // Clocks of servers differ a little: one that gave a nonce may be ahead of us.
        let age_s = now_s.saturating_sub(nonce.given_s);
        let is_early = nonce.given_s.saturating_sub(now_s) > ELSEWHERE_S;
        let source = Nonce::source(secret, sent.source);
        match age_s <= life_s && !is_early && nonce.source == source {
            true => Freshness::New(nonce),
            false => Freshness::Stale,
        }
    }

    /// 401 with a challenge for each algorithm.
    fn challenge(&self, sent: &Sent<'_>, realm: &str, stale: bool, secret: &Secret) -> Answer {
        let nonce = Nonce {
            given_s: now_s(),
            server: self.server,
            salt: rand::random(),
            source: Nonce::source(secret, sent.source),
        };
        let nonce = nonce.sign(secret);
        let challenges = self.algorithms(sent.request).map(|algorithm| {
            Challenge {
                realm: realm.to_owned(),
                nonce: nonce.clone(),
                algorithm,
                stale,
                is_protected: true,
            }
            .encode()
        });
        answer::unauthorized(challenges)
    }

    /// What somebody may do who is known: acts for the presentity of the request if it is he, or if he is its delegate; and is known by the name
    /// of From where he is that one's delegate.
    async fn standing(
        &self,
        sent: &Sent<'_>,
        identity: Aor,
        proof: Proof,
    ) -> Result<Requester, Answer> {
        let request = sent.request;
        let event = self.event(request);
        let presentity = self.presentity(request);
        let from = request.from().ok();
        let from = from.and_then(|from| Aor::from_uri(&from.uri, self.fold_case).ok());
        let mut acts = Acts::ForOthers;
        if let Some(presentity) = &presentity
            && (*presentity == identity
                || self
                    .may_act(&identity, presentity, &event, sent.deadline)
                    .await?)
        {
            acts = Acts::ForPresentity;
        }
        let mut watcher = identity;
        if let Some(from) = from.filter(|from| *from != watcher) {
            let is_presentity = presentity.as_ref() == Some(&from);
            let may = match is_presentity {
                true => acts == Acts::ForPresentity,
                false => self.may_act(&watcher, &from, &event, sent.deadline).await?,
            };
            if may {
                watcher = from;
            }
        }
        Ok(Requester {
            identity: Some(watcher),
            proof,
            acts,
        })
    }

    async fn may_act(
        &self,
        identity: &Aor,
        presentity: &Aor,
        event: &str,
        deadline: Instant,
    ) -> Result<bool, Answer> {
        let admitted = self.admission.admit().ok_or_else(answer::unavailable)?;
        self.delegates
            .may_act(identity, presentity, event, admitted, deadline)
            .await
            .map_err(|error| answer::write_error(&error))
    }

    /// The event package of a request; empty if it is none of ours.
    fn event(&self, request: &Request) -> String {
        let event = request.event().ok().flatten();
        let package = event.and_then(|event| self.registry.find(&event));
        package.map_or(String::new(), |package| package.name.clone().into_owned())
    }

    /// Whom a request is about: the Request-URI, and within a dialog, where that is our Contact, To.
    fn presentity(&self, request: &Request) -> Option<Aor> {
        let to = request.to().ok()?;
        let uri = match to.tag() {
            None => request.parsed_uri().ok()?,
            Some(_) => to.uri,
        };
        Aor::from_uri(&uri, self.fold_case).ok()
    }
}

/// Whether an answer was made for this request: its `uri` is the Request-URI (RFC 3261 section 22.4), if not to the letter, then by what it says.
fn is_for(credentials: &Credentials, request: &Request) -> bool {
    if credentials.uri == request.uri() {
        return true;
    }
    match (Uri::parse(&credentials.uri), request.parsed_uri()) {
        (Ok(named), Ok(uri)) => named.is_equivalent(&uri),
        _ => false,
    }
}

fn now_s() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as u32)
}
