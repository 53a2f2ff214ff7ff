//! The NOTIFY engine: the only sender of NOTIFY in dialogs.
//!
//! A notifier claims resources with a NOTIFY due, takes the due dialogs with their next
//! CSeq, renders one document per resource, sends, and settles the answers (`engine`). It also ends what has expired
//! (`sweep`). It has no state that matters: everything it holds is a lease in PostgreSQL, and whoever claims after the lease
//! repeats what may have been lost. Any number of notifiers work side by side.
//!
//! The walk of one NOTIFY: `step/claim`, `step/decide` (if rules are concerned), `step/take`, `render`, `send`, `failure`, `step/verdicts`,
//! `step/settle`; `engine` starts the steps, `ledger` keeps the books.

mod decider;
mod dialog_status;
mod direct;
mod engine;
mod failure;
mod isolation;
mod ledger;
mod notify_log;
mod outage;
mod pace;
mod portion;
mod render;
mod script;
mod seen;
mod send;
mod step;
mod sweep;
mod watchers;
mod witness;

use decider::Decider;
use engine::{Engine, Inputs};
use events::Registry;
use failure::FailurePolicy;
use net::{Client, Destinations, Endpoint, EndpointOptions, Incoming, ListenAddr, Resolver};
use notify_log::NotifyLog;
use seen::Manner;
use send::Sender;
use sip::{Limits, Message};
use sql::{NewNode, NodeRow, Store, StoreError, StoreOptions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use sweep::SweepSettings;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use witness::Witnesses;

/// Why the notifier can't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// `presence.db_url` isn't set. Remedy: set it.
    #[error(
        "presence.db_url is not set; all state is in that database, and there is no library mode as in Kamailio"
    )]
    NoDatabase,
    /// `presence.db_url` makes no sense. Remedy: correct it.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// The script cannot be read, or does not load. Remedy: the message names the line.
    #[error("script.file: {0}")]
    Script(#[from] ::script::ProgramError),
    /// The address of `notifier.listen` can't be bound. Remedy: free it, or choose another.
    #[error(transparent)]
    Bind(#[from] net::BindError),
    /// A task that runs for ever has ended: a bug. Nothing is lost, the leases run out; start again.
    #[error("the task `{0}` of the notifier ended")]
    TaskEnded(&'static str),
}

/// What the engine takes from the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Most NOTIFYs in flight at a time.
    pub(crate) in_flight: usize,
    pub(crate) lease: Duration,
    /// `waitn_time`: at most one NOTIFY of changed state per resource in this time; 0 when the server itself notifies.
    pub(crate) waitn: Duration,
    /// `notifier_poll_rate`: polls per second.
    pub(crate) poll_rate: u32,
    /// `fetch_rows`: most resources of one claim.
    pub(crate) fetch_rows: u32,
    pub(crate) failure: FailurePolicy,
    pub(crate) manner: Manner,
}

// === impl Settings ===

impl Settings {
    fn new(config: &node::Config) -> Settings {
        let (notifier, presence) = (&config.notifier, &config.presence);
        Settings {
            in_flight: notifier.in_flight.usize(),
            lease: notifier.lease_s.seconds(),
            waitn: match presence.notifier_processes.get() {
                0 => Duration::ZERO,
                _ => presence.waitn_time.seconds(),
            },
            poll_rate: presence.notifier_poll_rate.get(),
            fetch_rows: presence.fetch_rows.get(),
            failure: FailurePolicy {
                timeout_ends: presence.timeout_rm_subs,
                script_decides: !presence.xavp_cfg.is_empty(),
                retry_min: notifier.retry_min_s.seconds(),
                retry_max: notifier.retry_max_s.seconds(),
                give_up: notifier.retry_give_up.get(),
            },
            manner: Manner {
                is_quiet: !presence.send_fast_notify,
                fold_case: presence.sip_uri_match == node::UriMatch::CaseInsensitive,
            },
        }
    }

    /// What must be left of a lease for a NOTIFY to be sent or awaited under it: time for the clocks of two machines to run
    /// apart, and for a request that was just sent to arrive before whoever recovers the resource sends the next.
    pub(crate) fn lease_margin(&self) -> Duration {
        self.lease / 5
    }
}

/// How long a statement waits for a row that somebody holds, where it cannot pass it by: what is done in common then goes on without it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// After this time without its database a notifier calls itself ready all the same: all that is missing is the database.
const READY_WITHOUT_DATABASE: Duration = Duration::from_secs(1);

/// Runs a notifier of these event packages until `shutdown`; calls `ready` once it's bound, registered and about to claim.
///
/// A database that is away is waited for, at the start (then `ready` doesn't wait for it) as later. On shutdown it stops
/// claiming, lets NOTIFYs in flight finish for two seconds, and hands the rest to the other notifiers.
///
/// # Errors
/// See [`RunError`].
pub async fn run(
    config: node::Config,
    registry: Registry,
    shutdown: node::Shutdown,
    ready: impl FnOnce() + Send,
) -> Result<(), RunError> {
    let store = connect(&config)?;
    let settings = Settings::new(&config);
    let decider = Decider::new(&config.presence, registry);
    let script = script::Thread::start(&config, store.clone(), decider.judge().clone())?;
    let notify_log = NotifyLog::new(&config);
    let listen = config.notifier.listen.to_string().parse::<ListenAddr>();
    let listen = listen.unwrap_or(ListenAddr {
        transport: sip::Transport::Udp,
        addr: config.notifier.listen.addr,
    });
    let (endpoint, incoming) = bind(listen, options(&config)).await?;
    let address = endpoint
        .local_addrs()
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let events = decider.registry().names();
    let about = NewNode::this_process("notifier", address, &config.presence, events);
    let mut node = NodeRow::keep(store.clone(), about, shutdown.clone());
    let mut ready = Some(ready);
    let id = loop {
        tokio::select! {
            id = node.registered() => break id,
            () = tokio::time::sleep(READY_WITHOUT_DATABASE), if ready.is_some() => {
                if let Some(ready) = ready.take() {
                    ready();
                }
            }
            () = shutdown.triggered() => {
                endpoint.close().await;
                return Ok(());
            }
        }
    };

    let resolver = Resolver::system();
    let (client, outcomes) = Client::new(
        endpoint.clone(),
        resolver.clone(),
        sip::transaction::Timers::default(),
    );
    let (prepared_in, prepared) = mpsc::unbounded_channel();
    let sender = Sender::new(client.clone(), resolver, prepared_in);

    let receive = AbortOnDropHandle::new(tokio::spawn(receive(incoming, client.clone())));
    let sweep = AbortOnDropHandle::new(tokio::spawn(sweep(store.clone(), config)));
    // From here on: before it is announced as ready, SIGHUP must not end it.
    let hangups = script.as_ref().and_then(|_| node::Hangups::listen().ok());
    let reload = AbortOnDropHandle::new(tokio::spawn(reload(script.clone(), hangups)));
    let witnesses = Witnesses {
        notify_log,
        script: script.map(script::NotifyEvents::new),
    };
    let engine = Engine::new(
        settings,
        store.clone(),
        decider,
        client,
        sender,
        witnesses,
        id,
    );
    let engine = engine.run(Inputs {
        outcomes,
        prepared,
        owner: node.ids(),
        shutdown,
    });
    if let Some(ready) = ready {
        ready();
    }
    let ended = tokio::select! {
        result = engine => result,
        _ = receive => Err("receive"),
        () = node.ended() => Err("heartbeat"),
        _ = reload => Err("script"),
        _ = sweep => Err("sweep"),
    };
    if ended.is_ok() {
        node.remove().await;
    }
    endpoint.close().await;
    ended.map_err(RunError::TaskEnded)
}

/// Opens the sockets. An address that stands for all, stands for all of both families; where the system has only one, that is not a reason
/// not to start.
async fn bind(
    listen: ListenAddr,
    options: EndpointOptions,
) -> Result<(Endpoint, Incoming), net::BindError> {
    let limits = Limits::default();
    if listen.addr.ip().is_unspecified() {
        let other: IpAddr = match listen.addr.ip() {
            IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED.into(),
        };
        let other = ListenAddr {
            addr: SocketAddr::new(other, listen.addr.port()),
            ..listen
        };
        match Endpoint::bind(&[listen, other], limits, options.clone()).await {
            Ok(bound) => return Ok(bound),
            Err(error) => {
                tracing::debug!(%error, "only phones of one address family can be reached")
            }
        }
    }
    Endpoint::bind(&[listen], limits, options).await
}

fn options(config: &node::Config) -> EndpointOptions {
    EndpointOptions {
        destinations: match config.outbound_networks() {
            Some(networks) => {
                tracing::info!(
                    ?networks,
                    "NOTIFYs go to public addresses, to these networks, and down flows"
                );
                Destinations::only_public_and(networks)
            }
            None => {
                tracing::info!(
                    "NOTIFYs go anywhere, as identity.policy or the loopback addresses of server.listen say"
                );
                Destinations::anywhere()
            }
        },
        trusted: config.trusted_networks(),
        connect_timeout: config.notifier.connect_timeout_ms.milliseconds(),
        max_connections_out: config.notifier.max_connections.usize(),
        max_connections_to_target: config.notifier.max_connections_per_target.usize(),
        ..EndpointOptions::default()
    }
}

fn connect(config: &node::Config) -> Result<Store, RunError> {
    let url = config
        .presence
        .db_url
        .as_ref()
        .ok_or(RunError::NoDatabase)?;
    let options = StoreOptions {
        lock_timeout: Some(LOCK_TIMEOUT),
        ..StoreOptions::of(config, config.database.pool_size.usize())
    };
    Ok(Store::connect(url.expose(), &options)?)
}

/// Reads the script again at each SIGHUP; waits for ever where there is none.
async fn reload(script: Option<Arc<script::Thread>>, hangups: Option<node::Hangups>) {
    let (Some(script), Some(mut hangups)) = (script, hangups) else {
        return std::future::pending().await;
    };
    loop {
        hangups.next().await;
        let script = Arc::clone(&script);
        let _ = tokio::task::spawn_blocking(move || script.reload()).await;
    }
}

/// Hands responses to their transactions. A notifier takes no requests; stray ones are dropped.
async fn receive(mut incoming: Incoming, client: Client<send::Notify>) {
    let limits = Limits::default();
    while let Some(batch) = incoming.recv_batch().await {
        for packet in batch {
            match sip::parse_datagram(packet.bytes, &limits) {
                Ok(Message::Response(response)) => client.on_response(response, packet.flow),
                Ok(Message::Request(request)) => tracing::debug!(
                    method = request.method().as_str(),
                    "a notifier received a request; ignored"
                ),
                Err(error) => tracing::debug!(reason = error.reason, "a datagram cannot be read"),
            }
        }
    }
}

/// Sweeps, or waits for ever when `clean_period` switches it off.
async fn sweep(store: Store, config: node::Config) {
    let Some(clean_period) = config.presence.clean_period.duration() else {
        return std::future::pending().await;
    };
    let settings = SweepSettings {
        batch: config.presence.fetch_rows.get(),
        quiet: config.presence.force_delete,
        clean_period,
        waiting: config.presence.watcher_waiting_s.seconds(),
    };
    sweep::run(store, settings).await;
}
