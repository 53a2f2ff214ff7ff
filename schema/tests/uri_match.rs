//! How URIs are matched is a setting of the database: written down by the first migration, changed by an order, all or nothing.

use postgres_dev::Cluster;
use schema::{SchemaError, Settings, UriMatch};
use tokio_postgres::Client;

fn settings(uri_match: UriMatch) -> Settings {
    Settings {
        uri_match,
        ..Settings::default()
    }
}

async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn the_first_migration_writes_it_down() {
    let cluster = Cluster::start_throwaway().unwrap();
    for (name, uri_match, other, dora) in [
        (
            "by_case",
            UriMatch::CaseSensitive,
            UriMatch::CaseInsensitive,
            "sip:DORA@h",
        ),
        (
            "without",
            UriMatch::CaseInsensitive,
            UriMatch::CaseSensitive,
            "sip:dora@h",
        ),
    ] {
        cluster.create_database(name).unwrap();
        let url = cluster.url(name);
        for _ in 0..2 {
            schema::migrate_with(&url, &settings(uri_match))
                .await
                .unwrap();
        }
        schema::require(&url, &settings(uri_match)).await.unwrap();
        for refused in [
            schema::require(&url, &settings(other)).await.unwrap_err(),
            schema::migrate_with(&url, &settings(other))
                .await
                .unwrap_err(),
        ] {
            assert!(
                matches!(refused, SchemaError::OtherUriMatch { configured, found } if configured == other && found == uri_match),
                "{refused}"
            );
            assert!(
                refused
                    .to_string()
                    .contains(&format!("pgpresence migrate --uri-match {other}"))
            );
        }
        let client = session(&url).await;
        assert_eq!(
            texts(&client, "SELECT presence_uri('sip:DORA@H')").await,
            [dora]
        );
        assert_eq!(
            texts(&client, "SELECT uri_match::text FROM cluster").await,
            [uri_match.to_string()]
        );
    }
}

/// As a database stands that is older than the setting: nothing is written down yet.
async fn older(cluster: &Cluster, name: &str) -> (String, Client) {
    cluster.create_database(name).unwrap();
    let url = cluster.url(name);
    schema::migrate(&url).await.unwrap();
    let client = session(&url).await;
    client
        .batch_execute("UPDATE cluster SET uri_match = NULL")
        .await
        .unwrap();
    (url, client)
}

const DORA: &str = "INSERT INTO presentity (username, domain, event, expires, body, ruid) VALUES ('DORA', 'h', 'presence', -1, 'x', 'r1')";

#[tokio::test]
async fn an_older_database_is_not_changed_behind_its_owners_back() {
    let cluster = Cluster::start_throwaway().unwrap();
    let wanted = settings(UriMatch::CaseInsensitive);
    let (url, client) = older(&cluster, "folded").await;
    client
        .batch_execute(&DORA.replace("DORA", "dora"))
        .await
        .unwrap();
    schema::migrate_with(&url, &wanted).await.unwrap();
    schema::require(&url, &wanted).await.unwrap();

    let (url, client) = older(&cluster, "mixed").await;
    client.batch_execute(DORA).await.unwrap();
    let refused = schema::migrate_with(&url, &wanted).await.unwrap_err();
    assert!(
        matches!(refused, SchemaError::WrittenOtherwise { rows: 1, .. }),
        "{refused}"
    );
    let uri = "SELECT presentity_uri FROM presentity";
    assert_eq!(texts(&client, uri).await, ["sip:DORA@h"]);
    assert_eq!(schema::change_uri_match(&url, &wanted).await.unwrap(), 1);
    assert_eq!(texts(&client, uri).await, ["sip:dora@h"]);
    schema::migrate_with(&url, &wanted).await.unwrap();
}

