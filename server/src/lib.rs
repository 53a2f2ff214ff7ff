//! The stateless SIP front-end: takes PUBLISH, SUBSCRIBE and OPTIONS, commits, answers; relays NOTIFYs down the flows it holds.
//!
//! The way of a PUBLISH: `net` → [`dispatch`] → [`publish`] → `events` → [`write_batch`] → `sql` → [`answer`] → `net`.
//! A server keeps nothing between requests but live connections and requests in flight: any other one can take the next
//! request, and the answer to a retransmission is the same from each of them. It starts, and stays up, without its database:
//! until that is there, what needs it is answered 503.

mod admission;
mod answer;
mod dispatch;
mod flow;
mod front;
mod identity;
pub mod publish;
mod relay;
mod script;
pub mod subscribe;
mod throttle;
pub mod write_batch;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use events::{DecidedBy, MinExpiresAction, Policy, Priority, Registry, SameSubscriber};
use net::{Destinations, Endpoint, EndpointOptions, Incoming, ListenAddr};
use node::{Believed, Config, Hangups, Shutdown};
use sip::{Limits, Transport};
use sql::{NewNode, NodeRow, Store, StoreError, StoreOptions};
use thiserror::Error;
use tokio::task::JoinHandle;
use web::Web;

pub use admission::{Admission, Admitted};
pub use script::read_script;

use crate::flow::Addresses;
use crate::front::Front;
use crate::script::Scripts;

/// Where a server listens, once it does.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The listeners, with the ports that they really have.
    pub listen: Vec<ListenAddr>,
    /// Where notifiers reach this server (TCP), as its flow tokens and its row in `node` say.
    pub internal: SocketAddr,
    /// Where HTTP is served, if it is.
    pub http: Option<SocketAddr>,
}

/// Why a server cannot start. Each is for the operator to mend; a missing database is none of them.
#[derive(Debug, Error)]
pub enum RunError {
    /// An address is taken, or not of this machine.
    #[error(transparent)]
    Bind(#[from] net::BindError),
    /// The address of `http.listen` is taken, or not of this machine.
    #[error("http.listen: cannot listen on {addr}: {source}")]
    Http {
        /// Where.
        addr: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// No address at all. Remedy: `server.listen`, `server.internal_listen`.
    #[error(
        "there is no address at which notifiers reach this server: see server.listen and server.internal_listen"
    )]
    NoInternalListener,
    /// The script cannot be read, or does not load. Remedy: the message names the line.
    #[error("script.file: {0}")]
    Script(#[from] ::script::ProgramError),
    /// The system gives no more threads, or no signals.
    #[error("no thread for the script: {0}")]
    Thread(std::io::Error),
    /// No database is named. Remedy: `presence.db_url`.
    #[error(
        "presence.db_url names no database; all state is in it, and there is no library mode as in Kamailio"
    )]
    NoDatabase,
    /// Strangers can reach the listeners, and nothing says whom to believe.
    #[error(
        "server.listen has an address that others can reach, and nothing says whom to believe: set identity.trusted_peers (edge proxies) or \
         identity.digest = 1 (phones with passwords); or, if nobody else can reach it, identity.policy = \"open\""
    )]
    NobodyToBelieve,
    /// The database's URL cannot be understood.
    #[error("presence.db_url: {0}")]
    Database(#[from] StoreError),
}

