//! The tables take what `sip::bound` lets in, and nothing longer, whoever writes it.

use sip::bound::{self, Bound};

use crate::database::*;

const PUBLISH: &str = "INSERT INTO presentity (username, domain, event, etag, ruid, sender, content_type, body, expires)
    VALUES (%username%, %domain%, %event%, %etag%, %ruid%, %sender%, %content_type%, 'x', -1)";
const SUBSCRIBE: &str = "INSERT INTO active_watchers (presentity_uri, event, event_id, watcher_username, watcher_domain, to_user, to_domain,
        from_user, from_domain, to_tag, from_tag, callid, remote_cseq, contact, user_agent, from_display, local_uri, remote_uri, record_route,
        subscriber_key, view, expires, updated)
    VALUES (%presentity_uri%, %event%, %event_id%, %watcher_username%, %watcher_domain%, %to_user%, %to_domain%,
        %from_user%, %from_domain%, %to_tag%, %from_tag%, %callid%, 1, %contact%, %user_agent%, %from_display%, %local_uri%, %remote_uri%,
        %record_route%, %subscriber_key%, %view%, -1, -1)";
const DECIDE: &str = "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, view, inserted_time)
    VALUES (%presentity_uri%, %watcher_username%, %watcher_domain%, %event%, 1, %view%, 0)";
const STORE: &str = "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri)
    VALUES (%username%, %domain%, 'x', 9, 'e', %doc_uri%)";

/// Of one table: how a row is written, and how long each column may be. What has no bound of its own in a request is given by a number.
fn columns() -> Vec<(&'static str, Vec<(&'static str, usize)>)> {
    let of = |bound: Bound| bound.octets();
    let (user, domain) = (of(bound::URI.user), of(bound::URI.domain));
    let event = of(bound::EVENT);
    vec![
        (
            PUBLISH,
            vec![
                ("username", user),
                ("domain", domain),
                ("event", event),
                ("etag", of(bound::IF_MATCH)),
                ("ruid", 255),
                ("sender", of(bound::SENDER)),
                ("content_type", of(bound::CONTENT_TYPE)),
            ],
        ),
        (
            SUBSCRIBE,
            vec![
                ("event", event),
                ("event_id", of(bound::EVENT_ID)),
                ("watcher_username", user),
                ("watcher_domain", domain),
                ("to_user", user),
                ("to_domain", domain),
                ("from_user", user),
                ("from_domain", domain),
                ("to_tag", of(bound::TO_TAG)),
                ("from_tag", of(bound::FROM_TAG)),
                ("callid", of(bound::CALL_ID)),
                ("contact", of(bound::CONTACT)),
                ("user_agent", of(bound::USER_AGENT)),
                ("from_display", of(bound::DISPLAY_NAME)),
                ("local_uri", of(bound::TO)),
                ("remote_uri", of(bound::FROM)),
                ("record_route", of(bound::RECORD_ROUTE)),
                ("subscriber_key", 1280),
                ("view", of(bound::VIEW)),
            ],
        ),
        (
            DECIDE,
            vec![
                ("watcher_username", user),
                ("watcher_domain", domain),
                ("event", event),
                ("view", of(bound::VIEW)),
            ],
        ),
        (
            STORE,
            vec![
                ("username", user),
                ("domain", domain),
                ("doc_uri", of(bound::DOCUMENT_ADDRESS)),
            ],
        ),
    ]
}

/// The statement with a value of so many octets in one column, and short ones in the others. Random hexadecimal digits: what repeats
/// is compressed, and an index would take more of it.
fn statement(text: &str, column: &str, octets: usize) -> String {
    let mut out = String::new();
    let mut parts = text.split('%');
    out.push_str(parts.next().unwrap());
    while let (Some(name), Some(rest)) = (parts.next(), parts.next()) {
        let octets = if name == column { octets } else { 8 };
        match name {
            "presentity_uri" => out.push_str("'sip:bob@example.org'"),
            _ => out.push_str(&format!(
                "(SELECT left(string_agg(md5(random()::text), ''), {octets}) FROM generate_series(1, {octets}))"
            )),
        }
        out.push_str(rest);
    }
    out
}

#[tokio::test]
async fn each_column_takes_its_bound_and_not_an_octet_more() {
    let database = Database::new().await;
    for (text, columns) in columns() {
        for (column, octets) in columns {
            database.by_hand(&statement(text, column, octets)).await;
            let longer = statement(text, column, octets + 1);
            let refused = database.hand.execute(&longer, &[]).await.unwrap_err();
            let refused = refused.as_db_error().unwrap();
            assert_eq!(refused.code().code(), "23514", "{column}: {refused}");
            let constraint = refused.constraint().unwrap();
            assert!(
                constraint.contains(column) && constraint.contains(&octets.to_string()),
                "{column}: {constraint}"
            );
        }
    }
}

/// All columns of the longest key at once, which an index takes.
#[tokio::test]
async fn the_longest_keys_fit_their_indexes() {
    let database = Database::new().await;
    let hex = |octets: usize| {
        format!(
            "(SELECT left(string_agg(md5(random()::text), ''), {octets}) FROM generate_series(1, {octets}))"
        )
    };
    let mut publish = PUBLISH.to_owned();
    let mut subscribe = SUBSCRIBE.replace(
        "%presentity_uri%",
        &format!("'sip:' || {0} || '@' || {0}", hex(255)),
    );
    let mut decide = DECIDE.replace(
        "%presentity_uri%",
        &format!("'sip:' || {0} || '@' || {0}", hex(255)),
    );
    for ((_, columns), text) in
        columns()
            .into_iter()
            .zip([&mut publish, &mut subscribe, &mut decide])
    {
        for (column, octets) in columns {
            *text = text.replace(&format!("%{column}%"), &hex(octets));
        }
        // A dialog with a NOTIFY due, with a view: all indexes have it.
        *text = text.replace("-1, -1)", "-1, 0)");
        database.by_hand(text).await;
    }
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM notify_queue")
            .await,
        2
    );
}

#[tokio::test]
async fn orders_about_names_that_are_too_long_are_refused_by_name() {
    let database = Database::new().await;
    let long = format!("sip:{}@example.org", "x".repeat(256));
    let operator = database.store.operator();
    for refused in [
        operator
            .refresh_watchers(&long, "presence", 1, None)
            .await
            .unwrap_err(),
        operator
            .refresh_watchers(&format!("Bob <{long}>"), "presence", 1, None)
            .await
            .unwrap_err(),
        operator
            .update_watchers(&long, "presence")
            .await
            .unwrap_err(),
    ] {
        assert_eq!(refused.to_string(), "User Of URI Longer Than 255 Octets");
    }
    let event = operator
        .refresh_watchers("sip:bob@example.org", &"e".repeat(129), 1, None)
        .await
        .unwrap_err();
    assert_eq!(event.to_string(), "Event Longer Than 128 Octets");
    // By SQL they are refused by the table.
    let by_hand = format!("SELECT presence_publish('{long}', 'presence', 'x')");
    let refused = database.hand.execute(&by_hand, &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "23514", "{refused}");
}
