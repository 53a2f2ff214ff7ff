//! Functions, triggers and views find what they name, whatever the search_path of the session is.

use postgres_dev::Cluster;
use tokio_postgres::Client;

async fn fresh(cluster: &Cluster) -> Client {
    cluster.create_database("fresh").unwrap();
    let url = cluster.url("fresh");
    schema::migrate(&url).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// Functions in SQL are read when they are created; those in PL/pgSQL carry the path with them, temporary tables last.
#[tokio::test]
async fn every_function_has_a_fixed_path() {
    let cluster = Cluster::start_throwaway().unwrap();
    let client = fresh(&cluster).await;
    let rows = client
        .query(
            "SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang \
             WHERE p.pronamespace = 'public'::regnamespace \
               AND CASE WHEN l.lanname = 'sql' THEN p.prosqlbody IS NULL OR p.proconfig IS NOT NULL \
                        ELSE ('search_path=public, pg_temp' = ANY (p.proconfig)) IS NOT TRUE END",
            &[],
        )
        .await
        .unwrap();
    let loose: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(loose.is_empty(), "{loose:?}");
}

#[tokio::test]
async fn what_is_done_by_hand_works_under_any_path() {
    let cluster = Cluster::start_throwaway().unwrap();
    let client = fresh(&cluster).await;
    client
        .batch_execute(
            "SET search_path = '';
             INSERT INTO public.presentity (username, domain, event, expires, body) VALUES ('Bob', 'H', 'presence', -1, 'x');
             UPDATE public.presentity SET expires = 1;
             SELECT public.presence_publish('sip:al@h', 'presence', 'y');
             SELECT public.presence_refresh_watchers('sip:al@h', 'presence');
             SELECT public.pres_auth_status('sip:al@h', 'sip:bob@h');
             SELECT public.presence_cleanup();",
        )
        .await
        .unwrap();
    let queued = "SELECT string_agg(q.presentity_uri, ' ' ORDER BY q.presentity_uri) FROM public.notify_queue AS q";
    let queued: String = client.query_one(queued, &[]).await.unwrap().get(0);
    assert_eq!(queued, "sip:Bob@h sip:al@h");
    let shown = "SELECT p.document FROM public.presence_publications AS p WHERE p.state = 'live'";
    let shown: String = client.query_one(shown, &[]).await.unwrap().get(0);
    assert_eq!(shown, "y");
}

/// A session may have tables of its own by our names.
#[tokio::test]
async fn temporary_tables_do_not_stand_in_front() {
    let cluster = Cluster::start_throwaway().unwrap();
    let client = fresh(&cluster).await;
    client
        .batch_execute(
            "CREATE TEMPORARY TABLE notify_queue (LIKE notify_queue INCLUDING ALL);
             CREATE TEMPORARY TABLE xcap (LIKE xcap);
             INSERT INTO public.xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'h', 'x', 2, 'e', 'd');",
        )
        .await
        .unwrap();
    let found = "SELECT presence_has_rules('sip:bob@h') AND EXISTS (SELECT FROM public.notify_queue) AND NOT EXISTS (SELECT FROM pg_temp.notify_queue)";
    let found: bool = client.query_one(found, &[]).await.unwrap().get(0);
    assert!(found);
}
