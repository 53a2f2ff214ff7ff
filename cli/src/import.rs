//! `import`: what a live Kamailio has in its database comes over, so that running dialogs go on.
//!
//! Page by page, in the order of locks (presentity, active_watchers, watchers, xcap); a page is one batch. A second run finds the
//! rows of the first, brings what has changed at Kamailio's since, and leaves alone what has become ours.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use kamailio::{Converter, Unfit};
use node::{Config, ConfigError, DatabaseUrl, Fault, ON_COMMAND_LINE, Origin, TableName};
use sql::{ImportOutcome, ImportedDecision, Store, StoreError, StoreOptions, Tables};

use crate::arguments::ImportArgs;
use crate::configuration::{
    Role, find_database, load, password_file, schema_fault, schema_settings,
};
use crate::progress::ProgressLine;
use crate::settings::Settings;
use crate::{packages, remark, runtime, say};

/// Rows of a page: of those with bodies fewer, so that a page stays within some MiB.
const DIALOGS: u32 = 500;
const DECISIONS: u32 = 1000;
const PUBLICATIONS: u32 = 200;
const DOCUMENTS: u32 = 50;
/// A page takes milliseconds; a database under load may take its time.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// A process without a heartbeat for this long does not run.
const ALIVE: Duration = Duration::from_secs(30);

/// What is read of each table. Versions 5.4 to 5.8 have all of it.
const NEEDED: &[(&str, &str)] = &[
    (
        "presentity",
        "id username domain event etag expires received_time body sender priority",
    ),
    (
        "active_watchers",
        "id presentity_uri watcher_username watcher_domain to_user to_domain event event_id to_tag from_tag callid \
         local_cseq remote_cseq contact record_route expires status reason version socket_info local_contact from_user \
         from_domain updated flags user_agent",
    ),
    (
        "watchers",
        "id presentity_uri watcher_username watcher_domain event status reason inserted_time",
    ),
    (
        "xcap",
        "id username domain doc doc_type etag source doc_uri port",
    ),
];
/// A column that only our own table has.
const OURS: (&str, &str) = ("presentity", "presentity_uri");

pub(crate) fn run(settings: &Settings, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let config = load(settings, Role::Other)?;
    node::init_log(&config.log);
    let url = find_database(settings, &config)?;
    let mut from = args.from.parse::<DatabaseUrl>().map_err(|error| {
        ConfigError::Faults(vec![Fault {
            origin: Origin::CommandLine,
            path: "--from".to_owned(),
            message: error.to_string(),
        }])
    })?;
    if from.has_password() {
        remark(format_args!("--from: {ON_COMMAND_LINE}"));
    }
    if let Some(message) = password_file().complete(&mut from) {
        remark(format_args!("--from: {message}"));
    }
    runtime()?.block_on(import(&config, &url, &from, args))?;
    Ok(ExitCode::SUCCESS)
}

async fn import(
    config: &Config,
    url: &DatabaseUrl,
    from: &DatabaseUrl,
    args: &ImportArgs,
) -> anyhow::Result<()> {
    let wanted = schema_settings(config);
    schema::require(url.expose(), &wanted)
        .await
        .map_err(schema_fault)?;
    let options = StoreOptions {
        statement_timeout: STATEMENT_TIMEOUT,
        ..StoreOptions::of(config, 2)
    };
    let target = Store::connect(url.expose(), &options)?;
    let (source, tables) = source(config, from, options).await?;
    check_layout(&tables)?;
    warn_of_processes(&target).await?;
    let registry = packages::registry(config)?;
    let converter = Converter {
        registry: &registry,
        fold_case: config.presence.sip_uri_match.folds_case(),
        local_contact: config
            .presence
            .server_address
            .as_ref()
            .map(|uri| uri.as_str().to_owned()),
        route: match &args.route {
            Some(uri) => Some(kamailio::route(uri).map_err(|fault| anyhow!("--route {fault}"))?),
            None => None,
        },
        notify: args.notify,
        cseq_gap: i64::from(args.cseq_gap),
    };
    let import = Run {
        source,
        target,
        converter,
        dry: args.dry_run,
        progress: ProgressLine::start("reading"),
    };
    import.publications().await?;
    import.dialogs().await?;
    for (table, has) in [("watchers", false), ("xcap", true)] {
        match (tables.contains_key(table), has) {
            (false, _) => say(format_args!("{table}: there is none")),
            (true, false) => import.decisions().await?,
            (true, true) => import.documents().await?,
        }
    }
    if args.dry_run {
        say("nothing was written: --dry-run");
    }
    Ok(())
}

