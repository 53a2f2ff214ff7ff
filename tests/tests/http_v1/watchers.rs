//! Who watches, by pages.

use super::*;
use system_tests::phone::Phone;

#[tokio::test(flavor = "multi_thread")]
async fn pages_say_who_watches() {
    let (system, http) = serving();
    let path = format!("{PATH}/watchers");
    let empty = get(http, &path).await.json();
    assert_eq!(empty, serde_json::json!({"watchers": [], "next": null}));
    let mut dialogs = Vec::new();
    for user in ["alice", "carol", "dave"] {
        let phone = Phone::udp(user).await;
        let dialog = phone.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        dialogs.push((phone, dialog));
    }
    let list = get(http, &path).await.json();
    let watchers = list["watchers"].as_array().unwrap();
    assert_eq!(watchers.len(), 3);
    let first = &watchers[0];
    assert_eq!(first["watcher"], dialogs[0].0.aor());
    assert_eq!(first["state"], "active");
    assert_eq!(first["reason"], "");
    assert!(first["user_agent"].is_string());
    let expires = first["expires"].as_str().unwrap();
    let fresh: String = system.psql(&format!(
        "SELECT '{expires}'::timestamptz BETWEEN now() + interval '500 s' AND now() + interval '610 s'"
    ));
    assert_eq!(fresh, "t");

    let (mut seen, mut after) = (Vec::new(), serde_json::json!(0));
    while !after.is_null() {
        let page = get(http, &format!("{path}?limit=2&after={after}"))
            .await
            .json();
        let rows = page["watchers"].as_array().unwrap();
        assert!(rows.len() <= 2);
        seen.extend(rows.iter().map(|row| row["watcher"].clone()));
        after = page["next"].clone();
    }
    assert_eq!(seen.len(), 3);
    for query in [
        "limit=0",
        "limit=10001",
        "limit=x",
        "after=-1",
        "offset=1",
        "limit=1&limit=2",
    ] {
        let refused = get(http, &format!("{path}?{query}")).await;
        assert_eq!(refused.problem(), "bad-request", "{query}");
    }
    // Another package of the same presentity is another resource.
    let other = get(http, &format!("/v1/presentities/{BOB}/dialog/watchers")).await;
    assert_eq!(other.json()["watchers"], serde_json::json!([]));
}