/// Everything that is dora's is dora's afterwards, and only those are told whom it concerns.
#[tokio::test]
async fn the_order_brings_all_rows_along() {
    let cluster = Cluster::start_throwaway().unwrap();
    cluster.create_database("changed").unwrap();
    let url = cluster.url("changed");
    schema::migrate(&url).await.unwrap();
    let client = session(&url).await;
    client
        .batch_execute(&format!(
            "{DORA};
             INSERT INTO presentity (username, domain, event, expires, body) VALUES ('bob', 'h', 'presence', -1, 'x'), ('dora', 'h', 'presence', -1, 'y');
             INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, to_tag, from_tag, callid,
                 remote_cseq, contact, expires, from_user, from_domain, status, decided_version, updated)
             SELECT 'sip:' || u || '@h', 'Eve', 'h', 'u', 'h', 't', 'f', u, 1, 'sip:c', -1, 'e', 'h', 1, 0, -1 FROM unnest(ARRAY['DORA', 'dora', 'bob']) AS u;
             INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status)
             VALUES ('sip:DORA@h', 'EVE', 'h', 1), ('sip:dora@h', 'eve', 'h', 1), ('sip:dora@h', 'Zoe', 'h', 3);
             INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('DORA', 'h', 'rules', 2, 'e', 'u');
             DELETE FROM notify_queue; INSERT INTO notify_queue (presentity_uri, event, due) VALUES ('sip:bob@h', 'presence', 'infinity'), ('sip:DORA@h', 'presence', 'infinity')"
        ))
        .await
        .unwrap();
    let wanted = settings(UriMatch::CaseInsensitive);
    schema::change_uri_match(&url, &wanted).await.unwrap();
    for (sql, expected) in [
        (
            "SELECT presentity_uri || ' ' || username FROM presentity ORDER BY 1",
            &["sip:bob@h bob", "sip:dora@h DORA", "sip:dora@h dora"][..],
        ),
        (
            "SELECT presentity_uri || ' ' || watcher_username FROM active_watchers ORDER BY 1",
            &["sip:bob@h eve", "sip:dora@h eve", "sip:dora@h eve"],
        ),
        (
            "SELECT presentity_uri || ' ' || watcher_username || ' ' || status FROM watchers ORDER BY 1",
            &["sip:dora@h eve 1", "sip:dora@h zoe 3"],
        ),
        (
            "SELECT presentity_uri || ' ' || username FROM xcap",
            &["sip:dora@h DORA"],
        ),
        // It is decided anew about dora's watchers, since rules are hers that were not.
        (
            "SELECT presentity_uri || CASE WHEN due <= now() THEN ' due' ELSE ' idle' END || CASE WHEN rules_version > 0 AND decide_at <= now() THEN ' decides' ELSE '' END
             FROM notify_queue WHERE presentity_uri = 'sip:dora@h' AND event = 'presence'",
            &["sip:dora@h due decides"],
        ),
        (
            "SELECT presentity_uri FROM notify_queue WHERE presentity_uri LIKE '%DORA%'",
            &[],
        ),
        (
            "SELECT tgname::text FROM pg_trigger WHERE tgenabled <> 'O' AND NOT tgisinternal",
            &[],
        ),
    ] {
        assert_eq!(texts(&client, sql).await, expected, "{sql}");
    }
    // And back: what was folded stays, what stands as it was written is that again.
    schema::change_uri_match(&url, &Settings::default())
        .await
        .unwrap();
    assert_eq!(
        texts(&client, "SELECT presentity_uri FROM presentity ORDER BY 1").await,
        ["sip:DORA@h", "sip:bob@h", "sip:dora@h"]
    );
}

