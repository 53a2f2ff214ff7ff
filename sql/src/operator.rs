//! What operators ask and order: lists by page, the state of the whole, and orders that go through the functions of
//! `docs/SQL.md`. Nothing here is on the way of a SIP request.

use std::time::Duration;

use tokio_postgres::Row;

use crate::registry::operator;
use crate::watcher::whole_seconds;
use crate::{Part, Resource, Store, StoreError};

/// Most rows that one cleaning statement ends or removes of a kind.
const CLEANING_BATCH: i32 = 1000;

/// What the configuration says of cleaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleaning {
    /// `force_delete`: expired publications go without telling the watchers.
    pub quiet: bool,
    /// `watcher_waiting_s`: how long watchers wait for a decision before they are given up on.
    pub waiting: Duration,
}

/// A part of a long list, in the order of row ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last id of the page before; 0 for the first page.
    pub after: i64,
    /// Most rows.
    pub limit: u32,
}

/// A live publication, with the columns of Kamailio's `presence.presentity_list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPresentity {
    /// Row id.
    pub id: i64,
    /// User part of the presentity.
    pub username: String,
    /// Its host.
    pub domain: String,
    /// Event package.
    pub event: String,
    /// Current entity-tag.
    pub etag: String,
    /// Who published; empty if unknown.
    pub sender: String,
    /// Epoch second at which it ends, -1 for never.
    pub expires: i64,
    /// Epoch second at which the body came.
    pub received_time: i64,
    /// Column `priority`.
    pub priority: i64,
    /// Names the publication for good.
    pub ruid: String,
    /// The document.
    pub body: Vec<u8>,
}

/// A subscription, with the columns of Kamailio's `presence.watcher_list`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the columns of active_watchers, which the schema comments"
)]
pub struct ListedWatcher {
    pub id: i64,
    pub presentity_uri: String,
    pub event: String,
    pub to_user: String,
    pub to_domain: String,
    pub from_user: String,
    pub from_domain: String,
    pub watcher_username: String,
    pub watcher_domain: String,
    pub contact: String,
    pub event_id: String,
    pub callid: String,
    pub user_agent: String,
    pub expires: i64,
    pub status: i16,
    pub version: i64,
    pub flags: i64,
    pub reason: String,
    pub to_tag: String,
    pub from_tag: String,
    pub socket_info: String,
    pub local_contact: String,
    pub record_route: String,
    pub remote_cseq: i64,
    pub local_cseq: i64,
    pub updated: i64,
    pub updated_winfo: i64,
}

/// A subscription, in the words of the view `presence_subscriptions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSubscription {
    /// Row id.
    pub id: i64,
    /// URI of the watcher.
    pub watcher: String,
    /// `active`, `pending`, `waiting`, `terminated` or `expired`.
    pub state: String,
    /// Why it is so, or `""`.
    pub reason: String,
    /// When it ends (RFC 3339); `None`: never.
    pub expires: Option<String>,
    /// The phone, or `""`.
    pub user_agent: String,
}

/// A process and how it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// `server` or `notifier`.
    pub kind: String,
    /// Name of the machine.
    pub host: String,
    /// Process id there.
    pub pid: i32,
    /// Where others reach it; may be empty.
    pub address: String,
    /// Version of the program.
    pub version: String,
    /// Seconds since it started.
    pub started_s: f64,
    /// Seconds since it last said that it lives.
    pub heartbeat_s: f64,
    /// Whether that is not long ago.
    pub is_alive: bool,
}

/// All NOTIFYs that are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backlog {
    /// Resources with something due.
    pub resources: i64,
    /// Those of them whose time has come.
    pub due: i64,
    /// Seconds since the oldest debt arose.
    pub oldest_s: Option<f64>,
    /// Seconds since the earliest that is due became so.
    pub late_s: Option<f64>,
    /// Resources of which a NOTIFY has been due for long and was not sent, even if a notifier holds them.
    pub untold: i64,
    /// Seconds since the oldest of these debts arose.
    pub untold_s: Option<f64>,
}

/// Subscriptions whose last NOTIFY failed and is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// How many.
    pub dialogs: i64,
    /// Failures in a row of the worst.
    pub worst: i32,
    /// How many have failed many times in a row.
    pub lasting: i64,
}