/// Runs a server of these event packages until `shutdown`. Calls `ready` when it listens, whether the database is there or not.
///
/// At the end no more requests are taken, and those in flight are answered before the sockets close.
///
/// # Errors
/// [`RunError`], only before `ready`.
pub async fn run(
    config: Config,
    registry: Registry,
    shutdown: Shutdown,
    ready: impl FnOnce(Ready) + Send,
) -> Result<(), RunError> {
    let url = config
        .presence
        .db_url
        .as_ref()
        .ok_or(RunError::NoDatabase)?
        .expose();
    let pool_size = config.database.pool_size.usize();
    let store = Store::connect(url, &StoreOptions::of(&config, pool_size))?;
    let doorbell_store = Store::connect(url, &StoreOptions::of(&config, 1))?;

    let believed = config
        .identity
        .believed(&config.server)
        .ok_or(RunError::NobodyToBelieve)?;
    if believed == Believed::Everybody {
        tracing::warn!(
            "identity.policy is open: whoever reaches this server may publish for anybody, and have NOTIFYs sent to anybody"
        );
    }
    let scripts = Scripts::start(&config)?;
    let limits = Limits::default();
    let listeners = listeners(&config);
    let options = endpoint_options(&config, &listeners);
    let (endpoint, incoming) = Endpoint::bind(&listeners, limits, options).await?;
    let http_listener = match config.http.listen {
        Some(addr) => Some(web::listen(addr).map_err(|source| RunError::Http { addr, source })?),
        None => None,
    };
    let internal =
        internal_address(&config, endpoint.local_addrs()).ok_or(RunError::NoInternalListener)?;
    let internal = flow::reachable(&endpoint, internal, anywhere(internal));
    let addresses = Addresses {
        contact: config
            .presence
            .server_address
            .as_ref()
            .map(|address| address.as_str().to_owned()),
        advertised: advertised(&config, endpoint.local_addrs()),
        internal,
        notify_from_listener: config.server.notify_from_listener,
    };
    let net = front::Net {
        endpoint: endpoint.clone(),
        limits,
        addresses,
    };
    let front = Arc::new(Front::new(
        net,
        store.clone(),
        registry,
        policy(&config),
        scripts,
        believed,
        &config,
    ));

    let mut background = Background(vec![
        tokio::spawn(front.writes.doorbell.clone().ring(doorbell_store)),
        tokio::spawn(Arc::clone(&front).learn_secret()),
        tokio::spawn(relay::answer_refused(Arc::clone(&front))),
        tokio::spawn(keep_domains(Arc::clone(&front))),
        tokio::spawn(report_refused(Arc::clone(&front))),
    ]);
    if front.scripts.is_some() {
        let hangups = Hangups::listen().map_err(RunError::Thread)?;
        background
            .0
            .push(tokio::spawn(reload_script(Arc::clone(&front), hangups)));
    }
    let (mut http, mut served) = (None, None);
    if let Some(listener) = http_listener {
        http = listener.local_addr().ok();
        // Connections of its own: a long list takes none from requests.
        let store = Store::connect(url, &StoreOptions::of(&config, HTTP_DATABASE_CONNECTIONS))?;
        let serving = Web::new(web::Means {
            store,
            cleaning: web::method::cleaning(&config),
            token: config.http.token.clone(),
            shutdown: shutdown.clone(),
            policy: front.policy.clone(),
            judge: front.judge.clone(),
            doorbell: front.writes.doorbell.clone(),
        });
        background.0.extend([
            serving.look_for_ever(),
            tokio::spawn(Arc::clone(&serving).serve(listener)),
        ]);
        served = Some(serving);
    }
    let about = NewNode {
        believes: front.identities.believed().name().to_owned(),
        ..NewNode::this_process(
            "server",
            format!("tcp:{internal}"),
            &config.presence,
            front.registry().names(),
        )
    };
    let node = NodeRow::keep(store, about, shutdown.clone());
    ready(Ready {
        listen: endpoint.local_addrs().to_vec(),
        internal,
        http,
    });

    // On a thread of the sockets' tasks: on this one, each batch would have to wake it.
    let received = tokio::spawn(receive(Arc::clone(&front), incoming, shutdown)).await;
    if received.is_err() {
        tracing::error!("the task that takes requests panicked: a bug");
    }

    front.drained().await;
    endpoint.close().await;
    drop(background);
    if let Some(served) = served {
        served.drained().await;
    }
    node.remove().await;
    Ok(())
}

