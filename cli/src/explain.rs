//! `explain`: all there is to say about somebody's presence. What her publications are and become, who watches, what each watcher is
//! due, and why the last NOTIFY was sent or not.

use std::process::ExitCode;

use anyhow::Context;
use events::document::dialog_info::Ended;
use events::package::StateSource;
use events::{MergeInput, Registry};
use node::UriMatch;
use sip::{Aor, Uri};
use sql::{Listed, OwedResource, Publication, Resource, WatchedBy};

use crate::arguments::ExplainArgs;
use crate::configuration::{Role, load};
use crate::packages;
use crate::rpc::open;
use crate::say;
use crate::settings::Settings;
use crate::shown::{duration, printable};
use crate::status::set_aside_line;

/// A resource that has been due for this long is taken by no notifier.
const LATE_S: f64 = 10.0;

pub(crate) async fn run(settings: &Settings, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let config = load(settings, Role::Other)?;
    let registry = packages::registry(&config)?;
    let uri = canonical(&args.uri, config.presence.sip_uri_match)
        .with_context(|| format!("{:?} is not a URI of a presentity", args.uri))?;
    let store = open(settings, &config).await?;
    let operator = store.operator();
    let mut names = operator.list_events(&uri).await?;
    if !names.iter().any(|name| name == "presence") {
        // There may be hard state (a pidf-manipulation document), which is of this package.
        names.insert(0, "presence".to_owned());
    }
    // One more than is shown tells whether there are more.
    let asked = args.watchers.saturating_add(1);
    let owed = operator.list_backlog(&uri).await?;
    let (set_aside, _) = operator.list_set_aside(Some(&uri), args.watchers).await?;
    say(&uri);
    for event in names {
        let resource = Resource {
            presentity_uri: uri.clone(),
            event,
        };
        let listed = store
            .publication()
            .list(std::slice::from_ref(&resource))
            .await?;
        // A limit of each package: thousands who watch her presence must not hide who watches her calls.
        let mut watchers = operator.list_subscriptions(&resource, asked).await?;
        let is_cut = watchers.len() > args.watchers as usize;
        watchers.truncate(args.watchers as usize);
        if listed.publications.is_empty() && watchers.is_empty() && resource.event == "presence" {
            say("\npresence: nothing is published, and there are no watchers");
            continue;
        }
        say(format_args!("\n{}", resource.event));
        explain_state(&registry, &resource, &listed);
        let debt = owed.iter().find(|debt| debt.event == resource.event);
        explain_watchers(&watchers, debt);
        if is_cut {
            say(format_args!(
                "  only {} subscriptions are shown; --watchers shows more",
                args.watchers
            ));
        }
        for one in &set_aside {
            if one.resource.event == resource.event {
                say(format_args!("  {}", set_aside_line(one)));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The URI as a SUBSCRIBE to it would be stored.
fn canonical(text: &str, matching: UriMatch) -> anyhow::Result<String> {
    let uri = Uri::parse(text)?;
    Ok(Aor::from_uri(&uri, matching.folds_case())?.uri())
}

fn explain_state(registry: &Registry, resource: &Resource, listed: &Listed) {
    if listed.publications.is_empty() {
        say("  nothing is published");
    }
    for publication in &listed.publications {
        say(format_args!("  {}", publication_line(publication)));
    }
    let Some(package) = registry.find_name(&resource.event) else {
        say("  this event package is not served: no NOTIFY is sent for it");
        return;
    };
    if package.source != StateSource::Publications {
        say("  the document is made from the subscriptions");
        return;
    }
    let publications: Vec<events::Publication<'_>> =
        listed.publications.iter().map(input).collect();
    let ended: Vec<Ended> = listed
        .ends
        .iter()
        .map(|end| Ended {
            key: end.key,
            at_us: end.at_us,
        })
        .collect();
    let merged = package.merge_and_count(&MergeInput {
        presentity: &resource.presentity_uri,
        publications: &publications,
        ended: &ended,
        now: listed.publications.first().map_or(0, |first| first.now),
        ..MergeInput::default()
    });
    if merged.left_out > 0 {
        say(format_args!(
            "  {} of these publications are left out, the oldest or too large: packages.max_document_bytes is {}",
            merged.left_out,
            package.max_document_bytes()
        ));
    }
    match merged.document {
        None => say("  watchers get no document"),
        Some(document) => {
            say(format_args!("  watchers get ({}):", document.content_type));
            let body = document.for_notify(1);
            for line in String::from_utf8_lossy(&body).lines() {
                say(format_args!("    {}", printable(line)));
            }
        }
    }
}

fn publication_line(publication: &Publication) -> String {
    let seconds = |from: i64, to: i64| duration(to.saturating_sub(from) as f64);
    let who = match publication.sender.as_str() {
        "" if publication.received_time == 0 => "a stored document",
        "" => "somebody",
        sender => sender,
    };
    let since = match publication.received_time {
        0 => String::new(),
        received => format!(", {} ago", seconds(received, publication.now)),
    };
    let ends = match publication.expires {
        -1 => "never ends".to_owned(),
        expires => format!("ends in {}", seconds(publication.now, expires)),
    };
    let content_type = match publication.content_type.as_str() {
        "" => "the package's type",
        named => named,
    };
    printable(&format!(
        "published by {who}{since}, {ends}: {} octets of {content_type}, entity-tag {}",
        publication.body.len(),
        publication.entity_tag
    ))
}

fn explain_watchers(watchers: &[WatchedBy], debt: Option<&OwedResource>) {
    if watchers.is_empty() {
        say("  no watchers");
    }
    for watcher in watchers {
        say(format_args!("  {}", watcher_line(watcher, debt)));
    }
}

fn watcher_line(watcher: &WatchedBy, debt: Option<&OwedResource>) -> String {
    let reason = match watcher.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let phone = match watcher.user_agent.as_str() {
        "" => String::new(),
        user_agent => format!(", {user_agent}"),
    };
    let flow = if watcher.by_flow {
        ", through the server that it subscribed at"
    } else {
        ""
    };
    let ends = match (watcher.state.as_str(), watcher.expires_s) {
        ("active" | "pending" | "waiting", s) if s.is_infinite() => ", never ends".to_owned(),
        ("active" | "pending" | "waiting", s) => format!(", ends in {}", duration(s)),
        _ => String::new(),
    };
    let last = watcher.notified_s.map_or_else(String::new, |ago| {
        format!(" (the last {} ago)", duration(ago))
    });
    let shows = match watcher.shows.as_str() {
        "all" => String::new(),
        "none" => ", sees nothing".to_owned(),
        shows => format!(", sees only: {shows}"),
    };
    printable(&format!(
        "watched by {} at {}{phone}{flow}: {}{reason}{ends}{shows}; {} NOTIFYs so far{last}, {}",
        watcher.watcher,
        watcher.contact,
        watcher.state,
        watcher.notified,
        why(watcher, debt)
    ))
}

/// Why the last NOTIFY was sent, or the next was not.
fn why(watcher: &WatchedBy, debt: Option<&OwedResource>) -> String {
    match watcher.owed.as_str() {
        "again" => format!(
            "the last {} failed in a row{}; the next try is in {}",
            watcher.failures,
            failed_by(watcher),
            duration(watcher.retry_s.unwrap_or(0.0))
        ),
        "decision" => {
            "the decision about this watcher is due; the next free notifier decides".to_owned()
        }
        "answer" => format!(
            "the one that answers its SUBSCRIBE, or ends it, is due: {}",
            waits_for(debt)
        ),
        "state" => format!("a change is due: {}", waits_for(debt)),
        _ if watcher.state == "ended" => "the last one was answered, or failed for good".to_owned(),
        _ => "nothing is due".to_owned(),
    }
}

/// The reason of the last failure.
fn failed_by(watcher: &WatchedBy) -> String {
    let failure = watcher.last_failure.as_deref();
    failure.map_or_else(String::new, |failure| format!(" ({failure})"))
}

fn waits_for(debt: Option<&OwedResource>) -> String {
    let Some(debt) = debt else {
        return "it was settled just now".to_owned();
    };
    let holder = debt.holder.as_deref().unwrap_or("a notifier");
    match debt.state.as_str() {
        "being sent" => format!("{holder} is sending it"),
        "set aside" => "the database refuses its data, see below".to_owned(),
        "left behind" => {
            format!("{holder} died before it was sent, the next notifier sends it again")
        }
        "paced" => format!(
            "waitn_time holds it back for another {}",
            duration(debt.due_s)
        ),
        "due" if debt.due_s < -LATE_S => format!(
            "it has been due for {}, and no notifier takes it: see pgpresence status",
            duration(-debt.due_s)
        ),
        "due" => "the next free notifier takes it".to_owned(),
        _ => format!("it is tried again in {}", duration(debt.due_s)),
    }
}

fn input(row: &Publication) -> events::Publication<'_> {
    events::Publication {
        id: row.id,
        content_type: &row.content_type,
        body: &row.body,
        entity_tag: &row.entity_tag,
        sender: &row.sender,
        received_time: row.received_time,
        modified_us: row.modified_us,
        expires: row.expires,
        priority: row.priority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_what_is_stored() {
        for (text, matching, expected) in [
            (
                "sip:Alice@Example.ORG;x=y",
                UriMatch::CaseSensitive,
                "sip:Alice@example.org",
            ),
            (
                "sips:Alice@Example.ORG",
                UriMatch::CaseInsensitive,
                "sip:alice@example.org",
            ),
        ] {
            assert_eq!(canonical(text, matching).unwrap(), expected);
        }
        assert!(canonical("alice", UriMatch::CaseSensitive).is_err());
    }

    #[test]
    fn each_kind_of_waiting_has_its_reason() {
        let debt = |state: &str, due_s: f64| OwedResource {
            event: "presence".to_owned(),
            owed: "state".to_owned(),
            state: state.to_owned(),
            since_s: 1.0,
            due_s,
            holder: Some("notifier 7 on h".to_owned()),
            dialogs: 1,
        };
        for (state, due_s, part) in [
            ("being sent", 5.0, "notifier 7 on h is sending"),
            ("left behind", -1.0, "died"),
            ("set aside", -1.0, "refuses"),
            ("paced", 3.0, "waitn_time holds it back for another 3.0 s"),
            ("due", -0.1, "next free notifier"),
            ("due", -60.0, "pgpresence status"),
            ("again", 4.0, "again in 4.0 s"),
        ] {
            let found = waits_for(Some(&debt(state, due_s)));
            assert!(found.contains(part), "{state}: {found}");
        }
        assert!(waits_for(None).contains("settled"));
    }
}