/// What is due of one resource: a row of the view `presence_backlog`.
#[derive(Clone, Debug, PartialEq)]
pub struct OwedResource {
    /// Event package.
    pub event: String,
    /// `state`, `answers`, both, or `decisions`.
    pub owed: String,
    /// What it is waiting for.
    pub state: String,
    /// Seconds since something has been due.
    pub since_s: f64,
    /// Seconds until a notifier looks at it.
    pub due_s: f64,
    /// The process that has it.
    pub holder: Option<String>,
    /// How many dialogs are concerned.
    pub dialogs: i64,
}

/// What a notifier could not work on: a row of `quarantine`.
#[derive(Clone, Debug, PartialEq)]
pub struct SetAside {
    /// Of whom.
    pub resource: Resource,
    /// Which part of it.
    pub part: Part,
    /// What could not be done: `claim`, `take`, `decide`, `verdicts`, `settle`.
    pub step: String,
    /// The error of PostgreSQL.
    pub sqlstate: String,
    /// What it said.
    pub message: String,
    /// Seconds since it was set aside first.
    pub since_s: f64,
    /// Seconds until it is tried again.
    pub retry_s: f64,
    /// How often it was tried in vain.
    pub tries: i32,
}

/// A subscription in words: a row of the view `presence_subscriptions`.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedBy {
    /// Event package.
    pub event: String,
    /// URI of the watcher.
    pub watcher: String,
    /// `active`, `pending`, `waiting`, `terminated`, `expired` or `ended`.
    pub state: String,
    /// Why it is not active; may be empty.
    pub reason: String,
    /// `nothing`, `decision`, `answer`, `state` or `again`.
    pub owed: String,
    /// Seconds until it ends; infinite for never.
    pub expires_s: f64,
    /// NOTIFYs so far.
    pub notified: i64,
    /// Failures in a row.
    pub failures: i32,
    /// Seconds until the NOTIFY that failed is sent again.
    pub retry_s: Option<f64>,
    /// Its phone.
    pub user_agent: String,
    /// Where the phone is.
    pub contact: String,
    /// Whether it is reached only through the server that it came by.
    pub by_flow: bool,
    /// What its NOTIFYs show: `all`, the words of a view, `polite-block`, `none`.
    pub shows: String,
    /// Seconds since the last NOTIFY was taken from the queue.
    pub notified_s: Option<f64>,
    /// Why the last NOTIFY failed, if it did.
    pub last_failure: Option<String>,
}

/// The statements of this area; see [`Store::operator`].
#[derive(Clone, Copy, Debug)]
pub struct Operator<'a>(pub(crate) &'a Store);

