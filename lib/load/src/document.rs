//! The bodies that publishers send, and how a NOTIFY's body is read again.
//!
//! Each body carries who published it and the number of its state, in a place that survives merging, reordering and renaming of
//! identifiers: the text of a note (`presence`), the display of an identity (`dialog`), the counts of a message summary.

use memchr::memmem;
use serde::{Deserialize, Serialize};

/// The event package of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Package {
    /// RFC 3856, with PIDF bodies.
    #[default]
    #[serde(rename = "presence")]
    Presence,
    /// RFC 4235, with dialog-info bodies.
    #[serde(rename = "dialog")]
    Dialog,
    /// RFC 3842, with simple-message-summary bodies. One publication per presentity: the format has no room for more.
    #[serde(rename = "message-summary")]
    MessageSummary,
}

impl Package {
    /// The package's name in Event.
    pub fn name(self) -> &'static str {
        match self {
            Package::Presence => "presence",
            Package::Dialog => "dialog",
            Package::MessageSummary => "message-summary",
        }
    }

    /// The media type of its bodies.
    pub fn content_type(self) -> &'static str {
        match self {
            Package::Presence => "application/pidf+xml",
            Package::Dialog => "application/dialog-info+xml",
            Package::MessageSummary => "application/simple-message-summary",
        }
    }
}

/// Stands before the four numbers in XML bodies: run, presentity, publication, state.
const MARK: &[u8] = b"pgl-";
const SUMMARY_MARK: &[u8] = b"Voice-Message: ";
/// Digits of a state's number; also the width in templates.
const NUMBER_DIGITS: usize = 10;
const PUBLICATION_DIGITS: usize = 2;
const RUN_DIGITS: usize = 6;
/// Runs told apart in bodies: a server may still hold what an earlier run published.
const RUNS: u32 = 1_000_000;
// Placeholders of a template. None of them occurs elsewhere in it.
const USER: &str = "\u{1}";
const PUBLICATION: &str = "\u{2}";
const NUMBER: &str = "\u{3}";

/// A state as it stands in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateMark {
    /// Number of the presentity in the workload.
    pub(crate) presentity: u32,
    /// Which of its publications.
    pub(crate) publication: u32,
    /// Number of the state.
    pub(crate) number: u32,
}

/// Makes bodies by copying a template and patching its numbers.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    package: Package,
    template: Vec<u8>,
    users: Vec<usize>,
    publications: Vec<usize>,
    numbers: Vec<usize>,
    user_digits: usize,
    run: u32,
}

impl Bodies {
    /// Bodies of about `body_bytes` for presentities of `domain` whose users are `p` and `user_digits` digits.
    pub(crate) fn new(
        package: Package,
        run: u32,
        domain: &str,
        user_digits: usize,
        body_bytes: usize,
    ) -> Bodies {
        let run = run % RUNS;
        let bare = text(package, run, domain, "");
        let width = |text: &str| {
            let more = |mark: &str, digits: usize| text.matches(mark).count() * (digits - 1);
            text.len()
                + more(USER, user_digits)
                + more(PUBLICATION, PUBLICATION_DIGITS)
                + more(NUMBER, NUMBER_DIGITS)
        };
        let padding = "-".repeat(body_bytes.saturating_sub(width(&bare)));
        let mut bodies = Bodies {
            package,
            template: Vec::new(),
            users: Vec::new(),
            publications: Vec::new(),
            numbers: Vec::new(),
            user_digits,
            run,
        };
        for byte in text(package, run, domain, &padding).bytes() {
            let at = bodies.template.len();
            let (places, digits) = match byte {
                1 => (&mut bodies.users, user_digits),
                2 => (&mut bodies.publications, PUBLICATION_DIGITS),
                3 => (&mut bodies.numbers, NUMBER_DIGITS),
                other => {
                    bodies.template.push(other);
                    continue;
                }
            };
            places.push(at);
            bodies.template.resize(at + digits, b'0');
        }
        bodies
    }

    /// Length of every body.
    pub(crate) fn len(&self) -> usize {
        self.template.len()
    }

