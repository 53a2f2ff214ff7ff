//! `pgpresence publish`: a SIP publisher for the terminal.
//!
//! Publishes a presence document, refreshes it, and removes it on Ctrl-C (RFC 3903 section 4). A publication that the
//! server lost (412) is made anew; a too short interval (423) is raised to what the server asks for.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use node::Shutdown;
use serde_json::json;
use sip::{Method, RequestBuilder, Response, StatusCode, ViaOut};
use tokio::time::Instant;

use crate::random::random_token;
use crate::user_agent::{ServerArgs, UserAgent, address_of_record, clock, refresh_after};

/// What `pgpresence publish` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PublishArgs {
    /// Presentity to publish for, such as `sip:bob@example.org`.
    #[arg(value_parser = address_of_record)]
    presentity: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Event package.
    #[arg(long, default_value = "presence")]
    event: String,
    /// Basic state of the presence document.
    #[arg(long, default_value = "open", value_parser = ["open", "closed"])]
    basic: String,
    /// A note for people.
    #[arg(long)]
    note: Option<String>,
    /// Name of the tuple: each device of a user has its own.
    #[arg(long, default_value = "pgpresence")]
    tuple: String,
    /// Publish this file as it is, instead of a presence document made from the options above.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["basic", "note", "tuple"])]
    body: Option<PathBuf>,
    /// Content type of `--body`.
    #[arg(long, default_value = "application/pidf+xml")]
    content_type: String,
    /// URI of the publisher. Default: the presentity.
    #[arg(long, value_name = "URI")]
    from: Option<String>,
    /// Requested interval, in seconds.
    #[arg(long, default_value_t = 3600)]
    expires: u32,
    /// Publish once and exit; the publication stays until it expires.
    #[arg(long)]
    once: bool,
    /// One JSON object per answer.
    #[arg(long)]
    json: bool,
}

/// Publishes until Ctrl-C, or once. Exits with 0 when the server accepted it, and its removal.
///
/// # Errors
/// The server cannot be reached, does not answer, or refuses the publication.
pub(crate) async fn run(args: PublishArgs) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals()?;
    let mut agent = UserAgent::connect(&args.server).await?;
    let mut publication = Publication::new(args)?;
    let result = publication.keep(&mut agent, &shutdown).await;
    agent.close().await;
    result.map(|()| ExitCode::SUCCESS)
}

/// One publication and what the server calls it.
struct Publication {
    args: PublishArgs,
    body: Vec<u8>,
    expires_s: u32,
    call_id: String,
    local_tag: String,
    cseq: u32,
    entity_tag: Option<String>,
}

/// What a PUBLISH is to do (RFC 3903 section 4.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Publish,
    Refresh,
    Remove,
}

impl Publication {
    fn new(args: PublishArgs) -> anyhow::Result<Publication> {
        let body = match &args.body {
            Some(file) => {
                std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
            }
            None => presence_document(
                &args.presentity,
                &args.tuple,
                &args.basic,
                args.note.as_deref(),
            )
            .into_bytes(),
        };
        let expires_s = args.expires;
        Ok(Publication {
            args,
            body,
            expires_s,
            call_id: random_token(),
            local_tag: random_token(),
            cseq: 0,
            entity_tag: None,
        })
    }

    async fn keep(&mut self, agent: &mut UserAgent, shutdown: &Shutdown) -> anyhow::Result<()> {
        let mut refresh_at = self.publish(agent).await?;
        if self.args.once {
            return Ok(());
        }
        loop {
            tokio::select! {
                () = shutdown.triggered() => break,
                () = tokio::time::sleep_until(refresh_at) => refresh_at = self.refresh(agent).await?,
                request = agent.next_request() => {
                    let (request, flow) = request.context("the connection was closed")?;
                    agent.answer(&request, &flow, StatusCode::METHOD_NOT_ALLOWED);
                }
            }
        }
        self.remove(agent).await
    }

    /// The initial PUBLISH; once more with the server's minimum when it finds the interval too brief.
    async fn publish(&mut self, agent: &UserAgent) -> anyhow::Result<Instant> {
        self.entity_tag = None;
        let mut response = self.send(agent, Step::Publish).await?;
        if response.status() == StatusCode::INTERVAL_TOO_BRIEF
            && let Some(least_s) = response.min_expires().ok().flatten()
        {
            self.expires_s = least_s;
            response = self.send(agent, Step::Publish).await?;
        }
        self.accepted(&response, "published")
    }