impl Operator<'_> {
    /// A page of the live publications, of all presentities or of those with this user and this domain (case does not matter).
    /// `with_body` is false where nobody reads the documents, which are most of it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_presentities(
        &self,
        page: Page,
        user: Option<&str>,
        domain: Option<&str>,
        with_body: bool,
    ) -> Result<Vec<ListedPresentity>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListPresentities {
                after: &page.after,
                limit: &i64::from(page.limit),
                username: &user,
                domain: &domain,
                with_body: &with_body,
                now: &self.0.now(),
            })
            .await?;
        Ok(rows.iter().map(listed_presentity).collect())
    }

    /// A page of the subscriptions to a presentity in all event packages.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if `presentity_uri` is not a URI, or any other.
    pub async fn list_watchers(
        &self,
        page: Page,
        presentity_uri: &str,
    ) -> Result<Vec<ListedWatcher>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListWatchers {
                presentity_uri: &presentity_uri,
                after: &page.after,
                limit: &i64::from(page.limit),
            })
            .await?;
        Ok(rows.iter().map(listed_watcher).collect())
    }

    /// Owes all watchers of a resource a NOTIFY; returns how many there are. `kind` is 0 for changed rules, 1 for changed
    /// state, 2 for a changed pidf-manipulation document, which `file` names by URI and name.
    ///
    /// # Locks
    /// The row of `notify_queue`.
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::Conflict`] if an argument makes no sense, or any other.
    pub async fn refresh_watchers(
        &self,
        presentity_uri: &str,
        event: &str,
        kind: i32,
        file: Option<(&str, &str)>,
    ) -> Result<i64, StoreError> {
        require_bounded(presentity_uri, event)?;
        let (file_uri, filename) = file.unzip();
        let rows = self
            .0
            .query(&operator::RefreshWatchers {
                presentity_uri: &presentity_uri,
                event: &event,
                kind: &kind,
                file_uri: &file_uri,
                filename: &filename,
            })
            .await?;
        Ok(first(&rows, "watchers"))
    }

    /// Has it decided anew about the watchers of a presentity with rules; `None`. Without rules, carries what stands in
    /// `watchers` over to the subscriptions of a resource that differ from it, and returns how many.
    ///
    /// # Locks
    /// Rows of `active_watchers` by key, then the row of `notify_queue`.
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::Conflict`] if an argument makes no sense, or any other.
    pub async fn update_watchers(
        &self,
        presentity_uri: &str,
        event: &str,
    ) -> Result<Option<i64>, StoreError> {
        require_bounded(presentity_uri, event)?;
        let rows = self
            .0
            .query(&operator::UpdateWatchers {
                presentity_uri: &presentity_uri,
                event: &event,
            })
            .await?;
        Ok(rows.first().and_then(|row| row.get("changed")))
    }

    /// Ends some of what has expired and removes some of what nobody needs, as the notifiers' sweep does; returns how many rows: 0
    /// when nothing is left.
    ///
    /// # Locks
    /// Free rows only (SKIP LOCKED), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn clean_up(&self, cleaning: Cleaning) -> Result<u64, StoreError> {
        let waiting_s = whole_seconds(cleaning.waiting);
        self.0
            .clean(&operator::Cleanup {
                limit: &CLEANING_BATCH,
                quiet: &cleaning.quiet,
                waiting_s: &waiting_s,
            })
            .await
    }

    /// Asks the database for nothing but an answer.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.0.query(&operator::Ping).await.map(|_| ())
    }

    /// All processes.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_processes(&self) -> Result<Vec<Process>, StoreError> {
        let rows = self.0.query(&operator::ListProcesses).await?;
        let process = |row: &Row| Process {
            kind: row.get("kind"),
            host: row.get("host"),
            pid: row.get("pid"),
            address: row.get("address"),
            version: row.get("version"),
            started_s: row.get("started_s"),
            heartbeat_s: row.get("heartbeat_s"),
            is_alive: row.get::<_, &str>("state") == "alive",
        };
        Ok(rows.iter().map(process).collect())
    }

    /// How much is due, and how late the notifiers are. What is due for longer than `patience` for a watcher who got no NOTIFY meanwhile is
    /// untold.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn find_backlog(&self, patience: Duration) -> Result<Backlog, StoreError> {
        let rows = self
            .0
            .query(&operator::FindBacklog {
                patience_s: &patience.as_secs_f64(),
            })
            .await?;
        let backlog = |row: &Row| Backlog {
            resources: row.get("resources"),
            due: row.get("due"),
            oldest_s: row.get("oldest_s"),
            late_s: row.get("late_s"),
            untold: row.get("untold"),
            untold_s: row.get("untold_s"),
        };
        rows.first()
            .map(backlog)
            .ok_or_else(|| no_row("operator.find_backlog"))
    }

    /// How many phones do not answer, and how many of them failed `many` times in a row or more.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn count_failing(&self, many: i32) -> Result<Failing, StoreError> {
        let rows = self
            .0
            .query(&operator::CountFailing { many: &many })
            .await?;
        let failing = |row: &Row| Failing {
            dialogs: row.get("dialogs"),
            worst: row.get("worst"),
            lasting: row.get("lasting"),
        };
        rows.first()
            .map(failing)
            .ok_or_else(|| no_row("operator.count_failing"))
    }

    /// What is due for the watchers of a presentity, by event package.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_backlog(
        &self,
        presentity_uri: &str,
    ) -> Result<Vec<OwedResource>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListBacklog {
                presentity_uri: &presentity_uri,
            })
            .await?;
        let owed = |row: &Row| OwedResource {
            event: row.get("event"),
            owed: row.get("owed"),
            state: row.get("state"),
            since_s: row.get("since_s"),
            due_s: row.get("due_s"),
            holder: row.get("holder"),
            dialogs: row.get("dialogs"),
        };
        Ok(rows.iter().map(owed).collect())
    }

    /// Up to `limit` of what notifiers have set aside, the oldest first, of one presentity or of all; and how much there is in all.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_set_aside(
        &self,
        presentity_uri: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<SetAside>, i64), StoreError> {
        let rows = self
            .0
            .query(&operator::ListSetAside {
                presentity_uri: &presentity_uri,
                limit: &i64::from(limit),
            })
            .await?;
        let set_aside = |row: &Row| SetAside {
            resource: Resource {
                presentity_uri: row.get("presentity_uri"),
                event: row.get("event"),
            },
            part: Part::from_number(row.get("dialog")),
            step: row.get("step"),
            sqlstate: row.get("sqlstate"),
            message: row.get("message"),
            since_s: row.get("since_s"),
            retry_s: row.get("retry_s"),
            tries: row.get("tries"),
        };
        Ok((rows.iter().map(set_aside).collect(), first(&rows, "total")))
    }

    /// Up to `limit` subscriptions to a resource, the oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_subscriptions(
        &self,
        resource: &Resource,
        limit: u32,
    ) -> Result<Vec<WatchedBy>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListSubscriptions {
                presentity_uri: &resource.presentity_uri,
                event: &resource.event,
                limit: &i64::from(limit),
            })
            .await?;
        let watched = |row: &Row| WatchedBy {
            event: row.get("event"),
            watcher: row.get("watcher"),
            state: row.get("state"),
            reason: row.get("reason"),
            owed: row.get("owed"),
            expires_s: row.get("expires_s"),
            notified: row.get("notified"),
            failures: row.get("failures"),
            retry_s: row.get("retry_s"),
            user_agent: row.get("user_agent"),
            contact: row.get("contact"),
            by_flow: row.get("by_flow"),
            shows: row.get("shows"),
            notified_s: row.get("notified_s"),
            last_failure: row.get("last_failure"),
        };
        Ok(rows.iter().map(watched).collect())
    }

    /// A page of the subscriptions to a resource.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_resource_subscriptions(
        &self,
        page: Page,
        resource: &Resource,
    ) -> Result<Vec<ListedSubscription>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListResourceSubscriptions {
                presentity_uri: &resource.presentity_uri,
                event: &resource.event,
                after: &page.after,
                limit: &i64::from(page.limit),
            })
            .await?;
        let listed = |row: &Row| ListedSubscription {
            id: row.get("id"),
            watcher: row.get("watcher"),
            state: row.get("state"),
            reason: row.get("reason"),
            expires: row.get("expires"),
            user_agent: row.get("user_agent"),
        };
        Ok(rows.iter().map(listed).collect())
    }

    /// The event packages in which a presentity has publications or subscriptions.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_events(&self, presentity_uri: &str) -> Result<Vec<String>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListEvents {
                presentity_uri: &presentity_uri,
            })
            .await?;
        Ok(rows.iter().map(|row| row.get("event")).collect())
    }
}

