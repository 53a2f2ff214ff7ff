//! Who may do what: each statement under the role of the process that calls it, and the catalogue against a list. What the list does not
//! name, nobody may: a new table, view or column fails here until somebody has decided about it.

use std::collections::BTreeSet;

use sql::{STATEMENTS, Statement};
use tokio_postgres::error::SqlState;

use crate::database::Database;

const ROLES: [&str; 3] = ["server", "notifier", "reader"];
/// Of columns, and of whole relations.
const RIGHTS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
const ALL: &str = "*";

/// Relation, role, right, columns.
const MAY: &[(&str, &str, &str, &str)] = &[
    ("presentity", "server", "SELECT", ALL),
    ("presentity", "server", "INSERT", ALL),
    (
        "presentity",
        "server",
        "UPDATE",
        "expires sweep_at received_time modified priority renewed_at removed has_dialog etag past_etags ended ended_at sender \
         content_type body",
    ),
    ("presentity", "server", "DELETE", ALL),
    (
        "presentity",
        "notifier",
        "SELECT",
        "id presentity_uri event expires sweep_at received_time modified created_time priority renewed_at removed has_dialog etag \
         ended ended_at sender content_type body",
    ),
    (
        "presentity",
        "notifier",
        "UPDATE",
        "sweep_at removed ended ended_at",
    ),
    ("presentity", "notifier", "DELETE", ALL),
    (
        "presentity",
        "reader",
        "SELECT",
        "id presentity_uri event ended",
    ),
    ("active_watchers", "server", "SELECT", ALL),
    ("active_watchers", "server", "INSERT", ALL),
    (
        "active_watchers",
        "server",
        "UPDATE",
        "updated retry_at expires remote_cseq sweep_at granted_s updated_winfo renewed_at target_version failures status \
         decided_version shown winfo_told_to remote_request view reason contact flow local_contact",
    ),
    ("active_watchers", "server", "DELETE", ALL),
    ("active_watchers", "notifier", "SELECT", ALL),
    (
        "active_watchers",
        "notifier",
        "UPDATE",
        "updated retry_at notified_version local_cseq version sweep_at updated_winfo failures status ended decided_version shown \
         notified_at winfo_told_to view reason failure",
    ),
    ("active_watchers", "notifier", "DELETE", ALL),
    (
        "active_watchers",
        "reader",
        "SELECT",
        "id presentity_uri event watcher_username watcher_domain status reason view ended updated failures expires notified_at \
         notified_version decided_version created_time",
    ),
    ("watchers", "server", "SELECT", ALL),
    ("watchers", "server", "UPDATE", "inserted_time reason"),
    ("watchers", "server", "DELETE", ALL),
    ("watchers", "notifier", "SELECT", ALL),
    ("watchers", "notifier", "INSERT", ALL),
    (
        "watchers",
        "notifier",
        "UPDATE",
        "inserted_time status rules_version recheck_at subscription_id reason view",
    ),
    ("watchers", "notifier", "DELETE", ALL),
    ("watchers", "reader", "SELECT", ALL),
    (
        "xcap",
        "server",
        "SELECT",
        "id doc_type presentity_uri etag doc doc_uri",
    ),
    (
        "xcap",
        "notifier",
        "SELECT",
        "id doc_type presentity_uri etag doc doc_uri",
    ),
    ("notify_queue", "server", "SELECT", ALL),
    (
        "notify_queue",
        "server",
        "INSERT",
        "presentity_uri event due decide_at flagged_due version full_version rules_version sender_version published_octets owed_since \
         winfo_watched sender",
    ),
    (
        "notify_queue",
        "server",
        "UPDATE",
        "due decide_at flagged_due version full_version rules_version sender_version sender_since published_octets owed_since \
         winfo_watched sender",
    ),
    ("notify_queue", "server", "DELETE", ALL),
    ("notify_queue", "notifier", "SELECT", ALL),
    ("notify_queue", "notifier", "INSERT", ALL),
    (
        "notify_queue",
        "notifier",
        "UPDATE",
        "due decide_at flagged_due not_before changes_at lease_until claim version claimed_version recovered_version full_version \
         rules_version decided_rules sender_version sender_since published_octets owner owed_since winfo_watched sender",
    ),
    ("notify_queue", "notifier", "DELETE", ALL),
    ("notify_queue", "reader", "SELECT", ALL),
    ("node", "server", "SELECT", ALL),
    ("node", "server", "INSERT", ALL),
    ("node", "server", "UPDATE", "heartbeat"),
    ("node", "server", "DELETE", ALL),
    ("node", "notifier", "SELECT", ALL),
    ("node", "notifier", "INSERT", ALL),
    ("node", "notifier", "UPDATE", "heartbeat"),
    ("node", "notifier", "DELETE", ALL),
    ("node", "reader", "SELECT", ALL),
    ("cluster", "server", "SELECT", "secret"),
    // Nobody: servers read the view, users are kept by the owner of the tables.
    ("subscriber", "server", "SELECT", ""),
    ("presence_credentials", "server", "SELECT", ALL),
    ("presence_delegate", "server", "SELECT", ALL),
    ("domain", "server", "SELECT", "domain"),
    ("quarantine", "notifier", "SELECT", ALL),
    ("quarantine", "notifier", "INSERT", ALL),
    (
        "quarantine",
        "notifier",
        "UPDATE",
        "retry_at tries step sqlstate message",
    ),
    ("quarantine", "notifier", "DELETE", ALL),
    ("quarantine", "reader", "SELECT", ALL),
    ("refinery_schema_history", "server", "SELECT", ALL),
    ("refinery_schema_history", "notifier", "SELECT", ALL),
    ("refinery_schema_history", "reader", "SELECT", ALL),
    (
        "presence_publications",
        "reader",
        "SELECT",
        "id presentity_uri event state says published expires sender priority content_type body_bytes document",
    ),
    (
        "presence_hard_state",
        "reader",
        "SELECT",
        "id presentity_uri body_bytes document doc_uri",
    ),
    ("presence_subscriptions", "server", "SELECT", ALL),
    (
        "presence_subscriptions",
        "reader",
        "SELECT",
        "id presentity_uri event watcher state reason owed expires notified failures retry_at user_agent contact by_flow shows \
         notified_at last_failure",
    ),
    ("presence_decisions", "reader", "SELECT", ALL),
    ("presence_watcher_states", "reader", "SELECT", ALL),
    ("presence_backlog", "reader", "SELECT", ALL),
    ("presence_processes", "reader", "SELECT", ALL),
    ("presence_usage", "reader", "SELECT", ALL),
    ("presence_gone_phones", "reader", "SELECT", ALL),
];

