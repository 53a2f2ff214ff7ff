//! A phone that proves a password when it is asked to (RFC 3261 section 22, RFC 7616). It shares nothing with the server's side but the hashes.

use std::net::SocketAddr;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::{Dialog, Phone};
use crate::message::Message;

/// A user name, a password, and the challenge that was answered last.
pub struct Login {
    user: String,
    password: String,
    challenge: Option<Challenge>,
    count: u32,
}

/// What a `WWW-Authenticate` asks for.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// SHA-256 or MD5, as written.
    pub algorithm: String,
    /// The answer was right, the nonce too old.
    pub stale: bool,
    realm: String,
    nonce: String,
    qop: bool,
}

impl Challenge {
    /// All challenges of a response.
    ///
    /// # Panics
    /// When one is not a Digest challenge with realm and nonce.
    pub fn all(response: &Message) -> Vec<Challenge> {
        let lines = response.all("WWW-Authenticate");
        lines
            .map(|line| {
                let part = |name: &str| parameter(line, name);
                let fault = || panic!("not a challenge: {line}");
                assert!(line.starts_with("Digest "), "{line}");
                Challenge {
                    algorithm: part("algorithm").unwrap_or("MD5").to_owned(),
                    stale: part("stale") == Some("true"),
                    realm: part("realm").unwrap_or_else(fault).to_owned(),
                    nonce: part("nonce").unwrap_or_else(fault).to_owned(),
                    qop: part("qop") == Some("auth"),
                }
            })
            .collect()
    }

    fn hash(&self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self.algorithm.as_str() {
            "SHA-256" => hex(&Sha256::digest(text)),
            "MD5" => hex(&Md5::digest(text)),
            other => panic!("algorithm {other}"),
        }
    }
}

/// A parameter of a header whose values hold no commas.
fn parameter<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let parts = line.split_once(' ')?.1.split(',');
    let found = parts
        .filter_map(|part| part.trim().split_once('='))
        .find(|(other, _)| *other == name)?;
    Some(found.1.trim_matches('"'))
}

impl Login {
    /// A login that has not been asked yet.
    pub fn new(user: &str, password: &str) -> Login {
        Login {
            user: user.into(),
            password: password.into(),
            challenge: None,
            count: 0,
        }
    }

    /// Keeps the first challenge of a 401 (RFC 8760 section 2.4); says whether there is one.
    pub fn learn(&mut self, response: &Message) -> bool {
        self.challenge = Challenge::all(response).into_iter().next();
        self.count = 0;
        response.status() == Some(401) && self.challenge.is_some()
    }

    /// The request with an answer to the challenge that is known, counted.
    pub fn sign(&mut self, request: &Message) -> Message {
        let Some(challenge) = &self.challenge else {
            return request.clone();
        };
        self.count += 1;
        let (count, cnonce) = (format!("{:08x}", self.count), "0a4f113b");
        let Challenge { realm, nonce, .. } = challenge;
        let uri = request.uri();
        let ha1 = challenge.hash(&format!("{}:{realm}:{}", self.user, self.password));
        let ha2 = challenge.hash(&format!("{}:{uri}", request.method()));
        let (response, protection) = match challenge.qop {
            true => (
                challenge.hash(&format!("{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}")),
                format!(", qop=auth, nc={count}, cnonce=\"{cnonce}\""),
            ),
            false => (
                challenge.hash(&format!("{ha1}:{nonce}:{ha2}")),
                String::new(),
            ),
        };
        let user = self.user.replace('\\', "\\\\").replace('"', "\\\"");
        let answer = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
             algorithm={}{protection}",
            challenge.algorithm
        );
        let unsigned = request.clone().without("Authorization");
        unsigned.with("Authorization", answer)
    }
}

impl Phone {
    /// Sends a request; once more, signed, if it is asked for a password. What is known of a challenge already is used at once.
    pub async fn send_as(
        &self,
        login: &mut Login,
        request: &Message,
        server: SocketAddr,
    ) -> Message {
        let response = self.send(&login.sign(request), server).await;
        if response.status() != Some(401) || !login.learn(&response) {
            return response;
        }
        let next = self.again(request);
        self.send(&login.sign(&next), server).await
    }

    /// The same request as another transaction: the next CSeq, a branch of its own.
    pub fn again(&self, request: &Message) -> Message {
        let cseq = request.cseq().unwrap_or_default() + 1;
        request
            .clone()
            .set("CSeq", format!("{cseq} {}", request.method()))
            .set("Via", self.via())
    }

    /// Subscribes with a password.
    pub async fn subscribe_as(
        &self,
        login: &mut Login,
        request: &Message,
        server: SocketAddr,
    ) -> (Dialog, Message) {
        let dialog = self.expect_dialog(request);
        let response = self.send_as(login, request, server).await;
        if response.status() == Some(200) {
            dialog.learn(&response);
        }
        (dialog, response)
    }
}
