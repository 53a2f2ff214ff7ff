//! The canonical form of people: the same in SQL as in the processes, and whatever way a row comes in.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sip::{Aor, Uri};
use sql::StoreOptions;

use crate::database::*;

/// How many URIs are compared in a run.
const URIS: usize = 6000;

fn hosts() -> impl Strategy<Value = String> {
    let v6 = (any::<[u16; 8]>(), any::<u8>(), any::<[u8; 4]>(), 0..6u8).prop_map(
        |(mut words, zeros, v4, form)| {
            for (at, word) in words.iter_mut().enumerate() {
                if zeros & (1 << at) != 0 {
                    *word = 0;
                }
            }
            let full = words.map(|word| format!("{word:x}")).join(":");
            let dotted = v4.map(|byte| byte.to_string()).join(".");
            match form {
                0 => format!("[{}]", full.to_uppercase()),
                1 => format!("[{}]", std::net::Ipv6Addr::from(words)),
                2 => format!(
                    "[{}:{dotted}]",
                    &words[..6]
                        .iter()
                        .map(|word| format!("{word:04x}"))
                        .collect::<Vec<_>>()
                        .join(":")
                ),
                3 => format!("[::{dotted}]"),
                4 => format!("[::FFFF:{dotted}]"),
                _ => format!("[{:x}::{:x}]", words[0], words[1]),
            }
        },
    );
    prop_oneof![
        4 => "[a-zA-Z0-9_-]{1,6}(\\.[a-zA-Z0-9-]{1,4}){0,2}\\.{0,2}",
        1 => "[0-9]{1,3}(\\.[0-9]{1,3}){3}\\.?",
        3 => v6,
        1 => "\\[[0-9a-fA-F:.]{0,12}\\]",
        1 => "\\[(::)?[0-9]{1,2}(:[0-9a-f]{1,5}){0,8}(::)?\\]",
        1 => "[.]{0,2}|[a-z]{1,3}é|\\[::1|::1",
    ]
}

/// URIs by the grammar, a little beside it, and far from it.
fn uris() -> impl Strategy<Value = String> {
    let user = "([a-zA-Z0-9._~!*'()&=+$,;?/-]|[#{}|^`\\\\\\[\\]]|%[0-9a-fA-F]{2}|[éß\u{1F600}\u{85}]){0,8}%?";
    let password = proptest::option::weighted(0.3, ":[a-z:%&=+$,]{0,4}");
    let params = "(;[a-zA-Z%=]{0,4}(=[a-zA-Z0-9:/._%-]{0,4})?){0,2}";
    let sip = (
        "sips?|SIP|Sips",
        proptest::option::weighted(0.8, (user, password)),
        hosts(),
        proptest::option::weighted(0.3, ":0{0,3}[0-9]{0,6}"),
        params,
        proptest::option::weighted(0.2, "\\?[a-z=&;@?]{0,5}"),
    )
        .prop_map(|(scheme, user, host, port, params, headers)| {
            let user =
                user.map(|(user, password)| format!("{user}{}@", password.unwrap_or_default()));
            let (user, port) = (user.unwrap_or_default(), port.unwrap_or_default());
            format!(
                "{scheme}:{user}{host}{port}{params}{}",
                headers.unwrap_or_default()
            )
        })
        .boxed();
    let context = "(;(phone-context|Phone%2Dcontext|ext|[a-z]{0,3})(=([+]?[0-9().-]{0,6}|[a-zA-Z%.]{0,6}|%4[1-9a-f]{0,4}\\.?))?){0,3}";
    let tel = ("tel|TEL|Tel", "[+]?[0-9a-fA-F*#().-]{0,9}[+g]?", context)
        .prop_map(|(scheme, number, context)| format!("{scheme}:{number}{context}"));
    let other = "(pres|http|mailto|urn|si p|):?[a-z@.:%]{0,10}|[ -~]{0,16}";
    let damaged = (sip.clone(), any::<prop::sample::Index>(), "[ -~é\t]{0,2}").prop_map(
        |(text, at, more)| {
            let chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len());
            chars[..at]
                .iter()
                .chain(more.chars().collect::<Vec<_>>().iter())
                .chain(&chars[at + 1..])
                .collect()
        },
    );
    prop_oneof![6 => sip, 3 => tel, 1 => other, 2 => damaged, 1 => "<sip:[a-c%46]{1,4}@h>?"]
}