/// Statements that keep the roles apart, whatever the list above says.
const MUST_NOT: &[(&str, &[&str])] = &[
    (
        "server",
        &[
            "UPDATE notify_queue SET owner = 1",
            "INSERT INTO notify_queue (presentity_uri, event, due, owner) VALUES ('', '', now(), 1)",
            "UPDATE notify_queue SET lease_until = now()",
            "UPDATE active_watchers SET local_cseq = 1",
            "UPDATE active_watchers SET record_route = ''",
            "UPDATE watchers SET status = 1",
            "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status) VALUES ('', '', '', 1)",
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('', '', '', 2, '', '')",
            "DELETE FROM xcap",
            "UPDATE cluster SET secret = ''",
            "SELECT message FROM quarantine",
            "DROP TABLE node",
        ],
    ),
    (
        "notifier",
        &[
            "INSERT INTO presentity (username, domain, event, expires, body) VALUES ('', '', '', -1, '')",
            "UPDATE presentity SET body = ''",
            "UPDATE presentity SET etag = 'mine'",
            "UPDATE presentity SET expires = -1",
            "UPDATE active_watchers SET contact = ''",
            "UPDATE active_watchers SET record_route = ''",
            "UPDATE active_watchers SET flow = ''",
            "UPDATE active_watchers SET local_contact = ''",
            "UPDATE active_watchers SET remote_uri = ''",
            "UPDATE active_watchers SET callid = ''",
            "UPDATE active_watchers SET expires = -1",
            "INSERT INTO active_watchers (callid) VALUES ('')",
            "UPDATE xcap SET doc = ''",
            "SELECT secret FROM cluster",
            "SELECT past_etags FROM presentity",
        ],
    ),
    (
        "reader",
        &[
            "SELECT etag FROM presentity",
            "SELECT past_etags FROM presentity",
            "SELECT body FROM presentity",
            "SELECT etag FROM presence_publications",
            "SELECT etag FROM presence_hard_state",
            "SELECT flow FROM active_watchers",
            "SELECT callid FROM active_watchers",
            "SELECT to_tag FROM active_watchers",
            "SELECT from_tag FROM active_watchers",
            "SELECT record_route FROM active_watchers",
            "SELECT callid FROM presence_subscriptions",
            "SELECT doc FROM xcap",
            "SELECT secret FROM cluster",
            "UPDATE node SET heartbeat = now()",
            "DELETE FROM quarantine",
        ],
    ),
];

async fn as_role(database: &Database, role: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
    database.by_hand(&format!("SET ROLE {role}")).await;
    let result = database.hand.batch_execute(sql).await;
    database.by_hand("RESET ROLE").await;
    result
}

