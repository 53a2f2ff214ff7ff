//! Processes and the secret.

use sql::NewNode;

use crate::database::*;

#[tokio::test]
async fn a_process_comes_lives_and_goes() {
    let database = Database::new().await;
    let about = NewNode {
        kind: "notifier".into(),
        host: "one".into(),
        pid: 77,
        address: String::new(),
        version: "0.1.0".into(),
        believes: String::new(),
        default_policy: "confirm".into(),
        events: vec!["presence".into(), "dialog;sla".into()],
    };
    let nodes = database.store.node();
    let id = nodes.register(&about).await.unwrap().unwrap();
    let other = nodes.register(&about).await.unwrap().unwrap();
    assert_ne!(id, other);
    let later = database.store.at(after(100.0));
    assert!(later.node().heartbeat(id).await.unwrap());
    assert_eq!(later.maintenance().delete_dead_nodes().await.unwrap(), 1);
    let listed = nodes.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, &listed[0].about), (id, &about));
    assert!(listed[0].heartbeat > listed[0].started);
    assert!(!nodes.heartbeat(other).await.unwrap(), "taken for dead");
    nodes.deregister(id).await.unwrap();
    assert!(nodes.list().await.unwrap().is_empty());
    assert_eq!(nodes.cluster_secret().await.unwrap().len(), 32);
}
