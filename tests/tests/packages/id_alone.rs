//! `dialog` where nothing but an `id` names a call, and the next call has the same one (RFC 4235 section 4.1.1): as Asterisk publishes
//! its extensions.

use system_tests::http;
use system_tests::phone::{Dialog, Notify, Phone, Publisher};
use system_tests::system::{self, System};

use super::bodies::dialogs;

const EXTENSION: &str = "sip:103@example.org";

fn extension(state: &str) -> String {
    named("103", state)
}

fn named(id: &str, state: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" \
         entity=\"{EXTENSION}\"><dialog id=\"{id}\"><state>{state}</state></dialog></dialog-info>"
    )
}

/// Two servers, two notifiers, a lamp, and somebody whose own calls tell that all before them has been seen.
struct Stage {
    system: System,
    lamp: Dialog,
    mark: Publisher,
    marks: usize,
}

impl Stage {
    async fn new() -> Stage {
        let system = system::setup()
            .servers(2)
            .notifiers(2)
            .set("presence.waitn_time", 0)
            .set("http.listen", "127.0.0.1:0")
            .start();
        let lamp = Phone::udp("alice")
            .await
            .subscribe_to(system.udp(0), EXTENSION, "dialog", 600)
            .await;
        let mark = Phone::udp("mark").await.publisher_of(EXTENSION, "dialog");
        Stage {
            system,
            lamp,
            mark,
            marks: 0,
        }
    }

    async fn says(&self, publisher: &mut Publisher, server: usize, state: &str) {
        let answer = publisher
            .publish(self.system.udp(server), &extension(state), 3600)
            .await;
        assert_eq!(answer.status(), Some(200), "{answer}");
    }

    /// The states that the lamp is shown after all that was said.
    async fn shown(&mut self) -> Vec<String> {
        self.marks += 1;
        let mark = format!("m{}", self.marks);
        let server = self.system.udp(self.marks % 2);
        let answer = self
            .mark
            .publish(server, &named(&mark, "confirmed"), 3600)
            .await;
        assert_eq!(answer.status(), Some(200), "{answer}");
        let is_marked = |notify: &Notify| dialogs(notify).iter().any(|(id, _)| *id == mark);
        let notify = self.lamp.until(&mark, is_marked).await;
        let mut found = dialogs(&notify);
        found.retain(|(id, _)| *id != mark);
        assert!(
            found.len() != 1 || found[0].0 == "103",
            "a call has its own id: {found:?}"
        );
        let mut states: Vec<String> = found.into_iter().map(|(_, state)| state).collect();
        states.sort();
        states
    }
}

/// A node that is idle says `terminated` of the extension whose call another node has.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes() {
    let mut stage = Stage::new().await;
    let (one, other) = (Phone::udp("103").await, Phone::udp("103").await);
    let mut one = one.publisher_of(EXTENSION, "dialog");
    let mut other = other.publisher_of(EXTENSION, "dialog");
    stage.says(&mut one, 0, "early").await;
    stage.says(&mut other, 1, "terminated").await;
    assert_eq!(stage.shown().await, ["early"]);
    stage.says(&mut one, 1, "confirmed").await;
    assert_eq!(stage.shown().await, ["confirmed"]);
    // What is removed with its end is remembered: of its own calls.
    other.remove(stage.system.udp(0)).await;
    assert_eq!(stage.shown().await, ["confirmed"]);
    stage.says(&mut one, 0, "terminated").await;
    assert_eq!(stage.shown().await, ["terminated"]);
    other.etag = None;
    stage.says(&mut other, 0, "early").await;
    assert_eq!(stage.shown().await, ["early"]);
    stage.says(&mut one, 1, "early").await;
    assert_eq!(stage.shown().await, ["early", "early"]);
    for publisher in [&mut one, &mut other] {
        stage.says(publisher, 1, "terminated").await;
    }
    assert_eq!(stage.shown().await, ["terminated"]);
}

/// It has lost its entity-tag, and what it published before still lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart() {
    let mut stage = Stage::new().await;
    let pbx = Phone::udp("103").await;
    let mut before = pbx.publisher_of(EXTENSION, "dialog");
    for (state, server) in [("early", 0), ("confirmed", 1), ("terminated", 0)] {
        stage.says(&mut before, server, state).await;
    }
    assert_eq!(stage.shown().await, ["terminated"]);
    let mut after = pbx.publisher_of(EXTENSION, "dialog");
    for (state, server) in [("early", 1), ("confirmed", 0), ("terminated", 1)] {
        stage.says(&mut after, server, state).await;
        assert_eq!(stage.shown().await, [state]);
    }
    // During a call, whose end nobody tells.
    stage.says(&mut after, 0, "confirmed").await;
    let mut again = pbx.publisher_of(EXTENSION, "dialog");
    stage.says(&mut again, 1, "early").await;
    assert_eq!(stage.shown().await, ["early"]);
    stage.says(&mut again, 0, "terminated").await;
    assert_eq!(stage.shown().await, ["terminated"]);
    again.remove(stage.system.udp(1)).await;
    assert!(
        stage.shown().await.is_empty(),
        "nor does its end go with it"
    );
}

/// Nothing is ever changed: each state is a new publication, from one call to the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_for_each_state() {
    let mut stage = Stage::new().await;
    let pbx = Phone::udp("103").await;
    for call in 0..2 {
        for (number, state) in ["early", "confirmed", "terminated"].into_iter().enumerate() {
            let mut publisher = pbx.publisher_of(EXTENSION, "dialog");
            stage.says(&mut publisher, number % 2, state).await;
            assert_eq!(stage.shown().await, [state], "call {call}");
        }
    }
    let live = "SELECT count(*) FROM presentity WHERE NOT removed";
    assert_eq!(stage.system.count(live).await, 7, "and the mark");
}

/// Sources of HTTP and of SQL are told by their names, and are not a phone.
#[tokio::test(flavor = "multi_thread")]
async fn programs() {
    let mut stage = Stage::new().await;
    let server = http::address(&stage.system, 0);
    let media = ("Content-Type", "application/dialog-info+xml");
    let put = async |source: &str, state: &str| {
        let path = format!("/v1/presentities/{EXTENSION}/dialog?source={source}");
        let body = extension(state);
        let answer = http::send(server, "PUT", &path, &[media], body.as_bytes()).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
    };
    let typed = |system: &System, source: &str, state: &str| {
        let body = extension(state).replace('\n', " ");
        system.psql(&format!(
            "SELECT presence_publish('{EXTENSION}', 'dialog', '{body}', source => '{source}')"
        ));
    };
    put("left", "early").await;
    put("right", "terminated").await;
    assert_eq!(stage.shown().await, ["early"]);
    typed(&stage.system, "third", "terminated");
    assert_eq!(stage.shown().await, ["early"]);
    put("left", "terminated").await;
    assert_eq!(stage.shown().await, ["terminated"]);
    typed(&stage.system, "third", "confirmed");
    assert_eq!(stage.shown().await, ["confirmed"]);
    // A source is the same whether it speaks SQL or HTTP.
    put("third", "terminated").await;
    assert_eq!(stage.shown().await, ["terminated"]);
    let pbx = Phone::udp("103").await;
    let mut pbx = pbx.publisher_of(EXTENSION, "dialog");
    stage.says(&mut pbx, 0, "early").await;
    put("left", "trying").await;
    put("left", "terminated").await;
    assert_eq!(stage.shown().await, ["early"]);
    stage.says(&mut pbx, 1, "terminated").await;
    assert_eq!(stage.shown().await, ["terminated"]);
}