#[tokio::test]
async fn what_collides_is_named_and_nothing_changes() {
    let cluster = Cluster::start_throwaway().unwrap();
    cluster.create_database("colliding").unwrap();
    let url = cluster.url("colliding");
    schema::migrate(&url).await.unwrap();
    let client = session(&url).await;
    let wanted = settings(UriMatch::CaseInsensitive);
    for (rows, part, away) in [
        (
            "SELECT presence_publish('sip:' || u || '@h', 'presence', 'x', source => 'door') FROM unnest(ARRAY['DORA', 'dora']) AS u",
            "presentity: sip:DORA@h and sip:dora@h have a publication of presence each for sip:dora@h (sql:door)",
            "DELETE FROM presentity WHERE username = 'DORA'",
        ),
        (
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('DORA', 'h', '', 2, 'e', 'u'), ('dora', 'h', '', 2, 'e', 'v')",
            "xcap: sip:DORA@h and sip:dora@h have documents of type 2 each for sip:dora@h",
            "DELETE FROM xcap WHERE username = 'DORA'",
        ),
        (
            "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status) VALUES ('sip:DORA@h', 'eve', 'h', 1), ('sip:dora@h', 'Eve', 'h', 3)",
            "watchers: decisions differ about sip:eve@h who watches presence of sip:dora@h: active for sip:eve@h of sip:DORA@h, terminated for sip:Eve@h of sip:dora@h",
            "DELETE FROM watchers WHERE watcher_username = 'Eve'",
        ),
    ] {
        client.batch_execute(rows).await.unwrap();
        let before = texts(&client, "SELECT presentity_uri FROM presentity UNION ALL SELECT presentity_uri FROM xcap UNION ALL SELECT presentity_uri FROM watchers ORDER BY 1").await;
        match schema::change_uri_match(&url, &wanted).await {
            Err(SchemaError::UriMatchRefused { reason, .. }) => {
                assert_eq!(
                    reason.lines().skip(1).collect::<Vec<_>>(),
                    [part],
                    "{reason}"
                );
            }
            other => panic!("{part}: {other:?}"),
        }
        assert_eq!(texts(&client, "SELECT presentity_uri FROM presentity UNION ALL SELECT presentity_uri FROM xcap UNION ALL SELECT presentity_uri FROM watchers ORDER BY 1").await, before);
        schema::require(&url, &Settings::default()).await.unwrap();
        client.batch_execute(away).await.unwrap();
    }
    client
        .batch_execute("INSERT INTO node (kind, host, pid) VALUES ('server', 'h', 7)")
        .await
        .unwrap();
    let refused = schema::change_uri_match(&url, &wanted).await.unwrap_err();
    assert!(
        refused.to_string().contains("server 7 on h") && !refused.is_outage(),
        "{refused}"
    );
    client.batch_execute("DELETE FROM node").await.unwrap();
    schema::change_uri_match(&url, &wanted).await.unwrap();
    schema::require(&url, &wanted).await.unwrap();
}

/// Rows that came by no trigger, as a replica or a dump restores them: the order brings them into their form as well.
#[tokio::test]
async fn rows_in_another_form_become_canonical() {
    let cluster = Cluster::start_throwaway().unwrap();
    cluster.create_database("before").unwrap();
    let url = cluster.url("before");
    schema::migrate(&url).await.unwrap();
    let client = session(&url).await;
    client
        .batch_execute(
            "SET session_replication_role = replica;
             INSERT INTO presentity (presentity_uri, username, domain, event, expires, body)
             VALUES ('tel:+1-555', '+1-555', '', 'presence', -1, 'x'), ('sip:al@h.', 'al', 'H.', 'presence', -1, 'x'),
                    ('sip:%62ob@h', '%62ob', 'h', 'presence', -1, 'new');
             INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, inserted_time)
             VALUES ('sip:bob@h', 'eve', 'h', 3, 1), ('sip:%62ob@H', 'eve', 'h', 1, 9), ('nobody', 'x', 'y', 1, 1);
             INSERT INTO xcap (presentity_uri, username, domain, doc, doc_type, etag, doc_uri)
             VALUES ('sip:%62ob@h', '%62ob', 'h', '', 2, 'e', 'u');
             RESET session_replication_role",
        )
        .await
        .unwrap();
    schema::change_uri_match(&url, &Settings::default())
        .await
        .unwrap();
    for (sql, expected) in [
        (
            "SELECT presentity_uri || ' ' || convert_from(body, 'UTF8') FROM presentity ORDER BY 1",
            &["sip:al@h x", "sip:bob@h new", "tel:+1555 x"][..],
        ),
        // The decision that was in force stays.
        (
            "SELECT presentity_uri || ' ' || status FROM watchers ORDER BY 1",
            &["nobody 1", "sip:bob@h 3"],
        ),
        ("SELECT presentity_uri FROM xcap", &["sip:bob@h"]),
        (
            "SELECT presentity_uri FROM notify_queue WHERE due <= now() ORDER BY 1",
            &["sip:al@h", "sip:bob@h", "tel:+1555"],
        ),
    ] {
        assert_eq!(texts(&client, sql).await, expected, "{sql}");
    }
}
