//! `server` and `notifier`: one process each, started by hand, by a container or by `run`.

use std::io::BufReader;
use std::io::Read;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use node::{Config, Shutdown};

use crate::arguments::NodeArgs;
use crate::configuration::{Role, database_url, load, receive, schema_fault, schema_settings};
use crate::settings::Settings;
use crate::{packages, runtime, say};

/// A process whose supervisor is gone finishes what is in flight within this time, or is cut off.
const ORPHAN_ENDS_WITHIN: Duration = Duration::from_secs(15);
/// How often a database that was away at the start is asked for its schema.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Why the database must not be used, once that is known of one that was away at the start.
type Refused = Arc<Mutex<Option<anyhow::Error>>>;

/// What the process is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Server,
    Notifier,
}

pub(crate) fn server(settings: &Settings, args: &NodeArgs) -> anyhow::Result<ExitCode> {
    start(Task::Server, settings, args)
}

pub(crate) fn notifier(settings: &Settings, args: &NodeArgs) -> anyhow::Result<ExitCode> {
    start(Task::Notifier, settings, args)
}

fn start(task: Task, settings: &Settings, args: &NodeArgs) -> anyhow::Result<ExitCode> {
    let mut stdin = BufReader::new(std::io::stdin());
    let config = match (args.supervised, task) {
        (true, _) => receive(&mut stdin)?,
        (false, Task::Server) => load(settings, Role::Other)?,
        (false, Task::Notifier) => load(settings, Role::Notifier)?,
    };
    node::init_log(&config.log);
    config
        .remarks
        .iter()
        .for_each(|remark| tracing::warn!("{remark}"));
    database_url(&config)?;
    node::raise_open_files();
    let runtime = runtime()?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        if args.supervised {
            stop_with_supervisor(stdin, shutdown.clone());
        }
        serve(task, config, shutdown).await
    })?;
    // A stuck look-up of a name must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

/// The supervisor holds the other end of our standard input. That ends when it says stop, and when it dies, however.
fn stop_with_supervisor(mut stdin: impl Read + Send + 'static, shutdown: Shutdown) {
    std::thread::spawn(move || {
        let mut rest = [0; 64];
        while stdin.read(&mut rest).is_ok_and(|count| count > 0) {}
        shutdown.trigger();
        std::thread::sleep(ORPHAN_ENDS_WITHIN);
        std::process::exit(1);
    });
}

async fn serve(task: Task, config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let registry = packages::registry(&config)?;
    let refused = Refused::default();
    check_schema(&config, &shutdown, &refused).await?;
    // With notifier_processes = 0 the server sends NOTIFYs itself (Kamailio's meaning of that).
    let both = task == Task::Server && config.presence.notifier_processes.get() == 0;
    let missing = AtomicUsize::new(if both { 2 } else { 1 });
    let part_is_ready = || {
        if missing.fetch_sub(1, Ordering::SeqCst) == 1 {
            say("ready");
        }
    };
    let server_is_ready = |ready: server::Ready| {
        for listen in &ready.listen {
            say(format_args!("listening on {listen}"));
        }
        say(format_args!("notifiers reach it at {}", ready.internal));
        if let Some(addr) = ready.http {
            say(format_args!("takes RPC at http://{addr}/RPC"));
        }
        part_is_ready();
    };
    match task {
        Task::Notifier => notifier::run(config, registry, shutdown, part_is_ready).await?,
        Task::Server if both => {
            // The first to fail takes the other one along.
            let server = stopping(
                &shutdown,
                server::run(
                    config.clone(),
                    registry.clone(),
                    shutdown.clone(),
                    server_is_ready,
                ),
            );
            let notifier = stopping(
                &shutdown,
                notifier::run(config, registry, shutdown.clone(), part_is_ready),
            );
            let (server, notifier) = tokio::join!(server, notifier);
            server?;
            notifier?;
        }
        Task::Server => server::run(config, registry, shutdown, server_is_ready).await?,
    }
    match refused
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
    {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

async fn stopping<T>(shutdown: &Shutdown, part: impl Future<Output = T>) -> T {
    let result = part.await;
    shutdown.trigger();
    result
}

/// Refuses a schema that is too old, or was made with other settings. A database that is away is not a reason not to start: requests are answered 503 until
/// it is back; its schema is looked at then, and if it is refused the process stops.
async fn check_schema(
    config: &Config,
    shutdown: &Shutdown,
    refused: &Refused,
) -> anyhow::Result<()> {
    let url = database_url(config)?.expose().to_owned();
    let deadline = config.database.connect_timeout_ms.milliseconds();
    let wanted = schema_settings(config);
    let Some(reason) = ask_schema(&url, &wanted, deadline).await? else {
        return Ok(());
    };
    tracing::warn!(
        reason,
        "the database cannot be reached; starting without it"
    );
    let (shutdown, refused) = (shutdown.clone(), Arc::clone(refused));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
            match ask_schema(&url, &wanted, deadline).await {
                Ok(None) => return,
                Ok(Some(reason)) => tracing::debug!(reason, "the database cannot be reached"),
                Err(error) => {
                    tracing::error!("{error:#}");
                    *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    shutdown.trigger();
                    return;
                }
            }
        }
    });
    Ok(())
}

/// `Ok(None)`: as it must be; `Ok(Some)`: why the database is away; an error: it must not be used.
async fn ask_schema(
    url: &str,
    wanted: &schema::Settings,
    deadline: Duration,
) -> anyhow::Result<Option<String>> {
    match tokio::time::timeout(deadline, schema::require(url, wanted)).await {
        Ok(Ok(())) => Ok(None),
        Ok(Err(error)) if error.is_outage() => {
            Ok(Some(format!("{:#}", anyhow::Error::from(error))))
        }
        Ok(Err(error)) => Err(schema_fault(error)),
        Err(_) => Ok(Some("no answer in time".to_owned())),
    }
}