fn some<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = TestRunner::default();
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

/// What a process makes of it. SQL allows for the brackets of a header.
fn aor(text: &str, fold_case: bool) -> Option<Aor> {
    let inside = text
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    Aor::from_uri(&Uri::parse(inside.unwrap_or(text)).ok()?, fold_case).ok()
}

#[tokio::test]
async fn sql_and_the_processes_make_the_same_of_every_uri() {
    let database = Database::new().await;
    let texts = some(&uris(), URIS);
    let mut good = 0;
    for (matching, fold_case) in [(0_i16, false), (1, true)] {
        let rows = database
            .rows(
                "SELECT p.username, p.domain, presence_canonical_uri(p.username, p.domain, $2),
                        presence_uri_under(presence_canonical_uri(p.username, p.domain, $2), $2)
                 FROM unnest($1::text[]) WITH ORDINALITY AS i (uri, ord)
                 CROSS JOIN LATERAL presence_parse_uri(i.uri, $2) AS p
                 ORDER BY i.ord",
                &[&texts, &matching],
            )
            .await;
        assert_eq!(rows.len(), texts.len());
        for (text, row) in texts.iter().zip(rows) {
            let found: Option<(String, String)> = row
                .get::<_, Option<String>>(0)
                .map(|user| (user, row.get(1)));
            let expected = aor(text, fold_case);
            let uri = expected.as_ref().map(Aor::uri);
            assert_eq!(
                found,
                expected.map(|aor| (aor.username, aor.domain)),
                "{text:?}, sip_uri_match = {matching}"
            );
            if let Some(uri) = uri {
                good += 1;
                assert_eq!(row.get::<_, &str>(2), uri, "{text:?}");
                assert_eq!(row.get::<_, &str>(3), uri, "{text:?}: canonical text stays");
                assert_eq!(
                    aor(&uri, fold_case).map(|aor| aor.uri()),
                    Some(uri),
                    "{text:?}"
                );
            }
        }
    }
    assert!(
        (URIS / 4..URIS * 2).contains(&good),
        "{good} of them are URIs"
    );
}

/// Columns hold anything that people write: it has one canonical form, which is a URI, and stays.
#[tokio::test]
async fn any_columns_have_a_canonical_form() {
    let database = Database::new().await;
    let pairs = some(
        &(
            "[ -~éß\n]{0,8}|[a-z0-9]{1,5}|%[0-9a-fA-F]{2}[a-z]?",
            hosts(),
        ),
        2000,
    );
    let (users, domains): (Vec<String>, Vec<String>) = pairs.into_iter().unzip();
    for matching in [0_i16, 1] {
        let rows = database
            .rows(
                "SELECT i.username, i.domain, c.uri, presence_uri_under(c.uri, $3),
                        CASE WHEN $3 = 0 OR i.username !~ '[A-Z%]' THEN presence_join_uri(i.username, i.domain) END,
                        presence_canonical_uri(n.username, n.domain, $3)
                 FROM unnest($1::text[], $2::text[]) AS i (username, domain)
                 CROSS JOIN LATERAL presence_canonical_uri(i.username, i.domain, $3) AS c (uri)
                 CROSS JOIN LATERAL presence_canonical(i.username, i.domain, $3) AS n",
                &[&users, &domains, &matching],
            )
            .await;
        for row in rows {
            let about = format!("{:?} {:?}", row.get::<_, &str>(0), row.get::<_, &str>(1));
            let uri: &str = row.get(2);
            assert_eq!(row.get::<_, &str>(3), uri, "{about}");
            assert_eq!(row.get::<_, &str>(5), uri, "{about}");
            if let Some(joined) = row.get::<_, Option<&str>>(4) {
                assert_eq!(joined, uri, "{about}: the short way");
            }
            if let Some(parsed) = aor(uri, matching == 1) {
                assert_eq!(parsed.uri(), uri, "{about}");
            }
        }
    }
}