    /// Appends the body that shows `state`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, state: StateMark) {
        let start = out.len();
        out.extend_from_slice(&self.template);
        let body = &mut out[start..];
        for (places, digits, number) in [
            (&self.users, self.user_digits, state.presentity),
            (&self.publications, PUBLICATION_DIGITS, state.publication),
            (&self.numbers, NUMBER_DIGITS, state.number),
        ] {
            for at in places {
                patch(&mut body[*at..*at + digits], number);
            }
        }
    }

    /// Hands over every state of this run that a NOTIFY's body shows.
    pub(crate) fn read(&self, body: &[u8], mut each: impl FnMut(StateMark)) {
        if self.package == Package::MessageSummary {
            let read = |at: usize| {
                let (number, rest) = number_of(&body[at + SUMMARY_MARK.len()..])?;
                let (presentity, rest) = number_of(rest.strip_prefix(b"/")?)?;
                let (run, _) = number_of(rest.strip_prefix(b" (")?)?;
                (run == self.run).then_some(StateMark {
                    presentity,
                    publication: 0,
                    number,
                })
            };
            if let Some(state) = memmem::find(body, SUMMARY_MARK).and_then(read) {
                each(state);
            }
            return;
        }
        for at in memmem::find_iter(body, MARK) {
            let read = || {
                let (run, rest) = number_of(&body[at + MARK.len()..])?;
                if run != self.run {
                    return None;
                }
                let (presentity, rest) = number_of(rest.strip_prefix(b"-")?)?;
                let (publication, rest) = number_of(rest.strip_prefix(b"-")?)?;
                let (number, _) = number_of(rest.strip_prefix(b"-")?)?;
                Some(StateMark {
                    presentity,
                    publication,
                    number,
                })
            };
            if let Some(state) = read() {
                each(state);
            }
        }
    }
}

fn text(package: Package, run: u32, domain: &str, padding: &str) -> String {
    let mark = format!("pgl-{run:0RUN_DIGITS$}-{USER}-{PUBLICATION}-{NUMBER}");
    let user = format!("sip:p{USER}@{domain}");
    match package {
        Package::Presence => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" entity=\"{user}\">\n  <tuple id=\"t{PUBLICATION}\">\n    \
             <status><basic>open</basic></status>\n    <contact>{user}</contact>\n    <note>{mark}</note>\n  </tuple>\n  \
             <dm:person id=\"p{PUBLICATION}\"><dm:note>{padding}</dm:note></dm:person>\n</presence>\n"
        ),
        Package::Dialog => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" \
             version=\"{NUMBER}\" state=\"full\" entity=\"{user}\">\n  <dialog id=\"d{PUBLICATION}\" direction=\"initiator\">\n    \
             <state>confirmed</state>\n    <local><identity display=\"{mark}\">{user}</identity></local>\n    \
             <remote><identity display=\"{padding}\">sip:callee@{domain}</identity></remote>\n  </dialog>\n</dialog-info>\n"
        ),
        Package::MessageSummary => format!(
            "Messages-Waiting: yes\r\nMessage-Account: {user}\r\nVoice-Message: {NUMBER}/{USER} ({run:0RUN_DIGITS$}/0)\r\n"
        ),
    }
}

fn patch(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The decimal number at the beginning, and what follows it.
fn number_of(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .take(NUMBER_DIGITS)
        .count();
    let number = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((number, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGES: [Package; 3] = [Package::Presence, Package::Dialog, Package::MessageSummary];

    fn body(bodies: &Bodies, presentity: u32, publication: u32, number: u32) -> Vec<u8> {
        let mut out = b"before".to_vec();
        bodies.write(
            &mut out,
            StateMark {
                presentity,
                publication,
                number,
            },
        );
        out.split_off(6)
    }

    fn read(bodies: &Bodies, body: &[u8]) -> Vec<(u32, u32, u32)> {
        let mut found = Vec::new();
        bodies.read(body, |state| {
            found.push((state.presentity, state.publication, state.number));
        });
        found
    }

    #[test]
    fn what_is_written_is_read() {
        for package in PACKAGES {
            let bodies = Bodies::new(package, 42, "example.org", 6, 550);
            for (presentity, number) in [(0, 1), (123_456, u32::MAX), (7, 1_000_000)] {
                let body = body(&bodies, presentity, 0, number);
                assert_eq!(body.len(), bodies.len(), "{package:?}");
                assert_eq!(
                    read(&bodies, &body),
                    [(presentity, 0, number)],
                    "{package:?}"
                );
                assert!(
                    String::from_utf8(body)
                        .unwrap()
                        .contains(&format!("sip:p{presentity:06}@example.org"))
                );
            }
            assert_eq!(read(&bodies, b""), []);
            let other_run = Bodies::new(package, 1_000_041, "example.org", 6, 550);
            assert_eq!(read(&other_run, &body(&bodies, 1, 0, 1)), []);
            assert_eq!(read(&bodies, b"pgl-1-Voice-Message: x/1 pgl-"), []);
        }
    }

    #[test]
    fn merged_documents_show_every_publication() {
        let bodies = Bodies::new(Package::Presence, 42, "example.org", 6, 550);
        let both = [body(&bodies, 3, 1, 9), body(&bodies, 3, 0, 8)].concat();
        assert_eq!(read(&bodies, &both), [(3, 1, 9), (3, 0, 8)]);
    }

    #[test]
    fn bodies_have_the_size_asked_for() {
        for package in [Package::Presence, Package::Dialog] {
            for bytes in [550, 1_000, 5_000] {
                assert_eq!(
                    Bodies::new(package, 42, "example.org", 6, bytes).len(),
                    bytes
                );
            }
            // Too small for the document: as small as it can be.
            assert!(Bodies::new(package, 42, "example.org", 6, 1).len() < 500);
        }
    }
}
