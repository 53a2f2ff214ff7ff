//! What a strict phone demands of answers and NOTIFYs.

use std::net::SocketAddr;

use super::wire::Wire;
use crate::message::{Message, addr, has_param, param};

/// The state in a Subscription-State header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// active
    Active,
    /// pending
    Pending,
    /// terminated
    Terminated,
}

/// A Subscription-State header (RFC 6665 section 8.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// The state itself.
    pub state: State,
    /// Seconds left, of active and pending subscriptions.
    pub expires_s: Option<u32>,
    /// Why, of terminated ones.
    pub reason: Option<String>,
}

impl SubscriptionState {
    /// Reads the header's value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &str) -> Result<SubscriptionState, String> {
        let state = match value.split(';').next().unwrap_or_default().trim() {
            "active" => State::Active,
            "pending" => State::Pending,
            "terminated" => State::Terminated,
            other => return Err(format!("Subscription-State {other:?}")),
        };
        let expires_s = match param(value, "expires") {
            Some(text) => Some(
                text.parse()
                    .map_err(|_| format!("Subscription-State: expires={text:?}"))?,
            ),
            None => None,
        };
        let reason = param(value, "reason").map(String::from);
        match state {
            State::Active | State::Pending if expires_s.is_none() => {
                Err(format!("no expires in {value:?}"))
            }
            State::Active | State::Pending if reason.is_some() => {
                Err(format!("a reason in {value:?}"))
            }
            State::Terminated if expires_s.is_some() => Err(format!("an expires in {value:?}")),
            State::Terminated if reason.is_none() => Err(format!("no reason in {value:?}")),
            _ => Ok(SubscriptionState {
                state,
                expires_s,
                reason,
            }),
        }
    }
}

/// RFC 3261 8.2.6: what every answer owes its request, and what each status code owes its reader.
pub(super) fn response(
    request: &Message,
    response: &Message,
    from: SocketAddr,
    wire: &Wire,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |text: String| {
        faults.push(format!(
            "{text}, in the answer from {from}:\n{response}\nto\n{request}"
        ))
    };
    let status = response.status().unwrap_or_default();
    if response.reason().is_empty() {
        fault("no reason phrase".into());
    }

    let asked: Vec<String> = request
        .all("Via")
        .flat_map(crate::message::split_list)
        .collect();
    let given: Vec<String> = response
        .all("Via")
        .flat_map(crate::message::split_list)
        .collect();
    if asked.len() != given.len() || asked.get(1..) != given.get(1..) {
        fault(format!("Vias {given:?} for {asked:?}"));
    }
    if let (Some(asked), Some(given)) = (asked.first(), given.first()) {
        if has_param(asked, "rport")
            && param(given, "rport") != Some(&wire.local().port().to_string())
        {
            fault(format!(
                "rport is not {} (RFC 3581 section 4)",
                wire.local().port()
            ));
        }
        let shown = asked.split_whitespace().nth(1).unwrap_or_default();
        let shown = shown.split(';').next().unwrap_or_default();
        let own = shown == wire.local().to_string();
        if (has_param(asked, "rport") || !own) && param(given, "received").is_none() {
            fault("no received (RFC 3581 section 4, RFC 3261 18.2.1)".into());
        }
    }

    for name in ["From", "Call-ID", "CSeq"] {
        if request.header(name) != response.header(name) {
            fault(format!("{name} is not mirrored (8.2.6.2)"));
        }
    }
    let (asked_to, given_to) = (
        request.header("To").unwrap_or_default(),
        response.header("To").unwrap_or_default(),
    );
    match request.tag("To") {
        Some(_) if asked_to != given_to => fault("To is not mirrored".into()),
        None if addr(asked_to) != addr(given_to) => fault("To is another".into()),
        None if status > 100 && response.tag("To").is_none_or(str::is_empty) => {
            fault("no To-tag (8.2.6.2)".into())
        }
        _ => {}
    }

    let method = request.method();
    let needed: &[&str] = match (status, method) {
        (200..=299, "SUBSCRIBE") => &["Expires", "Contact"],
        (200..=299, "PUBLISH") => &["Expires", "SIP-ETag"],
        (200..=299, "OPTIONS") => &["Allow", "Accept", "Allow-Events"],
        (405, _) => &["Allow"],
        (420, _) => &["Unsupported"],
        (423, _) => &["Min-Expires"],
        (489, _) => &["Allow-Events"],
        (503, _) => &["Retry-After"],
        _ => &[],
    };
    for name in needed {
        if response.header(name).is_none_or(str::is_empty) {
            fault(format!("{status} without {name}"));
        }
    }
    if status == 415
        && response.header("Accept").is_none()
        && response.header("Accept-Encoding").is_none()
    {
        fault("415 without Accept or Accept-Encoding (RFC 3261 21.4.13)".into());
    }
    for name in ["Expires", "Min-Expires"] {
        if response
            .header(name)
            .is_some_and(|value| value.parse::<u32>().is_err())
        {
            fault(format!("{name} is no number"));
        }
    }
    let contact = response.header("Contact");
    if method == "SUBSCRIBE"
        && (200..300).contains(&status)
        && !contact.is_some_and(|value| addr(value).starts_with("sip:"))
    {
        fault(format!("Contact {contact:?}"));
    }
    if response.body.is_empty() == response.header("Content-Type").is_some() {
        fault("Content-Type and body do not agree".into());
    }
    faults
}

/// A retransmission is answered as the original was.
pub(super) fn same_answer(first: &Message, second: &Message) -> Vec<String> {
    let mut faults = Vec::new();
    let mut differ = |what: &str, one: Option<&str>, two: Option<&str>| {
        if one != two {
            faults.push(format!(
                "one request, two answers, {what} differs:\n{first}\nand\n{second}"
            ));
        }
    };
    differ("status", first.start.get(..11), second.start.get(..11));
    differ("To-tag", first.tag("To"), second.tag("To"));
    differ(
        "SIP-ETag",
        first.header("SIP-ETag"),
        second.header("SIP-ETag"),
    );
    differ("Expires", first.header("Expires"), second.header("Expires"));
    faults
}
