//! Answers to servers that ask for a password (RFC 3261 section 22). All people of a run have the same one.

use sip::digest::Challenge;
use sip::{HeaderName, Response};

/// What is known of the last challenge to somebody.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    challenge: Challenge,
    /// How often it was answered.
    count: u32,
}

impl Login {
    /// The challenge of a 401, if it is one that can be answered.
    pub(crate) fn learn(response: &Response) -> Option<Login> {
        let lines = response.header_lines(HeaderName::WwwAuthenticate);
        Challenge::choose(lines).map(|challenge| Login {
            challenge,
            count: 0,
        })
    }

    /// `Authorization` for the next request.
    pub(crate) fn answer(&mut self, user: &str, password: &str, method: &str, uri: &str) -> String {
        self.count += 1;
        // Random text protects a client from a server that chooses nonces to find out its password. Here nobody has a secret.
        self.challenge
            .answer(user, password, method, uri, self.count, "10ad")
    }
}