#[tokio::test]
async fn each_role_has_the_rights_that_are_listed_and_no_others() {
    let database = Database::new().await;
    let mut wrong = Vec::new();
    let relations = database
        .rows(
            "SELECT c.oid, c.relname::text, array_agg(a.attname::text ORDER BY a.attnum)
             FROM pg_class AS c
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
             GROUP BY c.oid",
            &[],
        )
        .await;
    let mut known = BTreeSet::new();
    for relation in &relations {
        let oid: u32 = relation.get(0);
        let (name, columns): (&str, Vec<String>) = (relation.get(1), relation.get(2));
        if MAY.iter().all(|(listed, ..)| *listed != name) {
            wrong.push(format!("{name} is not listed: say who may do what with it"));
        }
        known.insert(name);
        for role in ROLES {
            for right in RIGHTS {
                let listed = MAY.iter().find(|(relation, who, what, _)| {
                    (*relation, *who, *what) == (name, role, right)
                });
                let wanted: BTreeSet<String> = match listed {
                    None => BTreeSet::new(),
                    Some((.., ALL)) => columns.iter().cloned().collect(),
                    Some((.., listed)) => listed.split_whitespace().map(str::to_owned).collect(),
                };
                let of_columns = match right {
                    "DELETE" => "has_table_privilege($1::text::name, $2::oid, $3::text)",
                    _ => "has_column_privilege($1::text::name, $2::oid, c, $3::text)",
                };
                let found = database
                    .rows(
                        &format!("SELECT c FROM unnest($4::text[]) AS c WHERE {of_columns}"),
                        &[&format!("pgpresence_{role}"), &oid, &right, &columns],
                    )
                    .await;
                let found: BTreeSet<String> = found.iter().map(|row| row.get(0)).collect();
                if found != wanted {
                    let more: Vec<_> = found.difference(&wanted).collect();
                    let fewer: Vec<_> = wanted.difference(&found).collect();
                    wrong.push(format!(
                        "{role}, {right} on {name}: more {more:?}, fewer {fewer:?}"
                    ));
                }
            }
        }
    }
    for (listed, ..) in MAY {
        assert!(known.contains(listed), "{listed} is no relation");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn the_roles_are_kept_apart() {
    let database = Database::new().await;
    for (role, statements) in MUST_NOT {
        for sql in *statements {
            let refused = as_role(&database, &format!("pgpresence_{role}"), sql).await;
            let error = refused.expect_err(sql);
            assert_eq!(
                error.code(),
                Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                "{role}: {sql}: {error:?}"
            );
        }
    }
}

/// PostgreSQL looks at rights when a statement begins to run: so EXPLAIN, which begins and does not go on.
#[tokio::test]
async fn each_statement_may_be_run_by_who_calls_it() {
    let database = Database::new().await;
    // As our sessions plan: else what is called with a null would be worked out while it is planned.
    database
        .by_hand("SET plan_cache_mode = force_generic_plan")
        .await;
    // `pgpresence explain` reads what people may see, and the documents that a notifier merges.
    database
        .by_hand("CREATE ROLE explains IN ROLE pgpresence_reader, pgpresence_notifier")
        .await;
    // There are none of Kamailio's tables, and these two are no statements that can be prepared; anybody may run them.
    let not_explained = ["queue.listen", "maintenance.discard_plans"];
    let mut seen = BTreeSet::new();
    for statement in STATEMENTS {
        if statement.name.starts_with("kamailio.") || not_explained.contains(&statement.name) {
            continue;
        }
        let parameters = database.hand.prepare(statement.text).await.unwrap();
        let nulls = vec!["null"; parameters.params().len()].join(", ");
        let nulls = match nulls.is_empty() {
            true => nulls,
            false => format!("({nulls})"),
        };
        for role in callers(statement) {
            database
                .by_hand(&format!("PREPARE s AS {}", statement.text))
                .await;
            let run = as_role(&database, role, &format!("EXPLAIN EXECUTE s{nulls}")).await;
            database.by_hand("DEALLOCATE s").await;
            run.unwrap_or_else(|error| panic!("{role}: {}: {error:?}", statement.name));
            seen.insert(role);
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

/// The roles of those whom the header names. `import` runs as whoever migrates.
fn callers(statement: &Statement) -> BTreeSet<&'static str> {
    let (server, notifier) = ("pgpresence_server", "pgpresence_notifier");
    let header = statement.text.lines();
    let called_by = header
        .filter_map(|line| line.strip_prefix("-- Called by:"))
        .collect::<String>();
    let files = called_by
        .split([' ', ',', ';', ':'])
        .filter(|word| word.ends_with(".rs") && word.contains("/src/"));
    let mut roles = BTreeSet::new();
    let mut count = 0;
    for file in files {
        count += 1;
        match file {
            "cli/src/import.rs" | "cli/src/user.rs" => {}
            "cli/src/status.rs" => {
                roles.insert("pgpresence_reader");
            }
            "cli/src/explain.rs" => {
                roles.insert("explains");
            }
            "sql/src/publication/request.rs" | "sql/src/subscription/request.rs" => {
                roles.insert(server);
            }
            _ if file.starts_with("server/") || file.starts_with("lib/web/") => {
                roles.insert(server);
            }
            _ if file.starts_with("notifier/") => {
                roles.insert(notifier);
            }
            _ if file.starts_with("sql/") => roles.extend([server, notifier]),
            _ => panic!("{}: whose process is {file}?", statement.name),
        }
    }
    assert!(count > 0, "{} is called by no file", statement.name);
    roles
}
