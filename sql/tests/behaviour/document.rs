//! `presence_document`: what SQL can tell of a document, and what it says where it cannot.

use crate::database::*;

async fn document(database: &Database, call: &str) -> Result<Option<String>, (String, String)> {
    let row = database
        .hand
        .query_one(&format!("SELECT presence_document({call})"), &[])
        .await;
    row.map(|row| row.get(0)).map_err(|error| {
        let error = error.as_db_error().unwrap();
        (
            error.code().code().to_owned(),
            format!("{} {}", error.message(), error.hint().unwrap_or_default()),
        )
    })
}

#[tokio::test]
async fn one_document_is_shown_and_several_are_not() {
    let database = Database::new().await;
    let bob = "'sips:bob@EXAMPLE.org', 'presence'";
    assert_eq!(document(&database, bob).await, Ok(None));
    let publish = |source: &str| {
        format!(
            "SELECT presence_publish('sip:bob@example.org', 'presence', '<a>{source}</a>', source => '{source}')"
        )
    };
    database.by_hand(&publish("one")).await;
    assert_eq!(
        document(&database, bob).await,
        Ok(Some("<a>one</a>".to_owned()))
    );
    database.by_hand(&publish("two")).await;
    let (code, text) = document(&database, bob).await.unwrap_err();
    assert_eq!(code, "21000");
    assert!(
        text.contains("2 documents")
            && text.contains("GET /v1/presentities/sip:bob@example.org/presence"),
        "{text}"
    );
    // Stored documents count as well; ended publications do not.
    database
        .by_hand("SELECT presence_unpublish('sip:bob@example.org', 'presence', 'one')")
        .await;
    assert!(document(&database, bob).await.is_ok());
    database
        .by_hand("INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', '<s/>', 16, 'e', 'u')")
        .await;
    assert_eq!(document(&database, bob).await.unwrap_err().0, "21000");
    database.by_hand("DELETE FROM presentity").await;
    assert_eq!(document(&database, bob).await, Ok(Some("<s/>".to_owned())));
    // Another package is another resource.
    let dialog = "'sip:bob@example.org', 'dialog'";
    assert_eq!(document(&database, dialog).await, Ok(None));
}

/// What an ended publication has called terminated may be hidden in the one that is left.
#[tokio::test]
async fn an_end_by_another_is_for_a_server() {
    let database = Database::new().await;
    for source in ["one", "two"] {
        database
            .by_hand(&format!(
                "SELECT presence_publish('sip:bob@example.org', 'dialog', '<a/>', source => '{source}')"
            ))
            .await;
    }
    let call = "'sip:bob@example.org', 'dialog'";
    database
        .by_hand("UPDATE presentity SET removed = ruid = 'sql:one', ended = '{7}', ended_at = '{7}' WHERE ruid = 'sql:one'")
        .await;
    let (code, text) = document(&database, call).await.unwrap_err();
    assert!(
        code == "21000" && text.contains("has ended a dialog"),
        "{text}"
    );
    database
        .by_hand("UPDATE presentity SET ended = '{}', ended_at = '{}'")
        .await;
    assert_eq!(document(&database, call).await, Ok(Some("<a/>".to_owned())));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let database = Database::new().await;
    for (call, code) in [
        ("'bob', 'presence'", "22023"),
        ("NULL, 'presence'", "22023"),
        ("'sip:bob@example.org', ''", "22023"),
        ("'sip:bob@example.org', NULL", "22023"),
        ("'sip:bob@example.org', 'presence.winfo'", "0A000"),
    ] {
        assert_eq!(
            document(&database, call).await.unwrap_err().0,
            code,
            "{call}"
        );
    }
}

/// Whoever may read the views may read this, also hard state, and no other document.
#[tokio::test]
async fn readers_may_ask() {
    let database = Database::new().await;
    database
        .by_hand("INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', '<s/>', 16, 'e', 'u')")
        .await;
    database.by_hand("SET ROLE pgpresence_reader").await;
    let found = document(&database, "'sip:bob@example.org', 'presence'").await;
    assert_eq!(found, Ok(Some("<s/>".to_owned())));
    assert!(
        database
            .hand
            .query("SELECT doc FROM xcap", &[])
            .await
            .is_err()
    );
}
