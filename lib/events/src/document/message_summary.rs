//! Message summaries (RFC 3842): lines, not XML.

mod parse;

use std::collections::HashMap;

use super::{BodyFault, Document};
use crate::package::{Accounts, MergeInput, MessageSummaryOptions, NeutralDocument};
use parse::{Counts, Summary};

/// The media type of message summaries.
pub const CONTENT_TYPE: &str = "application/simple-message-summary";

/// Largest summary read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;

/// Whether a body is a message summary. It is read strictly: what phones read by hand must be right.
///
/// # Errors
/// Says why not.
pub fn check(body: &[u8]) -> Result<(), BodyFault> {
    Summary::parse(body).map(|_| ())
}

/// The summary of a presentity, made of its publications, newest first; of each account the newest counts.
///
/// The result is written as RFC 3842 section 5.2 says, whatever liberties the publishers took with line ends. Headers of single
/// messages are left out: section 3.5 forbids them in the NOTIFY that answers a SUBSCRIBE, and for messages that the subscriber
/// was already notified, and what belongs to one NOTIFY of one subscription is not state.
pub fn merge(options: &MessageSummaryOptions, input: &MergeInput<'_>) -> Option<Document> {
    let mut newest: Vec<(&str, Summary<'_>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for publication in input.publications {
        let Ok(summary) = Summary::parse(publication.body) else {
            continue;
        };
        let account = summary.account.unwrap_or(input.presentity);
        known.entry(account).or_insert_with(|| {
            newest.push((account, summary));
            newest.len() - 1
        });
    }
    let mut out = String::new();
    match (newest.as_slice(), options.accounts) {
        ([], _) if options.neutral == NeutralDocument::Omitted => return None,
        ([], _) => push_block(&mut out, false, None, &[]),
        ([(_, only)], _) => push_block(&mut out, only.waiting, only.account, &only.counts),
        (several, Accounts::Summed) => push_sum(&mut out, input.presentity, several),
        (_, Accounts::Each) => {
            // Phones that read the first block only are those of the presentity.
            newest.sort_by_key(|(account, _)| *account != input.presentity);
            for (at, (account, summary)) in newest.iter().enumerate() {
                if at > 0 {
                    out.push_str("\r\n");
                }
                push_block(&mut out, summary.waiting, Some(account), &summary.counts);
            }
        }
    }
    Some(Document::new(CONTENT_TYPE, out))
}

/// One summary with the sums of several: waiting if one is, and of each class of messages all.
fn push_sum(out: &mut String, presentity: &str, several: &[(&str, Summary<'_>)]) {
    let mut counts: Vec<(&str, Counts)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (class, count) in several.iter().flat_map(|(_, summary)| &summary.counts) {
        let place = *places.entry(class.to_ascii_lowercase()).or_insert_with(|| {
            counts.push((class, Counts::default()));
            counts.len() - 1
        });
        if let Some((_, sum)) = counts.get_mut(place) {
            sum.add(count);
        }
    }
    let waiting = several.iter().any(|(_, summary)| summary.waiting);
    // "If the Request-URI or To header … corresponds to a group or collection of individual messaging accounts, the notifier MUST
    // specify to which account the message-summary body corresponds" (RFC 3842 section 3.5).
    push_block(out, waiting, Some(presentity), &counts);
}

fn push_block(out: &mut String, waiting: bool, account: Option<&str>, counts: &[(&str, Counts)]) {
    out.push_str(if waiting {
        "Messages-Waiting: yes\r\n"
    } else {
        "Messages-Waiting: no\r\n"
    });
    if let Some(account) = account {
        out.push_str(&format!("Message-Account: {account}\r\n"));
    }
    for (class, count) in counts {
        out.push_str(&format!("{class}: {count}\r\n"));
    }
}