/// Kamailio's database, with the tables that are there and their columns. Its parameters have the same names as ours, so each table is
/// called as ours is; or, where there is none of that name, as usual.
async fn source(
    config: &Config,
    from: &DatabaseUrl,
    options: StoreOptions,
) -> anyhow::Result<(Store, BTreeMap<String, BTreeSet<String>>)> {
    let cannot = || format!("cannot read {from}");
    let store = Store::connect_read_only(from.expose(), &options)?;
    let found = store.kamailio().columns(&options.tables).await;
    let found = found.with_context(cannot)?;
    let presence = &config.presence;
    let pick = |usual: &'static str, table: &TableName| match found.contains_key(usual) {
        true => table.as_str().to_owned(),
        false => usual.to_owned(),
    };
    let tables = Tables::new(
        &pick("presentity", &presence.presentity_table),
        &pick("active_watchers", &presence.active_watchers_table),
        &pick("watchers", &presence.watchers_table),
    );
    if tables == options.tables {
        return Ok((store, found));
    }
    let options = StoreOptions { tables, ..options };
    let store = Store::connect_read_only(from.expose(), &options)?;
    let found = store.kamailio().columns(&options.tables).await;
    Ok((store, found.with_context(cannot)?))
}

/// Whether all that is read is there.
fn check_layout(tables: &BTreeMap<String, BTreeSet<String>>) -> anyhow::Result<()> {
    if tables
        .get(OURS.0)
        .is_some_and(|columns| columns.contains(OURS.1))
    {
        bail!("--from is a database of pgpresence, not of Kamailio");
    }
    let optional = ["watchers", "xcap"];
    let mut missing = Vec::new();
    for (table, columns) in NEEDED {
        match tables.get(*table) {
            None if optional.contains(table) => {}
            None => missing.push((*table).to_owned()),
            Some(found) => missing.extend(
                columns
                    .split_whitespace()
                    .filter(|column| !found.contains(*column))
                    .map(|column| format!("{table}.{column}")),
            ),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "--from is not a presence database of Kamailio 5.4 to 5.8: {} missing",
        missing.join(", ")
    )
}

/// A notifier that runs would send NOTIFYs in dialogs that Kamailio still holds.
async fn warn_of_processes(target: &Store) -> anyhow::Result<()> {
    let now = SystemTime::now();
    let nodes = target.node().list().await?;
    let alive = nodes.iter().filter(|node| {
        now.duration_since(node.heartbeat)
            .is_ok_and(|silence| silence < ALIVE)
    });
    for node in alive {
        remark(format_args!(
            "warning: a {} runs on {} (process {}): stop it until Kamailio has stopped, or both will send NOTIFYs",
            node.about.kind, node.about.host, node.about.pid
        ));
    }
    Ok(())
}

/// One run over all tables.
struct Run<'a> {
    source: Store,
    target: Store,
    converter: Converter<'a>,
    dry: bool,
    progress: ProgressLine,
}

/// What became of the rows of a table.
#[derive(Default)]
struct Tally {
    read: u64,
    created: u64,
    changed: u64,
    same: u64,
    newer: u64,
    gone: u64,
    skipped: u64,
}

