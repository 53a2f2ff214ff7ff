//! Kamailio as a presence user agent (its modules pua, pua_usrloc and pua_rpc): it publishes what its registrar and its operators'
//! programs know, keeps that alive, and watches, as existing installations do in front of a presence server.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::phone::{Phone, token};
use system_tests::process::Process;
use system_tests::system::{self, System};

const MODULES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/kamailio/modules/",
    "/usr/lib/aarch64-linux-gnu/kamailio/modules/",
    "/usr/lib64/kamailio/modules/",
];
/// Empty tables as Kamailio ships them, in text files.
const TABLES: &str = "/usr/share/kamailio/dbtext/kamailio";
const PATIENCE: Duration = Duration::from_secs(20);

struct Kamailio {
    process: Process,
    sip: SocketAddr,
    rpc: SocketAddr,
}

impl Kamailio {
    /// In front of the first server, and ready.
    fn start(system: &System) -> Kamailio {
        let modules = MODULES
            .iter()
            .find(|folder| Path::new(folder).join("pua_rpc.so").exists())
            .unwrap_or_else(|| panic!("no pua in {MODULES:?}: install kamailio-presence-modules"));
        let folder = system.sandbox().directory().join("kamailio-pua");
        std::fs::create_dir_all(&folder).expect("a folder");
        for table in ["pua", "version"] {
            std::fs::copy(Path::new(TABLES).join(table), folder.join(table)).expect("its tables");
        }
        // Kamailio can't be told to take any free port; ones that were free a moment ago are tried, three times.
        for _ in 0..3 {
            let (sip, rpc) = free_ports();
            let config = include_str!("../kamailio/pua.cfg")
                .replace("\nlisten=udp:LISTEN", &format!("\nlisten=udp:{sip}"))
                .replace("\"udp:RPC\"", &format!("\"udp:{rpc}\""))
                .replace("\"MODULES\"", &format!("\"{modules}\""))
                .replace("text://TABLES", &format!("text://{}", folder.display()))
                .replace("sip:PRESENCE", &format!("sip:{}", system.udp(0)));
            std::fs::write(folder.join("pua.cfg"), config).expect("its configuration");
            let mut command = Command::new("kamailio");
            command
                .arg("-f")
                .arg(folder.join("pua.cfg"))
                .args(["-DD", "-E", "-m", "32", "-M", "4", "-Y"])
                .arg(&folder)
                .current_dir(&folder);
            let mut kamailio = Kamailio {
                process: Process::start(system.sandbox(), "kamailio-pua", &mut command),
                sip,
                rpc,
            };
            if (0..100).any(|_| {
                kamailio.process.is_running() && kamailio.ask("core.uptime", json!([])).is_some()
            }) {
                return kamailio;
            }
            eprintln!("{}", kamailio.process.lines().join("\n"));
        }
        panic!("Kamailio does not come up");
    }

    /// A remote procedure call; `None` if there is no answer soon.
    fn ask(&self, method: &str, params: Value) -> Option<Value> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(if method == "core.uptime" {
                100
            } else {
                5000
            })))
            .expect("a time limit");
        let request = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1});
        socket
            .send_to(request.to_string().as_bytes(), self.rpc)
            .ok()?;
        let mut buffer = [0; 8000];
        let length = socket.recv(&mut buffer).ok()?;
        serde_json::from_slice(&buffer[..length]).ok()
    }

    fn call(&self, method: &str, params: Value) {
        let answer = self
            .ask(method, params)
            .unwrap_or_else(|| panic!("no answer to {method}"));
        assert!(answer.get("error").is_none(), "{method}: {answer}");
    }

    /// Publishes a message summary; what has the same `id` is one publication.
    fn publish(&self, presentity: &str, id: &str, expires_s: u32, body: &str) {
        let media_type = "application/simple-message-summary";
        self.call(
            "pua.send_publish",
            json!([
                presentity,
                expires_s.to_string(),
                "message-summary",
                media_type,
                id,
                ".",
                ".",
                ".",
                body
            ]),
        );
    }

    /// Watches; its NOTIFYs must find their way back, so its own address is the watcher.
    fn subscribe(&self, presentity: &str, event: &str, expires_s: u32) {
        let watcher = format!("sip:kamailio@{}", self.sip);
        self.call(
            "pua.subscribe",
            json!([presentity, watcher, event, expires_s]),
        );
    }

    /// It found fault with nothing that it was sent.
    fn is_content(&self) {
        let lines = self.process.lines();
        let faults: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("ERROR:") || line.contains("WARNING:"))
            .collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// Waits for a NOTIFY of `event` in this state with all of `wanted` in its body.
    fn sees(&mut self, event: &str, state: &str, wanted: &[&str]) {
        let begin = format!("SEEN {event} state {state}");
        let is_it = |line: &str| {
            let body = line.rsplit_once(" body ").map(|(_, hex)| decode(hex));
            line.contains(&begin)
                && body.is_some_and(|body| wanted.iter().all(|text| body.contains(text)))
        };
        tokio::task::block_in_place(|| {
            self.process
                .line(PATIENCE, is_it)
                .unwrap_or_else(|fault| panic!("{event} {state} {wanted:?}: {fault}"))
        });
    }
}