    async fn refresh(&mut self, agent: &UserAgent) -> anyhow::Result<Instant> {
        let response = self.send(agent, Step::Refresh).await?;
        // RFC 3903 section 4.1: the server does not know it any more; publish anew.
        if response.status() == StatusCode::CONDITIONAL_REQUEST_FAILED {
            return self.publish(agent).await;
        }
        self.accepted(&response, "refreshed")
    }

    async fn remove(&mut self, agent: &UserAgent) -> anyhow::Result<()> {
        let response = self.send(agent, Step::Remove).await?;
        // Gone is gone.
        if response.status() == StatusCode::CONDITIONAL_REQUEST_FAILED {
            return Ok(());
        }
        self.accepted(&response, "removed").map(|_| ())
    }

    async fn send(&mut self, agent: &UserAgent, step: Step) -> anyhow::Result<Response> {
        let expires = match step {
            Step::Remove => "0".to_owned(),
            _ => self.expires_s.to_string(),
        };
        let Publication {
            args,
            body,
            entity_tag,
            call_id,
            local_tag,
            cseq,
            ..
        } = self;
        let publisher = args.from.as_deref().unwrap_or(&args.presentity);
        let compose = |via: &ViaOut, authorization: Option<&str>| {
            *cseq += 1;
            let mut headers = vec![("Event", args.event.as_str()), ("Expires", &expires)];
            if let Some(tag) = &*entity_tag {
                headers.push(("SIP-If-Match", tag));
            }
            headers.extend(authorization.map(|value| ("Authorization", value)));
            let request = RequestBuilder {
                method: &Method::Publish,
                uri: &args.presentity,
                via,
                from: &format!("<{publisher}>;tag={local_tag}"),
                to: &format!("<{}>", args.presentity),
                call_id,
                cseq: *cseq,
                contact: None,
                headers: &headers,
                body: (step == Step::Publish)
                    .then_some((args.content_type.as_str(), body.as_slice())),
                routes: &[],
            };
            Ok(request.encode())
        };
        agent
            .request(Method::Publish, &args.presentity, compose)
            .await
    }

    /// Keeps the entity-tag of a 2xx and says what happened; anything else is the end.
    fn accepted(&mut self, response: &Response, what: &str) -> anyhow::Result<Instant> {
        let status = response.status();
        if !status.is_success() {
            bail!(
                "publication refused: {} {}",
                status.code(),
                response.reason()
            );
        }
        self.entity_tag = response.sip_etag().map(str::to_owned);
        let granted_s = response.expires().ok().flatten().unwrap_or(self.expires_s);
        let tag = self.entity_tag.as_deref().unwrap_or("");
        if self.args.json {
            println!(
                "{}",
                json!({ "presentity": self.args.presentity, "event": self.args.event, "step": what, "entity_tag": tag, "expires": granted_s })
            );
        } else if granted_s == 0 {
            println!("{} {} {what}", clock(), self.args.presentity);
        } else {
            println!(
                "{} {} {what} for {granted_s} s (entity-tag {tag})",
                clock(),
                self.args.presentity
            );
        }
        Ok(Instant::now() + refresh_after(granted_s))
    }
}

/// A presence document with one tuple (RFC 3863).
fn presence_document(presentity: &str, tuple: &str, basic: &str, note: Option<&str>) -> String {
    let note = note
        .map(|note| format!("    <note>{}</note>\n", escaped(note)))
        .unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{}\">\n  \
         <tuple id=\"{}\">\n    <status><basic>{basic}</basic></status>\n{note}  </tuple>\n</presence>\n",
        escaped(presentity),
        escaped(tuple),
    )
}

fn escaped(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, one| {
            match one {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                other => out.push(other),
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::presence_document;

    #[test]
    fn the_document_is_a_presence_document() {
        let document = presence_document("sip:bob@example.org", "desk", "open", Some("R&D <b>"));
        events::document::pidf::check(document.as_bytes()).unwrap();
        let summary = events::document::summary::summary(document.as_bytes()).unwrap();
        assert_eq!(
            (summary.basic(), summary.notes),
            ("open", vec!["R&D <b>".to_owned()])
        );
    }
}
