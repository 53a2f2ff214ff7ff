//! The routing script: the examples of Kamailio's documentation line by line, each function and variable by its effect, hostile scripts, SIGHUP.

mod event;
mod guide;
mod hostile;
mod queue;
mod reload;
mod route;
mod sender;

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use system_tests::message::Message;
use system_tests::phone::Phone;
use system_tests::process::Process;
use system_tests::system::{self, Setup};

const BOB: &str = "sip:bob@example.org";
const SOON: Duration = Duration::from_secs(20);

/// A script in a file, which goes with it.
struct Script {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Script {
    fn new(source: &str) -> Script {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("route.lua");
        std::fs::write(&file, source).expect("a script");
        Script {
            _folder: folder,
            file,
        }
    }

    fn write(&self, source: &str) {
        std::fs::write(&self.file, source).expect("a script");
    }

    /// One server and one notifier with it, `xavp_cfg` being `pres`.
    fn setup(&self) -> Setup {
        system::setup()
            .set("script.file", self.file.display())
            .set("presence.xavp_cfg", "pres")
    }
}

/// Waits for a line of the process's log.
async fn logged(process: &mut Process, text: &str) -> String {
    let found = tokio::task::block_in_place(|| process.line(SOON, |line| line.contains(text)));
    found.unwrap_or_else(|output| panic!("{text} was not logged\n{output}"))
}

/// Has a process read its script again, and waits until it has.
async fn reload(process: &mut Process) {
    let before = count(process, "the script was read again");
    process.signal(Signal::HUP);
    let until = tokio::time::Instant::now() + SOON;
    while count(process, "the script was read again") == before {
        assert!(tokio::time::Instant::now() < until, "it reads nothing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn count(process: &Process, text: &str) -> usize {
    let lines = process.lines();
    lines.iter().filter(|line| line.contains(text)).count()
}

/// What a request of this method is answered.
async fn answer(phone: &Phone, method: &str, system: &system::System) -> Message {
    phone.send(&phone.request(method, BOB), system.udp(0)).await
}
