//! The migrations of the first release make what the 31 before it made, but for what was changed on purpose.
//!
//! `golden/before_squash.sql` is the dump of the old ones. Both dumps are read statement by statement. What may differ: the order of columns; a
//! fixed search_path of functions; functions in SQL are read when they are created, and not when they run; what one column may hold is the
//! constraint of a domain, and not of the table ([`MOVED`]); and comments about older versions ([`COMMENTS`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use postgres_dev::Cluster;
use refinery::{Runner, Target, load_sql_migrations};
use tokio_postgres::Client;

const BEFORE: &str = include_str!("../golden/before_squash.sql");

/// The last of the migrations that were made of the old ones. What is added later is no part of the comparison.
const LAST: i32 = 33;

/// The constraints of tables that are constraints of domains now (`V2__bounds.sql`; `sql/tests/behaviour/bounds.rs` tests each).
const MOVED: [(&str, &[&str]); 5] = [
    (
        "active_watchers",
        &[
            "a decision has a rules_version, or is -1 for still to be made",
            "a dialog retires before its CSeq reaches 2^31 (RFC 3261)",
            "a dialog retires before its version reaches 2^31",
            "a subscription is to an event package",
            "callid, to_tag, from_tag, event_id: at most 255 octets",
            "contact, user_agent, from_display, view: at most 1024 octets",
            "local_uri and remote_uri have at most 2048 octets",
            "presentity_uri has at most 515 octets, event at most 128",
            "record_route has at most 4096 octets",
            "status is 1 active, 2 pending, 3 terminated or 4 waiting",
            "subscriber_key has at most 1280 octets",
            "the subscriber's CSeq has 32 bits (RFC 3261)",
            "to_user, to_domain, from_user, from_domain: at most 255 octets",
            "watcher_username and watcher_domain have at most 255 octets",
        ],
    ),
    (
        "notify_queue",
        &["presentity_uri has at most 515 octets, event at most 255"],
    ),
    (
        "presentity",
        &[
            "a publication belongs to an event package",
            "a publication has an entity-tag",
            "a publication remembers at most five requests",
            "etag, ruid and content_type have at most 255 octets",
            "expires is an epoch second, or -1 for never",
            "presentity_uri has at most 515 octets, event at most 128",
            "sender has at most 1024 octets",
            "username and domain have at most 255 octets",
        ],
    ),
    (
        "watchers",
        &[
            "a decision is 1 active, 2 pending, 3 terminated or 4 waiting",
            "presentity_uri has at most 515 octets, event at most 128",
            "view has at most 1024 octets",
            "watcher_username and watcher_domain have at most 255 octets",
        ],
    ),
    (
        "xcap",
        &[
            "a document has an address",
            "doc_uri has at most 2048 octets",
            "presentity_uri has at most 515 octets",
            "username and domain have at most 255 octets",
        ],
    ),
];

/// The columns whose comment spoke of versions that nobody runs.
const COMMENTS: [&str; 3] = [
    "node.default_policy",
    "presentity.created_time",
    "presentity.past_etags",
];

#[tokio::test]
async fn the_schema_is_that_of_before_but_for_what_was_changed_on_purpose() {
    let cluster = Cluster::start_throwaway().unwrap();
    let mut client = empty(&cluster).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    Runner::new(&load_sql_migrations(folder).unwrap())
        .set_target(Target::Version(LAST))
        .run_async(&mut client)
        .await
        .unwrap();

    let after = crate::dump::of(&cluster, "squashed");
    let (before, after) = (Parts::of(BEFORE), Parts::of(&after));
    assert_eq!(
        before
            .rest
            .symmetric_difference(&after.rest)
            .collect::<Vec<_>>(),
        Vec::<&String>::new()
    );

    let moved = MOVED.iter().flat_map(|(table, names)| {
        names
            .iter()
            .map(|name| ((*table).to_owned(), (*name).to_owned()))
    });
    let mut left = before.checks;
    for constraint in moved {
        assert!(left.remove(&constraint).is_some(), "{constraint:?}");
    }
    assert_eq!(left, after.checks);

    for (column, comment) in &before.comments {
        let same = after.comments.get(column) == Some(comment);
        assert_eq!(same, !COMMENTS.contains(&column.as_str()), "{column}");
    }
    assert_eq!(before.comments.len(), after.comments.len());
    for (header, body) in &before.read {
        assert_eq!(after.read.get(header), Some(body), "{header}");
    }
    compare_bodies(&client, &before.bodies).await;
}