/// Text from hexadecimal digits.
fn decode(hex: &str) -> String {
    let digits: Vec<u8> = hex
        .trim()
        .chars()
        .filter_map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn free_ports() -> (SocketAddr, SocketAddr) {
    let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
    let [sip, rpc] = sockets.map(|socket| socket.local_addr().expect("its address"));
    (sip, rpc)
}

/// pua_usrloc: who registers at Kamailio is seen as open, who goes is not.
#[tokio::test(flavor = "multi_thread")]
async fn its_registrar_publishes_presence() {
    let system = system::start();
    let kamailio = Kamailio::start(&system);
    let (watcher, phone) = (Phone::udp("watcher").await, Phone::udp("alice").await);
    let dialog = watcher
        .subscribe(system.udp(0), "sip:alice@example.org", 600)
        .await;
    assert_eq!(
        dialog.notify(1).await.basic(),
        "closed",
        "nothing is published"
    );
    let call_id = token();
    for (cseq, expires_s, basic) in [(1, 60, "open"), (2, 0, "closed")] {
        let register = phone
            .request("REGISTER", "sip:example.org")
            .set("To", "<sip:alice@example.org>")
            .set("From", format!("<sip:alice@example.org>;tag={}", token()))
            .set("Call-ID", call_id.clone())
            .set("CSeq", format!("{cseq} REGISTER"))
            .with("Expires", expires_s.to_string());
        let response = phone.send(&register, kamailio.sip).await;
        assert_eq!(response.status(), Some(200), "{response}");
        dialog.until(basic, |notify| notify.basic() == basic).await;
    }
    system
        .until(PATIENCE, "SELECT count(*) FROM presentity WHERE NOT removed AND convert_from(body, 'UTF8') LIKE '%>open<%'", 0)
        .await;
    dialog.unsubscribe(system.udp(0)).await;
    kamailio.is_content();
}

/// pua_rpc: a voice mail system publishes through Kamailio, which modifies by entity-tag and keeps the publication alive.
#[tokio::test(flavor = "multi_thread")]
async fn its_operator_publishes_message_summaries() {
    let system = system::setup().set("presence.max_expires", 15).start();
    let kamailio = Kamailio::start(&system);
    let phone = Phone::udp("bob").await;
    let box_of_bob = "sip:bob@example.org";
    let dialog = phone
        .subscribe_to(system.udp(0), box_of_bob, "message-summary", 600)
        .await;
    for new in [2, 3] {
        let body = format!("Messages-Waiting: yes\r\nVoice-Message: {new}/8 (0/2)\r\n");
        tokio::task::block_in_place(|| kamailio.publish(box_of_bob, "box", 3600, &body));
        let sum = format!("Voice-Message: {new}/8 (0/2)");
        dialog
            .until(&sum, |notify| notify.body().contains(&sum))
            .await;
        assert_eq!(
            system
                .count("SELECT count(*) FROM presentity WHERE NOT removed")
                .await,
            1,
            "one publication"
        );
    }

    let seen = dialog.count();
    // What is granted is shorter than what it wants: it refreshes (RFC 3903 section 4.1) in time, of its own accord.
    let refreshed =
        "SELECT count(*) FROM presentity WHERE NOT removed AND cardinality(past_etags) > 1";
    system.until(PATIENCE, refreshed, 1).await;
    assert_eq!(dialog.count(), seen, "the watcher learns nothing of it");
    dialog.unsubscribe(system.udp(0)).await;
    kamailio.is_content();
}

/// pua watches: two packages, first state, changes, refreshes.
#[tokio::test(flavor = "multi_thread")]
async fn it_watches_presence_and_message_summary() {
    let system = system::setup()
        .notifiers(2)
        .set("presence.max_expires", 15)
        .start();
    let mut kamailio = Kamailio::start(&system);
    let bob = Phone::udp("bob").await;
    // Its SUBSCRIBE goes where the address of the presentity says, never to its outbound proxy. Port or not, it is the same bob.
    let (uri, reached) = ("sip:bob@127.0.0.1", format!("sip:bob@{}", system.udp(0)));
    let mut presence = bob.publisher(uri);
    let mut mail = bob.publisher_of(uri, "message-summary");
    presence.show(system.udp(0), "open", "first").await;
    for event in ["presence", "message-summary"] {
        tokio::task::block_in_place(|| kamailio.subscribe(&reached, event, 600));
    }
    kamailio.sees("presence", "active", &["first"]);
    kamailio.sees("message-summary", "active", &["Messages-Waiting: no"]);
    presence.show(system.udp(0), "closed", "second").await;
    kamailio.sees("presence", "active", &["second", "closed"]);
    let summary = "Messages-Waiting: yes\r\nVoice-Message: 4/1\r\n";
    assert_eq!(
        mail.publish(system.udp(0), summary, 600).await.status(),
        Some(200)
    );
    kamailio.sees("message-summary", "active", &["Voice-Message: 4/1"]);
    // It wants 600 s and is granted 15: it refreshes both inside their dialogs in time, as often as needed.
    let first = system
        .count("SELECT max(remote_cseq) FROM active_watchers")
        .await;
    let refreshed = format!(
        "SELECT count(*) FROM active_watchers WHERE status = 1 AND remote_cseq > {first} + 1"
    );
    system.until(2 * PATIENCE, &refreshed, 2).await;
    let mut again = bob.publisher(uri);
    again.show(system.udp(0), "open", "third").await;
    kamailio.sees("presence", "active", &["third"]);
    kamailio.is_content();
}