impl Run<'_> {
    async fn publications(&self) -> anyhow::Result<()> {
        let mut tally = Tally::default();
        let mut after = i64::MIN;
        loop {
            let page = self
                .source
                .kamailio()
                .publications(after, PUBLICATIONS)
                .await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            self.progress
                .show(format_args!("presentity: {} read", tally.read));
            let rows = tally.converted("presentity", page, |row| {
                (row.id, self.converter.publication(row))
            });
            tally
                .store("presentity", &rows, async |rows| {
                    self.target.import().publications(rows, self.dry).await
                })
                .await?;
        }
        let mut after = i64::MIN;
        loop {
            let page = self
                .target
                .import()
                .untouched_publications(after, DIALOGS)
                .await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            self.progress.show(format_args!(
                "presentity: looking for what is gone, {} so far",
                tally.gone
            ));
            let sources: Vec<i64> = page.iter().map(|(_, source)| *source).collect();
            let existing = self
                .source
                .kamailio()
                .existing_publications(&sources)
                .await?;
            let gone: Vec<i64> = page
                .iter()
                .filter(|(_, source)| !existing.contains(source))
                .map(|(id, _)| *id)
                .collect();
            tally.gone += match self.dry {
                true => gone.len() as u64,
                false => self.target.import().forget_publications(&gone).await?,
            };
        }
        tally.say("presentity");
        Ok(())
    }

    async fn dialogs(&self) -> anyhow::Result<()> {
        let mut tally = Tally::default();
        let mut owed = 0;
        let mut after = i64::MIN;
        loop {
            let page = self.source.kamailio().dialogs(after, DIALOGS).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            self.progress
                .show(format_args!("active_watchers: {} read", tally.read));
            let rows = tally.converted("active_watchers", page, |row| {
                (row.id, self.converter.dialog(row))
            });
            let outcomes = tally
                .store("active_watchers", &rows, async |rows| {
                    self.target.import().dialogs(rows, self.dry).await
                })
                .await?;
            let written = |outcome: &&ImportOutcome| {
                matches!(outcome, ImportOutcome::Created | ImportOutcome::Changed)
            };
            let pairs = rows.iter().zip(&outcomes);
            owed += pairs
                .filter(|((_, row), outcome)| {
                    row.owed && outcome.as_ref().is_some_and(|v| written(&v))
                })
                .count();
        }
        let mut after = i64::MIN;
        loop {
            let page = self
                .target
                .import()
                .untouched_dialogs(after, DIALOGS)
                .await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            self.progress.show(format_args!(
                "active_watchers: looking for what is gone, {} so far",
                tally.gone
            ));
            let (ids, keys): (Vec<i64>, Vec<_>) = page.into_iter().unzip();
            let existing = self.source.kamailio().existing_dialogs(&keys).await?;
            let gone: Vec<i64> = ids
                .iter()
                .enumerate()
                .filter(|(at, _)| !existing.contains(at))
                .map(|(_, id)| *id)
                .collect();
            tally.gone += match self.dry {
                true => gone.len() as u64,
                false => self.target.import().forget_dialogs(&gone).await?,
            };
        }
        tally.say("active_watchers");
        say(format_args!(
            "{owed} of these dialogs get a NOTIFY as soon as a notifier runs"
        ));
        Ok(())
    }

    async fn decisions(&self) -> anyhow::Result<()> {
        let mut tally = Tally::default();
        let mut after = i64::MIN;
        loop {
            let page = self.source.kamailio().decisions(after, DECISIONS).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            self.progress
                .show(format_args!("watchers: {} read", tally.read));
            let rows = tally.converted("watchers", page, |row| {
                (row.id, self.converter.decision(row))
            });
            let rows = one_of_each(rows);
            tally
                .store("watchers", &rows, async |rows| {
                    self.target.import().decisions(rows, self.dry).await
                })
                .await?;
        }
        tally.say("watchers");
        Ok(())
    }

    async fn documents(&self) -> anyhow::Result<()> {
        let mut tally = Tally::default();
        let mut after = i64::MIN;
        loop {
            let page = self.source.kamailio().documents(after, DOCUMENTS).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            self.progress
                .show(format_args!("xcap: {} read", tally.read));
            let rows = tally.converted("xcap", page, |row| (row.id, self.converter.document(row)));
            let outcomes = tally
                .store("xcap", &rows, async |rows| {
                    self.target.import().documents(rows, self.dry).await
                })
                .await?;
            for ((id, row), outcome) in rows.iter().zip(outcomes) {
                if outcome == Some(ImportOutcome::Changed) {
                    remark(format_args!(
                        "replaced: xcap {id}: {}",
                        row.doc_uri.escape_debug()
                    ));
                }
            }
        }
        tally.say("xcap");
        Ok(())
    }
}

