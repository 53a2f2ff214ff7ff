//! Strangers: who sends a request, how it is proven, and what it may do (docs/SECURITY.md). The attacks are sent by phones of ours, the
//! proofs also made by others' programs.

mod command_line;
mod delegates;
mod digest;
mod forged;
mod limits;
mod peers;
mod reflection;

use std::net::SocketAddr;

use system_tests::message::Message;
use system_tests::phone::{Login, Phone};
use system_tests::pidf;
use system_tests::system::{self, Setup, System};

const ALICE: &str = "sip:alice@example.org";
const BOB: &str = "sip:bob@example.org";

/// A system that asks everybody for a password, and knows alice's, bob's and mallory's: each is the name backwards. Nothing is kept of
/// what the database said, so what a test changes counts at once.
fn with_digest() -> Setup {
    system::setup()
        .set("identity.digest", 1)
        .set("identity.cache_s", 0)
}

fn start(setup: Setup) -> System {
    let system = setup.start();
    for user in ["alice", "bob", "mallory"] {
        let file = system.sandbox().directory().join(user);
        std::fs::write(&file, format!("{}\n", password(user))).unwrap();
        let file = file.to_string_lossy();
        let account = format!("{user}@example.org");
        system.cli(&["user", "add", &account, "--password-file", &file]);
    }
    system
}

fn password(user: &str) -> String {
    user.chars().rev().collect()
}

fn login(user: &str) -> Login {
    Login::new(user, &password(user))
}

/// A PUBLISH of presence, From the phone itself.
fn publication(phone: &Phone, presentity: &str) -> Message {
    phone
        .request("PUBLISH", presentity)
        .without("Contact")
        .with("Event", "presence")
        .with("Expires", "600")
        .with_body(
            "application/pidf+xml",
            pidf::document(presentity, "desk", "open", "here"),
        )
}

async fn status(phone: &Phone, login: &mut Login, request: &Message, server: SocketAddr) -> u16 {
    let response = phone.send_as(login, request, server).await;
    response.status().unwrap_or_default()
}