async fn matching(value: i16) -> Database {
    let database = Database::new().await;
    database
        .rows("SELECT presence_change_uri_match($1)", &[&value])
        .await;
    database
}

const PUBLISHED: &str = "SELECT presentity_uri FROM presentity ORDER BY id";

async fn uris_of(database: &Database, sql: &str) -> Vec<String> {
    let rows = database.rows(sql, &[]).await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Rows that people write meet what SIP writes, in all tables that name people.
#[tokio::test]
async fn rows_by_hand_are_of_whom_they_mean() {
    for (value, dora) in [(0, "DORA"), (1, "dora")] {
        let database = matching(value).await;
        let insert = |user: &str, domain: &str| {
            format!(
                "INSERT INTO presentity (username, domain, event, expires, body) VALUES ('{user}', '{domain}', 'presence', -1, 'x')"
            )
        };
        for (user, domain) in [
            ("%62ob", "Example.ORG."),
            ("DORA", "example.org"),
            ("a b", "h"),
            ("", "Example.org"),
            ("+1-555", ""),
        ] {
            database.by_hand(&insert(user, domain)).await;
        }
        assert_eq!(
            uris_of(&database, PUBLISHED).await,
            [
                "sip:bob@example.org",
                &format!("sip:{dora}@example.org"),
                "sip:a%20b@h",
                "sip:example.org",
                "tel:+1555"
            ]
        );
        assert_eq!(
            database
                .value::<String>("SELECT username FROM presentity ORDER BY id LIMIT 1")
                .await,
            "%62ob",
            "what was written stays to be found by"
        );
        // Whatever is given, and when it changes.
        database
            .by_hand("UPDATE presentity SET username = 'B%4fB', presentity_uri = 'sip:eve@example.org' WHERE username = '%62ob'")
            .await;
        assert_eq!(
            uris_of(&database, PUBLISHED).await[0],
            if value == 0 {
                "sip:BOB@example.org"
            } else {
                "sip:bob@example.org"
            }
        );
        // A NOTIFY is due for the watchers of what a row was and is, under the same name as SIP's.
        assert!(
            database
                .queue()
                .await
                .contains(&format!("sip:{dora}@example.org presence state due"))
        );

        database
            .by_hand(
                "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('%44ORA', 'Example.org', '', 2, 'e', 'u')",
            )
            .await;
        assert_eq!(
            uris_of(&database, "SELECT presentity_uri FROM xcap").await,
            [format!("sip:{dora}@example.org")]
        );

        database
            .by_hand(
                "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status)
                 VALUES ('<sips:DORA@Example.org:5061;transport=tls>', '%45VE', 'Example.org', 1)",
            )
            .await;
        let eve = if value == 0 { "EVE" } else { "eve" };
        assert_eq!(
            uris_of(&database, "SELECT presentity_uri || ' ' || watcher_username || ' ' || watcher_domain FROM watchers").await,
            [format!("sip:{dora}@example.org {eve} example.org")]
        );
        // Where there are rules, they decide, and not what stands there.
        database.by_hand("DELETE FROM xcap").await;
        let asked = database
            .rows(
                "SELECT pres_auth_status(w, p), presence_auth_status(w, p)
                 FROM (VALUES ('sip:EVE@example.org', 'sip:DORA@example.org'), ('sip:E%56E@EXAMPLE.org', 'sips:%44ORA@example.org:1')) AS v (w, p)",
                &[],
            )
            .await;
        for row in asked {
            assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (1, 1));
        }
        let refused = database
            .hand
            .execute("INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status) VALUES ('dora', 'a', 'h', 1)", &[])
            .await
            .unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "22023", "{refused:?}");

        database
            .store
            .subscription()
            .create_batch(&[subscription("bob", "c1")])
            .await
            .unwrap();
        database
            .by_hand("UPDATE active_watchers SET presentity_uri = 'sip:%44ora@example.org', watcher_username = 'EVE'")
            .await;
        assert_eq!(
            uris_of(
                &database,
                "SELECT presentity_uri || ' ' || watcher_username FROM active_watchers"
            )
            .await,
            [format!(
                "sip:{} {eve}",
                if value == 0 {
                    "Dora@example.org"
                } else {
                    "dora@example.org"
                }
            )]
        );
        let watched = if value == 0 {
            "sip:Dora@example.org"
        } else {
            "sip:DORA@example.org"
        };
        for function in ["pres_has_subscribers", "presence_has_subscribers"] {
            let found = database
                .rows(&format!("SELECT {function}($1, 'presence')"), &[&watched])
                .await;
            assert!(found[0].get::<_, bool>(0), "{function}");
        }
    }
}

