//! Other programs: a deadlock with one, an import beside the notifiers.

use super::*;

// === the retry of races ===

#[tokio::test]
async fn a_deadlock_with_a_foreign_program_is_run_again_and_counted() {
    let (database, store) = with_publication().await;
    store
        .publication()
        .create_batch(&[publication("al", "a1", "x")])
        .await
        .unwrap();
    // A foreign program that locks in the wrong order: bob before al. It waits patiently; ours finds the deadlock.
    let foreign = open(
        &database,
        "SET LOCAL deadlock_timeout = '60s'; SELECT 1 FROM presentity WHERE username = 'bob' FOR UPDATE",
    )
    .await;
    let batch = [
        change("al", "a1", "a2", modify("y")),
        change("bob", "t1", "t2", modify("y")),
    ];
    let ours = store.clone();
    let ours = blocked(&database, 0, async move {
        ours.publication().change_batch(&batch).await
    })
    .await;
    foreign
        .batch_execute("SELECT 1 FROM presentity WHERE username = 'al' FOR UPDATE; COMMIT")
        .await
        .unwrap();
    assert_eq!(ours.await.unwrap().unwrap(), [stored("a2"), stored("t2")]);
    assert_eq!(store.races_lost(), 1);
}

// === import ===

/// A NOTIFY is taken, or a PUBLISH stored, while an import waits for the row: it is ours then, and stays.
#[tokio::test]
async fn an_import_that_waited_judges_anew() {
    let database = Database::new().await;
    let store = database.store.clone();
    let dialog = ImportedDialog {
        presentity_uri: "sip:bob@example.org".into(),
        event: "presence".into(),
        to_tag: "ours".into(),
        from_tag: "theirs".into(),
        call_id: "call".into(),
        local_cseq: 5,
        remote_cseq: 1,
        contact: "sip:w@192.0.2.1".into(),
        expires: 4_000_000_000,
        status: 1,
        ..ImportedDialog::default()
    };
    let publication = ImportedPublication {
        source_id: 1,
        presentity_uri: "sip:bob@example.org".into(),
        username: "bob".into(),
        domain: "example.org".into(),
        event: "presence".into(),
        etag: "k1".into(),
        expires: -1,
        ..ImportedPublication::default()
    };
    let rows = ([dialog.clone()], [publication.clone()]);
    store.import().dialogs(&rows.0, false).await.unwrap();
    store.import().publications(&rows.1, false).await.unwrap();

    let changed = ImportedDialog {
        remote_cseq: 2,
        ..dialog
    };
    let ours = open(&database, "UPDATE active_watchers SET local_cseq = 6").await;
    let waiting = {
        let store = store.clone();
        async move { store.import().dialogs(&[changed], false).await.unwrap() }
    };
    let task = blocked(&database, 0, waiting).await;
    commit(&ours).await;
    assert_eq!(task.await.unwrap(), [ImportOutcome::Newer]);

    let changed = ImportedPublication {
        etag: "k2".into(),
        ..publication
    };
    let ours = open(
        &database,
        "UPDATE presentity SET etag = 'o1', past_etags = '{k1}'",
    )
    .await;
    let waiting = {
        let store = store.clone();
        async move {
            store
                .import()
                .publications(&[changed], false)
                .await
                .unwrap()
        }
    };
    let task = blocked(&database, 0, waiting).await;
    commit(&ours).await;
    assert_eq!(task.await.unwrap(), [ImportOutcome::Newer]);
    let kept = "SELECT (SELECT etag FROM presentity) || (SELECT local_cseq || '/' || remote_cseq FROM active_watchers)";
    assert_eq!(database.value::<String>(kept).await, "o16/1");
}