/// A session on a new database, as the migrations have it.
async fn empty(cluster: &Cluster) -> Client {
    cluster.create_database("squashed").unwrap();
    let (client, connection) =
        tokio_postgres::connect(&cluster.url("squashed"), tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(connection);
    let path = include_str!("../statements/fix_search_path.sql");
    client.execute(path, &[]).await.unwrap();
    client
}

/// Functions in SQL had their text read whenever they ran. Read at once, in the new schema, it must mean what the new ones say.
async fn compare_bodies(client: &Client, bodies: &BTreeMap<String, String>) {
    client.batch_execute("CREATE SCHEMA before").await.unwrap();
    let find = "SELECT p.pronamespace::regnamespace::text, pg_get_function_sqlbody(p.oid) FROM pg_proc AS p \
                WHERE p.proname = $1 ORDER BY 1";
    for (header, body) in bodies {
        let name = header.split(['.', '(']).nth(1).unwrap();
        let now = client.query_one(find, &[&name]).await.unwrap();
        let now: String = now.get(1);
        let body = match now.starts_with("RETURN") {
            true => body.replacen("SELECT", "RETURN", 1),
            false => format!("BEGIN ATOMIC {body}; END"),
        };
        let header = header.replacen("public.", "before.", 1);
        let old = format!("{header} {body}");
        client.batch_execute(&old).await.unwrap();
        let rows = client.query(find, &[&name]).await.unwrap();
        let texts: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
        assert_eq!(texts, [now.clone(), now], "{name}");
    }
}

/// What a dump says, in an order that does not matter.
#[derive(Default)]
struct Parts {
    /// CHECK constraints, by table and name.
    checks: BTreeMap<(String, String), String>,
    /// Comments of columns.
    comments: BTreeMap<String, String>,
    /// The texts of functions in SQL, by what stands before them; only where they are text.
    bodies: BTreeMap<String, String>,
    /// The texts of the other functions in SQL.
    read: BTreeMap<String, String>,
    /// Everything else.
    rest: BTreeSet<String>,
}

impl Parts {
    fn of(dump: &str) -> Parts {
        let mut parts = Parts::default();
        let mut domains = BTreeMap::new();
        for statement in statements(dump) {
            if let Some(domain) = statement.strip_prefix("CREATE DOMAIN public.") {
                let (name, base) = base_type(domain, &domains);
                domains.insert(name, base);
            } else if let Some(comment) = statement.strip_prefix("COMMENT ON COLUMN public.") {
                let (column, comment) = comment.split_once(" IS ").unwrap();
                parts.comments.insert(column.to_owned(), comment.to_owned());
            } else if let Some(table) = statement.strip_prefix("CREATE TABLE public.") {
                parts.put_table(table, &domains);
            } else if let Some(rest) = statement.strip_prefix("ALTER TABLE public.")
                && let Some((table, check)) = rest.split_once("\nADD CONSTRAINT ")
                && check.contains(" CHECK (")
            {
                parts.put_check(table, check);
            } else if statement.starts_with("CREATE FUNCTION") {
                parts.put_function(&statement);
            } else {
                parts.rest.insert(without_casts(&statement));
            }
        }
        parts
    }

    fn put_table(&mut self, table: &str, domains: &BTreeMap<String, (String, String)>) {
        let (name, columns) = table.split_once(" (\n").unwrap();
        let mut kept = BTreeSet::new();
        for line in columns.lines() {
            let line = line.trim_end_matches(',');
            if let Some(check) = line.strip_prefix("CONSTRAINT ") {
                self.put_check(name, check);
                continue;
            }
            let mut words = line.splitn(3, ' ');
            let (column, of, rest) = (words.next(), words.next(), words.next());
            let domain = of.and_then(|of| domains.get(of.strip_prefix("public.")?));
            kept.insert(match domain {
                Some((base, collation)) => {
                    let words = [
                        column.unwrap_or_default(),
                        base,
                        rest.unwrap_or_default(),
                        collation,
                    ];
                    words
                        .map(str::trim)
                        .join(" ")
                        .replace("  ", " ")
                        .trim_end()
                        .to_owned()
                }
                None => line.to_owned(),
            });
        }
        self.rest.insert(format!("{name}: {kept:#?}"));
    }

    fn put_check(&mut self, table: &str, check: &str) {
        let (name, check) = check
            .trim_start_matches('"')
            .split_once("\" CHECK")
            .unwrap();
        self.checks
            .insert((table.to_owned(), name.to_owned()), without_casts(check));
    }

    fn put_function(&mut self, statement: &str) {
        let fixed = "SET search_path TO 'public', 'pg_temp'\n";
        let statement = statement.replacen(fixed, "", 1);
        let mut lines = statement.splitn(3, '\n');
        let (first, second, body) = (lines.next(), lines.next(), lines.next());
        let header = format!(
            "{} {}",
            first.unwrap_or_default(),
            second.unwrap_or_default()
        );
        if !header.contains("LANGUAGE sql") {
            self.rest.insert(statement);
            return;
        }
        let text = body.and_then(|body| body.strip_prefix("AS $"));
        if let Some((_, text)) = text.and_then(|text| text.split_once('$')) {
            let (text, _) = text.rsplit_once('$').unwrap();
            let text = text.rsplit_once('$').unwrap().0;
            self.bodies.insert(header.clone(), text.trim().to_owned());
        } else if let Some(body) = body {
            self.read.insert(header.clone(), body.to_owned());
        }
        self.rest.insert(header);
    }
}

/// The statements of a dump, each line without its indentation. What stands between dollar signs is not looked into.
fn statements(dump: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut quote: Option<&str> = None;
    for line in dump.lines().filter(|line| !line.starts_with("-- ")) {
        let begins = ["CREATE ", "ALTER ", "COMMENT "]
            .iter()
            .any(|word| line.starts_with(word));
        match found.last_mut() {
            Some(_) if line.trim().is_empty() => {}
            Some(last) if quote.is_some() || !begins => {
                last.push('\n');
                last.push_str(line.trim());
            }
            _ if begins => found.push(line.to_owned()),
            _ => {}
        }
        for sign in ["$$", "$_$"] {
            for _ in line.matches(sign) {
                quote = match quote {
                    None => Some(sign),
                    Some(open) if open == sign => None,
                    open => open,
                };
            }
        }
    }
    found
}

/// Name of a domain, and the type under it with its collation.
fn base_type(
    domain: &str,
    domains: &BTreeMap<String, (String, String)>,
) -> (String, (String, String)) {
    let (name, rest) = domain.split_once(" AS ").unwrap();
    let first = rest.lines().next().unwrap_or_default();
    let (base, collation) = first.split_once(' ').unwrap_or((first, ""));
    let base = match base.strip_prefix("public.") {
        Some(domain) => domains[domain].clone(),
        None => (base.to_owned(), collation.to_owned()),
    };
    (name.to_owned(), base)
}

/// `(a.event)::text` is `a.event`: a domain is compared as the type under it, and a dump says so.
fn without_casts(text: &str) -> String {
    let mut text = text.to_owned();
    for cast in [")::text[]", ")::text", ")::bigint", ")::smallint"] {
        let mut from = 0;
        while let Some(at) = text[from..].find(cast).map(|at| at + from) {
            let name = text[..at]
                .rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
                .unwrap_or(0);
            from = at + 1;
            if text[name..].starts_with('(') && name + 1 < at {
                text.replace_range(at..at + cast.len(), "");
                text.replace_range(name..=name, "");
                from = at - 1;
            }
        }
    }
    text
}