fn listed_presentity(row: &Row) -> ListedPresentity {
    ListedPresentity {
        id: row.get("id"),
        username: row.get("username"),
        domain: row.get("domain"),
        event: row.get("event"),
        etag: row.get("etag"),
        sender: row.get("sender"),
        expires: row.get("expires"),
        received_time: row.get("received_time"),
        priority: row.get("priority"),
        ruid: row.get("ruid"),
        body: row.get("body"),
    }
}

fn listed_watcher(row: &Row) -> ListedWatcher {
    ListedWatcher {
        id: row.get("id"),
        presentity_uri: row.get("presentity_uri"),
        event: row.get("event"),
        to_user: row.get("to_user"),
        to_domain: row.get("to_domain"),
        from_user: row.get("from_user"),
        from_domain: row.get("from_domain"),
        watcher_username: row.get("watcher_username"),
        watcher_domain: row.get("watcher_domain"),
        contact: row.get("contact"),
        event_id: row.get("event_id"),
        callid: row.get("callid"),
        user_agent: row.get("user_agent"),
        expires: row.get("expires"),
        status: row.get("status"),
        version: row.get("version"),
        flags: row.get("flags"),
        reason: row.get("reason"),
        to_tag: row.get("to_tag"),
        from_tag: row.get("from_tag"),
        socket_info: row.get("socket_info"),
        local_contact: row.get("local_contact"),
        record_route: row.get("record_route"),
        remote_cseq: row.get("remote_cseq"),
        local_cseq: row.get("local_cseq"),
        updated: row.get("updated"),
        updated_winfo: row.get("updated_winfo"),
    }
}

/// The number in the only row.
fn first(rows: &[Row], column: &str) -> i64 {
    rows.first().map_or(0, |row| row.get(column))
}

fn no_row(statement: &'static str) -> StoreError {
    StoreError::Bug {
        statement,
        sqlstate: String::new(),
        reason: "returned no row".to_owned(),
    }
}

/// An order writes a row of the queue under these names.
fn require_bounded(presentity_uri: &str, event: &str) -> Result<(), StoreError> {
    sip::bound::check_uri(presentity_uri)
        .and(sip::bound::EVENT.check(event))
        .map_err(|reason| StoreError::TooLong { reason })
}
