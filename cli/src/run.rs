//! `run`: everything on one machine. PostgreSQL unless there is one, the schema, one server, the notifiers.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use node::{Config, Listener, Shutdown};
use postgres_dev::Cluster;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};

use crate::configuration::{self, DATABASE, database_url, load, schema_fault, schema_settings};
use crate::settings::Settings;
use crate::supervise::{Event, Role, What, supervise};
use crate::{runtime, say};

/// How often our own PostgreSQL is looked after.
const LOOK_AFTER: Duration = Duration::from_millis(500);

type SharedCluster = Arc<Mutex<Option<Cluster>>>;

pub(crate) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = load(settings, configuration::Role::Other)?;
    node::init_log(&config.log);
    config
        .remarks
        .iter()
        .for_each(|remark| tracing::warn!("{remark}"));
    runtime()?.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let cluster = SharedCluster::default();
        let result = run_with(&cluster, settings, config, &shutdown).await;
        // Last of all, when nobody uses it any more.
        spawn_blocking(move || lock(&cluster).take().map(Cluster::stop)).await?;
        result
    })
}

async fn run_with(
    cluster: &SharedCluster,
    settings: &Settings,
    mut config: Config,
    shutdown: &Shutdown,
) -> anyhow::Result<ExitCode> {
    let psql = if config.presence.db_url.is_none() {
        let data_dir = configuration::data_dir(settings)?;
        let (started, url) = spawn_blocking(move || start_postgres(&data_dir)).await??;
        let psql = started.psql_line(DATABASE);
        *lock(cluster) = Some(started);
        config.presence.db_url = Some(url.parse()?);
        psql
    } else {
        format!("psql {}", quote(&database_url(&config)?.for_psql()))
    };
    let url = database_url(&config)?.clone();
    let wanted = schema_settings(&config);
    tokio::select! {
        migrated = schema::migrate_with(url.expose(), &wanted) => migrated.map_err(schema_fault).context("cannot prepare the database")?,
        () = shutdown.triggered() => return Ok(ExitCode::SUCCESS),
    };
    say(format_args!("database {url}"));
    say(format_args!("look at it with: {psql}"));

    let looked_after = tokio::spawn(look_after(cluster.clone(), shutdown.clone()));
    let code = run_children(&config, shutdown).await;
    shutdown.trigger();
    looked_after.await?;
    code
}

fn start_postgres(data_dir: &Path) -> anyhow::Result<(Cluster, String)> {
    let cluster = Cluster::start_kept(data_dir)?;
    if !cluster.has_database(DATABASE)? {
        cluster.create_database(DATABASE)?;
    }
    let url = cluster.url(DATABASE);
    Ok((cluster, url))
}

/// Starts our own PostgreSQL again when somebody has killed it.
async fn look_after(cluster: SharedCluster, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(LOOK_AFTER) => {}
        }
        let cluster = cluster.clone();
        let looked = spawn_blocking(move || match lock(&cluster).as_mut() {
            Some(cluster) if !cluster.is_running() => {
                tracing::warn!(
                    "PostgreSQL has ended; starting it again, its log is {}",
                    cluster.log_path().display()
                );
                cluster.restart()
            }
            _ => Ok(()),
        });
        if let Ok(Err(error)) = looked.await {
            tracing::error!("PostgreSQL: {error}");
        }
    }
}

/// Runs the server and the notifiers until the end is asked for, or one of them cannot start.
async fn run_children(config: &Config, shutdown: &Shutdown) -> anyhow::Result<ExitCode> {
    let notifiers = config.presence.notifier_processes.get();
    let (events, mut told) = mpsc::unbounded_channel();
    let mut children = JoinSet::new();
    let roles = std::iter::once(Role {
        name: "server".to_owned(),
        command: "server",
    })
    .chain((1..=notifiers).map(|number| Role {
        name: format!("notifier {number}"),
        command: "notifier",
    }));
    for role in roles {
        let listened = Mutex::new(Vec::new());
        let adapt = move |config: &mut Config, line: &str| keep_ports(config, line, &listened);
        children.spawn(supervise(
            role,
            config.clone(),
            shutdown.clone(),
            events.clone(),
            adapt,
        ));
    }
    drop(events);

    let mut waiting = children.len();
    let mut failure = None;
    // Ends when the last supervising task has.
    while let Some(Event { name, what }) = told.recv().await {
        match what {
            What::Line(line) if line == "ready" => {
                waiting = waiting.saturating_sub(1);
                if waiting == 0 {
                    say("ready");
                    waiting = usize::MAX; // those that are started again say it again
                }
            }
            What::Line(line) if waiting < usize::MAX => say(line),
            What::Line(_) => {}
            What::Failed(status) => {
                failure.get_or_insert((name, status));
                shutdown.trigger();
            }
        }
    }
    while children.join_next().await.is_some() {}
    match failure {
        None => Ok(ExitCode::SUCCESS),
        // It has said why, in one line on our standard error.
        Some((_, status)) if status.code().is_some_and(|code| code != 0) => Ok(ExitCode::FAILURE),
        Some((name, status)) => bail!("the {name} ended before it was ready ({status})"),
    }
}

/// A server that is started again listens where it did, also where the configuration says "any free port".
fn keep_ports(config: &mut Config, line: &str, listened: &Mutex<Vec<Listener>>) {
    let mut listened = lock(listened);
    match line.strip_prefix("listening on ").map(str::parse) {
        Some(Ok(listener)) => listened.push(listener),
        _ if line == "ready" && !listened.is_empty() => {
            // In the order of the configuration, and after them what was added for the notifiers.
            let configured = &config.server.listen;
            for (listener, configured) in listened.iter_mut().zip(configured) {
                listener.advertise.clone_from(&configured.advertise);
            }
            config.server.listen = std::mem::take(&mut listened);
        }
        _ => {}
    }
}

/// For a shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing in these is left half-done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_were_chosen_are_kept() {
        let mut config = Config::default();
        config.server.listen[0].advertise = "sip:192.0.2.1".parse().ok();
        let before = config.clone();
        let listened = Mutex::default();
        for line in [
            "listening on udp:127.0.0.1:40001",
            "listening on tcp:[::1]:40002",
            "notifiers reach it at 1.2.3.4:5",
        ] {
            keep_ports(&mut config, line, &listened);
        }
        assert_eq!(config, before);
        keep_ports(&mut config, "ready", &listened);
        let kept: Vec<String> = config
            .server
            .listen
            .iter()
            .map(Listener::to_string)
            .collect();
        assert_eq!(
            kept,
            [
                "udp:127.0.0.1:40001 advertise sip:192.0.2.1",
                "tcp:[::1]:40002"
            ]
        );
    }

    #[test]
    fn shells_take_quoted_texts_as_they_are() {
        assert_eq!(quote("a'b"), "'a'\\''b'");
    }
}