/// An address of the listener's family for which the route is the default one (RFC 5737, RFC 3849): stands for notifiers, of which a server
/// knows nothing.
fn anywhere(listener: SocketAddr) -> IpAddr {
    match listener {
        SocketAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// How many database connections HTTP has.
const HTTP_DATABASE_CONNECTIONS: usize = 4;

/// Keeps up with the table of domains.
async fn keep_domains(front: Arc<Front>) {
    front.identities.domains.keep().await;
}

/// Logs who sends more than he may.
async fn report_refused(front: Arc<Front>) {
    front.quotas.report().await;
}

/// Reads the script again at each SIGHUP. Loading takes a thread that may be busy for a while.
async fn reload_script(front: Arc<Front>, mut hangups: Hangups) {
    loop {
        hangups.next().await;
        let front = Arc::clone(&front);
        let reloaded = tokio::task::spawn_blocking(move || {
            if let Some(scripts) = &front.scripts {
                scripts.reload();
            }
        });
        let _ = reloaded.await;
    }
}

/// Handles packets in order of arrival until the word to stop.
async fn receive(front: Arc<Front>, mut incoming: Incoming, shutdown: Shutdown) {
    loop {
        let batch = tokio::select! {
            biased;
            () = shutdown.triggered() => return,
            batch = incoming.recv_batch() => batch,
        };
        let Some(packets) = batch else { return };
        dispatch::receive(&front, packets);
    }
}

/// Tasks that end with the server.
struct Background(Vec<JoinHandle<()>>);

impl Drop for Background {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

fn policy(config: &Config) -> Policy {
    let presence = &config.presence;
    let fold_case = presence.sip_uri_match.folds_case();
    Policy {
        min_expires_s: presence.min_expires.get(),
        max_expires_s: presence.max_expires.get(),
        min_expires_action: match presence.min_expires_action {
            node::MinExpiresAction::Refuse => MinExpiresAction::Refuse,
            node::MinExpiresAction::Raise => MinExpiresAction::Raise,
        },
        expires_offset_s: presence.expires_offset.get(),
        fold_case,
        // What is not a URI was refused when the configuration was read.
        winfo_watchers: presence
            .winfo_watchers
            .iter()
            .filter_map(|uri| sip::Aor::parse(uri.as_str(), fold_case).ok())
            .collect(),
        same_subscriber: match presence.delete_same_subs {
            node::SameSubscriber::Nobody => SameSubscriber::Nobody,
            node::SameSubscriber::SameCall => SameSubscriber::SameCall,
            node::SameSubscriber::SamePhone => SameSubscriber::SamePhone,
        },
        under_rules: match presence.default_policy {
            _ if presence.force_active => DecidedBy::Nobody,
            node::DefaultPolicy::Allow => DecidedBy::RulesOrAllowed,
            node::DefaultPolicy::Confirm | node::DefaultPolicy::Block => DecidedBy::Rules,
        },
        priority: match presence.xavp_cfg.is_empty() {
            true => Priority::Kept,
            false => Priority::ByAge,
        },
    }
}

/// All listeners, the one for notifiers last if it is none of the others.
fn listeners(config: &Config) -> Vec<ListenAddr> {
    let mut all: Vec<ListenAddr> = public_listeners(config).collect();
    if let Some(Internal::Own(internal)) = internal_listener(config) {
        all.push(internal);
    }
    all
}

fn public_listeners(config: &Config) -> impl Iterator<Item = ListenAddr> {
    let listeners = config.server.listen.iter();
    listeners.map(|listener| listen_addr(&listener.listen))
}

fn endpoint_options(config: &Config, listeners: &[ListenAddr]) -> EndpointOptions {
    let server = &config.server;
    EndpointOptions {
        // Last, if it is one of their own.
        reserved_for: (listeners.len() > server.listen.len()).then(|| listeners.len() - 1),
        destinations: match config.outbound_networks() {
            Some(networks) => Destinations::only_public_and(networks),
            None => Destinations::anywhere(),
        },
        trusted: config.trusted_networks(),
        max_connections: server.max_connections.usize(),
        max_connections_of_source: server.max_connections_per_source.usize(),
        first_request_timeout: server.first_request_s.seconds(),
        idle_timeout: match server.idle_s.get() {
            0 => FOR_EVER,
            _ => server.idle_s.seconds(),
        },
        other_descriptors: other_descriptors(config),
        ..EndpointOptions::default()
    }
}

/// Longer than any process runs, and not too long for a clock.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What a server has open besides the connections of SIP. A notifier in the same process has as many connections to the database.
fn other_descriptors(config: &Config) -> usize {
    /// Listeners, logs, the run time's own, and room for look-ups of names.
    const FURTHER: usize = 128;
    let pool = config.database.pool_size.usize();
    let database = 2 * pool + config.server.write_connections.usize() + HTTP_DATABASE_CONNECTIONS;
    web::DESCRIPTORS + database + FURTHER
}

/// Where notifiers reach this server.
enum Internal {
    /// At the listener of this place in `server.listen`.
    Public(usize),
    /// At one of their own.
    Own(ListenAddr),
}

/// `internal_listen`, by TCP whatever it says; without it the first TCP listener; without that the first address, by TCP.
fn internal_listener(config: &Config) -> Option<Internal> {
    let by_tcp = |addr| ListenAddr {
        transport: Transport::Tcp,
        addr,
    };
    let place = |is_it: &dyn Fn(&ListenAddr) -> bool| {
        public_listeners(config).position(|listen| is_it(&listen))
    };
    match &config.server.internal_listen {
        Some(wanted) => {
            let wanted = by_tcp(wanted.addr);
            let public = place(&|listen| *listen == wanted && wanted.addr.port() != 0);
            Some(public.map_or(Internal::Own(wanted), Internal::Public))
        }
        None => match place(&|listen| listen.transport == Transport::Tcp) {
            Some(place) => Some(Internal::Public(place)),
            None => public_listeners(config)
                .next()
                .map(|first| Internal::Own(by_tcp(first.addr))),
        },
    }
}

/// What listeners are called elsewhere, by their real addresses: they are bound in the order of the configuration.
fn advertised(config: &Config, bound: &[ListenAddr]) -> Vec<(ListenAddr, String)> {
    let listeners = config.server.listen.iter().zip(bound);
    listeners
        .filter_map(|(listener, bound)| {
            let address = listener.advertise.as_ref()?;
            Some((*bound, address.as_str().to_owned()))
        })
        .collect()
}

/// The address that notifiers connect to, with its real port: listeners are bound in the order of [`listeners`].
fn internal_address(config: &Config, bound: &[ListenAddr]) -> Option<SocketAddr> {
    let bound = match internal_listener(config)? {
        Internal::Public(place) => bound.get(place),
        Internal::Own(_) => bound.last(),
    };
    bound.map(|listen| listen.addr)
}

fn listen_addr(listen: &node::Listen) -> ListenAddr {
    let transport = match listen.transport {
        node::Transport::Udp => Transport::Udp,
        node::Transport::Tcp => Transport::Tcp,
    };
    ListenAddr {
        transport,
        addr: listen.addr,
    }
}
