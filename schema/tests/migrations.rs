//! What the migrations add up to, and that any number of migrators may run at once.

use std::path::Path;

use postgres_dev::Cluster;
use schema::{SchemaError, Settings, Tables};

#[tokio::test]
async fn four_migrators_on_an_empty_database() {
    let cluster = Cluster::start_throwaway().unwrap();
    cluster.create_database("empty").unwrap();
    let url = cluster.url("empty");

    let found = schema::require_version(&url).await;
    assert!(
        matches!(found, Err(SchemaError::TooOld { found: 0, .. })),
        "{found:?}"
    );

    let (a, b, c, d) = tokio::join!(
        schema::migrate(&url),
        schema::migrate(&url),
        schema::migrate(&url),
        schema::migrate(&url)
    );
    let mut applied = [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap()];
    applied.sort_unstable();
    let all = usize::try_from(schema::version()).unwrap();
    assert_eq!(applied, [0, 0, 0, all]);
    schema::require_version(&url).await.unwrap();
}

#[tokio::test]
async fn errors_tell_what_to_do() {
    let away = schema::require_version("postgresql://nobody@127.0.0.1:1/none")
        .await
        .unwrap_err();
    assert!(away.is_outage(), "{away}");
    let typo = schema::migrate("postgres//x y").await.unwrap_err();
    assert!(
        matches!(typo, SchemaError::Url(_)) && !typo.is_outage(),
        "{typo}"
    );
}

/// Under other names nothing is left of the usual ones, in no function and no view, and a database that was made so is known again.
#[tokio::test]
async fn tables_may_have_other_names() {
    let cluster = Cluster::start_throwaway().unwrap();
    for name in ["other", "usual"] {
        cluster.create_database(name).unwrap();
    }
    let url = cluster.url("other");
    let tables = Tables::new("own.p", "own.user", "decisions");
    let settings = Settings {
        tables: tables.clone(),
        ..Settings::default()
    };
    let (first, second) = tokio::join!(
        schema::migrate_with(&url, &settings),
        schema::migrate_with(&url, &settings)
    );
    let all = usize::try_from(schema::version()).unwrap();
    assert_eq!(first.unwrap() + second.unwrap(), all);
    assert_eq!(schema::migrate_with(&url, &settings).await.unwrap(), 0);
    schema::require(&url, &settings).await.unwrap();

    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let rows = client
        .query(
            "SELECT p.proname::text, COALESCE(pg_get_function_sqlbody(p.oid), p.prosrc) FROM pg_proc AS p \
             WHERE p.pronamespace = 'public'::regnamespace \
             UNION ALL SELECT v.viewname::text, v.definition FROM pg_views AS v WHERE v.schemaname = 'public'",
            &[],
        )
        .await
        .unwrap();
    assert!(rows.len() > 20);
    for row in rows {
        let (name, source): (String, String) = (row.get(0), row.get(1));
        assert_eq!(tables.in_sql(&source), source, "{name}");
    }

    schema::migrate(&cluster.url("usual")).await.unwrap();
    for (database, tables, key, found) in [
        (
            "other",
            Tables::default(),
            "presence.presentity_table",
            "own.p",
        ),
        (
            "other",
            Tables::new("own.p", "user", "decisions"),
            "presence.active_watchers_table",
            "own.\"user\"",
        ),
        (
            "usual",
            Tables::new("presentity", "active_watchers", "other.watchers"),
            "presence.watchers_table",
            "watchers",
        ),
    ] {
        let url = cluster.url(database);
        let settings = Settings {
            tables,
            ..Settings::default()
        };
        for refused in [
            schema::migrate_with(&url, &settings).await.unwrap_err(),
            schema::require(&url, &settings).await.unwrap_err(),
        ] {
            assert!(
                matches!(&refused, SchemaError::OtherName { key: k, found: f, .. } if *k == key && f == found)
                    && !refused.is_outage(),
                "{refused}"
            );
        }
    }
    assert_eq!(
        client
            .query_one(
                "SELECT count(*) FROM pg_namespace WHERE nspname = 'other'",
                &[]
            )
            .await
            .unwrap()
            .get::<_, i64>(0),
        0,
        "nothing was made for who was refused"
    );
}

/// `PGPRESENCE_BLESS=1` rewrites the golden file; review its difference, not only the migration's.
#[tokio::test]
async fn the_dump_equals_the_golden_schema() {
    let cluster = Cluster::start_throwaway().unwrap();
    cluster.create_database("fresh").unwrap();
    schema::migrate(&cluster.url("fresh")).await.unwrap();
    let found = crate::dump::of(&cluster, "fresh");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/schema.sql");
    if std::env::var_os("PGPRESENCE_BLESS").is_some() {
        std::fs::write(&golden, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        found == expected,
        "schema/golden/schema.sql is not what the migrations make. PGPRESENCE_BLESS=1 rewrites it. First difference:\n{}",
        first_difference(&found, &expected)
    );
}

/// Every table and column says what it means.
#[tokio::test]
async fn every_column_is_commented() {
    let cluster = Cluster::start_throwaway().unwrap();
    cluster.create_database("fresh").unwrap();
    let url = cluster.url("fresh");
    schema::migrate(&url).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let rows = client
        .query(
            "SELECT c.relname || COALESCE('.' || a.attname, '') FROM pg_class AS c \
             LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'S') \
               AND c.relname <> 'refinery_schema_history' AND c.relname NOT LIKE '%\\_id\\_seq' \
               AND col_description(c.oid, CASE WHEN c.relkind = 'S' THEN 0 ELSE a.attnum END) IS NULL \
               AND NOT (c.relkind = 'S' AND obj_description(c.oid, 'pg_class') IS NOT NULL)",
            &[],
        )
        .await
        .unwrap();
    let silent: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(silent.is_empty(), "without a comment: {silent:?}");
}

fn first_difference(found: &str, expected: &str) -> String {
    let mut pairs = found
        .lines()
        .zip(expected.lines().chain(std::iter::repeat("<end>")));
    match pairs.find(|(found, expected)| found != expected) {
        Some((found, expected)) => format!("found:  {found}\ngolden: {expected}"),
        None => "the golden file goes on after the end of the dump".to_owned(),
    }
}
