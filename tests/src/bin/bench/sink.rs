//! The phones of the crowd in the large tables: one socket that answers every NOTIFY with 200.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A thread with a socket. Dropping ends it.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    ending: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

// === impl Sink ===

impl Sink {
    /// Opens a socket on a free port and answers what comes.
    pub(crate) fn open() -> std::io::Result<Sink> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let address = socket.local_addr()?;
        let ending = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let (ended, count) = (ending.clone(), answered.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue; // nothing came
                };
                let text = String::from_utf8_lossy(&buffer[..length]);
                if let Some(answer) = answer(&text) {
                    // Counted first: who has the answer may look at the count.
                    count.fetch_add(1, Ordering::Relaxed);
                    let _ = socket.send_to(answer.as_bytes(), from);
                }
            }
        });
        Ok(Sink {
            address,
            ending,
            answered,
            thread: Some(thread),
        })
    }

    /// How many requests were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// 200 to a request (RFC 3261 section 8.2.6.2: what is mirrored); nothing to a response.
fn answer(request: &str) -> Option<String> {
    if request.starts_with("SIP/2.0") {
        return None;
    }
    let head = request.split("\r\n\r\n").next()?;
    let mirrored = head.split("\r\n").skip(1).filter(|line| {
        let name = line.split(':').next().unwrap_or_default().trim();
        ["Via", "From", "To", "Call-ID", "CSeq"]
            .iter()
            .any(|wanted| name.eq_ignore_ascii_case(wanted))
    });
    let mirrored: String = mirrored.flat_map(|line| [line, "\r\n"]).collect();
    Some(format!(
        "SIP/2.0 200 OK\r\n{mirrored}Content-Length: 0\r\n\r\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_and_a_response_is_not() {
        let sink = Sink::open().unwrap();
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        phone
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        phone
            .send_to(b"SIP/2.0 200 OK\r\nVia: a\r\n\r\n", sink.address)
            .unwrap();
        let notify = "NOTIFY sip:w@x SIP/2.0\r\nVia: a\r\nvia: b\r\nEvent: presence\r\nCSeq: 1 NOTIFY\r\n\r\nVia: body";
        phone.send_to(notify.as_bytes(), sink.address).unwrap();
        let mut buffer = [0; 1000];
        let length = phone.recv(&mut buffer).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&buffer[..length]),
            "SIP/2.0 200 OK\r\nVia: a\r\nvia: b\r\nCSeq: 1 NOTIFY\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(sink.answered(), 1);
    }
}
