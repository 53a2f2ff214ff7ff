//! What is logged, and where.

use system_tests::phone::{Answer, Phone};
use system_tests::system;

use super::BOB;

/// `local_log_level`, `local_log_facility`: a line for each NOTIFY that is sent and for its answer, to the system's log by facility and
/// level; here the test is that log.
#[tokio::test(flavor = "multi_thread")]
async fn local_log_facility() {
    let folder = system_tests::process::Sandbox::new();
    let path = folder.directory().join("log");
    let log = tokio::net::UnixDatagram::bind(&path).unwrap();
    let system = system::setup()
        .set("presence.local_log_level", 1)
        .set("presence.local_log_facility", "LOG_LOCAL3")
        .set("log.syslog", path.display())
        // It is not the log's level that counts.
        .set("log.level", "error")
        .start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let first = dialog.notify(1).await;
    let call_id = first.message.header("Call-ID").unwrap_or_default();
    let about = |cseq| {
        format!(
            "{} on behalf of {BOB} for event presence: {call_id} CSeq {cseq}",
            alice.contact()
        )
    };
    // 19 * 8 + 5, by RFC 3164 section 4.1.1.
    let head = format!("<157>pgpresence[{}]: NOTIFY ", system.notifiers[0].pid());
    let line = async || {
        let mut buffer = [0; 2048];
        let read = tokio::time::timeout(system::STARTUP, log.recv(&mut buffer)).await;
        let length = read.expect("a line in time").unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(line().await, format!("{head}sent to {}", about(1)));
    assert_eq!(line().await, format!("{head}answered 200 by {}", about(1)));
    dialog.answers(Answer::Status(481, vec![]));
    Phone::udp("bob")
        .await
        .publisher(BOB)
        .show(system.udp(0), "open", "x")
        .await;
    assert_eq!(line().await, format!("{head}sent to {}", about(2)));
    assert_eq!(line().await, format!("{head}answered 481 by {}", about(2)));
    assert!(
        !system.notifiers[0]
            .lines()
            .join("\n")
            .contains("NOTIFY sent"),
        "not in the log as well"
    );
}

/// Without a facility they are lines of the log, at that level. The default is Kamailio's, 2, which is not seen at `log.level = "info"`, as
/// in Kamailio, whose own level lies below it unless it is set; at `debug` it is.
#[tokio::test(flavor = "multi_thread")]
async fn local_log_level() {
    for (level, log_level, word) in [
        (None, None, None),
        (Some(2), None, None),
        (None, Some("info,notifier::notify=debug"), Some("DEBUG")),
        (Some(1), None, Some("INFO")),
        (Some(-1), None, Some("ERROR")),
        (Some(0), Some("error"), None),
    ] {
        let mut setup = system::setup();
        if let Some(level) = level {
            setup = setup.set("presence.local_log_level", level);
        }
        if let Some(level) = log_level {
            setup = setup.set("log.level", level);
        }
        let mut system = setup.start();
        let alice = Phone::udp("alice").await;
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        dialog.unsubscribe(system.udp(0)).await;
        if let Some(word) = word {
            let is_line = |line: &str| {
                line.contains(word) && line.contains("NOTIFY answered 200 by sip:alice@")
            };
            let found = system.notifiers[0].line(system::STARTUP, is_line);
            assert!(found.is_ok(), "{found:?}");
        }
        system.notifiers[0].terminate(system::STARTUP).unwrap();
        let lines = system.notifiers[0].lines().join("\n");
        assert_eq!(
            lines.contains("NOTIFY answered"),
            word.is_some(),
            "{level:?} {log_level:?}: {lines}"
        );
    }
}

/// systemd says by JOURNAL_STREAM which file is the journal's.
#[tokio::test(flavor = "multi_thread")]
async fn lines_for_the_journal_have_priorities() {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    let system = system::setup().servers(0).notifiers(0).start();
    for is_journal in [true, false] {
        let (mut read, write) = std::io::pipe().unwrap();
        let write = std::fs::File::from(std::os::fd::OwnedFd::from(write));
        let metadata = write.metadata().unwrap();
        let inode = metadata.ino() + u64::from(!is_journal);
        let mut command = system.command("migrate");
        command
            .args(["--set", "log.level=debug"])
            .env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()))
            .stdout(std::process::Stdio::null())
            .stderr(write);
        let mut child = command.spawn().unwrap();
        // The command holds the other end of the pipe.
        drop(command);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        assert!(text.lines().count() > 0, "nothing was logged");
        for line in text.lines() {
            let has_priority = ["<3>", "<4>", "<6>", "<7>"]
                .iter()
                .any(|priority| line.starts_with(priority));
            assert_eq!(has_priority, is_journal, "{line}");
        }
    }
}