/// Two domains that differ in case only are one here: of two decisions the later one counts.
fn one_of_each(rows: Vec<(i64, ImportedDecision)>) -> Vec<(i64, ImportedDecision)> {
    let mut of_key = BTreeMap::new();
    for (id, row) in rows {
        let key = (
            row.presentity_uri.clone(),
            row.watcher_username.clone(),
            row.watcher_domain.clone(),
            row.event.clone(),
        );
        let known = of_key.entry(key).or_insert_with(|| (id, row.clone()));
        if known.1.inserted_time < row.inserted_time {
            *known = (id, row);
        }
    }
    of_key.into_values().collect()
}

// === impl Tally ===

impl Tally {
    /// Converts a page; what cannot be taken over is named on standard error.
    fn converted<R, T>(
        &mut self,
        table: &str,
        page: Vec<R>,
        convert: impl Fn(R) -> (i64, Result<T, Unfit>),
    ) -> Vec<(i64, T)> {
        self.read += page.len() as u64;
        let mut rows = Vec::with_capacity(page.len());
        for row in page {
            match convert(row) {
                (id, Ok(row)) => rows.push((id, row)),
                (id, Err(reason)) => self.skip(table, id, &reason.to_string()),
            }
        }
        rows
    }

    /// Stores a page. What the database refuses is tried row by row, so that one bad row harms only itself.
    async fn store<T: Clone>(
        &mut self,
        table: &str,
        rows: &[(i64, T)],
        put: impl AsyncFn(&[T]) -> Result<Vec<ImportOutcome>, StoreError>,
    ) -> anyhow::Result<Vec<Option<ImportOutcome>>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<T> = rows.iter().map(|(_, row)| row.clone()).collect();
        let mut outcomes = Vec::with_capacity(rows.len());
        match put(&all).await {
            Ok(found) => outcomes.extend(found.into_iter().map(Some)),
            Err(StoreError::Conflict { .. }) => {
                for (id, row) in rows {
                    match put(std::slice::from_ref(row)).await {
                        Ok(found) => outcomes.push(found.first().copied()),
                        Err(StoreError::Conflict { reason, .. }) => {
                            self.skip(table, *id, &reason);
                            outcomes.push(None);
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Err(error) => return Err(error.into()),
        }
        for outcome in outcomes.iter().flatten() {
            match outcome {
                ImportOutcome::Created => self.created += 1,
                ImportOutcome::Changed => self.changed += 1,
                ImportOutcome::Same => self.same += 1,
                ImportOutcome::Newer => self.newer += 1,
            }
        }
        Ok(outcomes)
    }

    fn skip(&mut self, table: &str, id: i64, reason: &str) {
        self.skipped += 1;
        remark(format_args!("skipped: {table} {id}: {reason}"));
    }

    fn say(&self, table: &str) {
        let Tally {
            read,
            created,
            changed,
            same,
            newer,
            gone,
            skipped,
        } = self;
        say(format_args!(
            "{table}: {read} read: {created} new, {changed} changed, {same} as before, {newer} newer here, {skipped} skipped; \
             {gone} gone since"
        ));
    }
}