/// A function by hand finds what SIP stored, and the other way round.
#[tokio::test]
async fn functions_mean_the_same_people() {
    for (value, rows) in [(0, 2_i64), (1, 1)] {
        let database = matching(value).await;
        for user in ["DORA", "dora", "d%6fra"] {
            database
                .rows(
                    "SELECT presence_publish('sip:' || $1 || '@Example.org', 'presence', '<x/>')",
                    &[&user],
                )
                .await;
        }
        assert_eq!(
            database
                .value::<i64>("SELECT count(*) FROM presentity")
                .await,
            rows
        );
        let watchers: i64 = {
            let user = if value == 0 { "dora" } else { "DORA" };
            database
                .store
                .subscription()
                .create_batch(&[subscription("dora", "c1")])
                .await
                .unwrap();
            database
                .rows(
                    "SELECT presence_refresh_watchers('sip:' || $1 || '@example.org', 'presence')",
                    &[&user],
                )
                .await[0]
                .get(0)
        };
        assert_eq!(watchers, 1);
        assert!(
            database
                .value::<bool>("SELECT presence_unpublish('sip:%44ORA@example.org', 'presence')")
                .await
        );
    }
}

/// Who matches otherwise is not written down, and must end.
#[tokio::test]
async fn a_process_that_matches_otherwise_is_not_registered() {
    let database = matching(1).await;
    let node = sql::NewNode {
        kind: "server".to_owned(),
        host: "h".to_owned(),
        pid: 1,
        address: String::new(),
        version: String::new(),
        believes: String::new(),
        default_policy: String::new(),
        events: Vec::new(),
    };
    assert!(
        database
            .store
            .node()
            .register(&node)
            .await
            .unwrap()
            .is_none()
    );
    let options = StoreOptions {
        uri_match: 1,
        ..StoreOptions::default()
    };
    let store = sql::Store::connect(&database.url, &options).unwrap();
    assert!(store.node().register(&node).await.unwrap().is_some());
    // And while it runs, nothing is changed.
    let refused = database
        .hand
        .execute("SELECT presence_change_uri_match(0::smallint)", &[])
        .await
        .unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "55006");
    assert_eq!(
        database.value::<i16>("SELECT uri_match FROM cluster").await,
        1
    );
    // Nor by hand.
    let refused = database
        .hand
        .execute("UPDATE cluster SET uri_match = 0", &[])
        .await
        .unwrap_err();
    assert_eq!(
        refused.as_db_error().and_then(|error| error.constraint()),
        Some("change it by: pgpresence migrate --uri-match")
    );
}
