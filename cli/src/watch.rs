//! `pgpresence watch`: a SIP subscriber for the terminal.
//!
//! Prints every NOTIFY as one line, refreshes, subscribes anew when the server lost the dialog or the connection to it died, and
//! unsubscribes on Ctrl-C (RFC 6665 section 4.1). A too short interval (423) is raised to what the server asks for. It does not
//! judge: an operator sees what a phone would see.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use node::Shutdown;
use serde_json::json;
use sip::dialog::DialogView;
use sip::{Event, HeaderName, Method, Request, RequestBuilder, Response, StatusCode, ViaOut};
use tokio::time::Instant;

use crate::random::random_token;
use crate::user_agent::{
    ServerArgs, UserAgent, address_of_record, clock, contact_uri, refresh_after,
};

/// How long the last NOTIFY may take after an unsubscribe or a fetch was accepted.
const LAST_NOTIFY: Duration = Duration::from_secs(10);

/// How long to wait before each attempt to reach a server whose connection died.
const RECONNECT: Duration = Duration::from_secs(1);

/// What `pgpresence watch` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// Presentity to watch, such as `sip:bob@example.org`.
    #[arg(value_parser = address_of_record)]
    presentity: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Event package.
    #[arg(long, default_value = "presence")]
    event: String,
    /// Content types to accept, separated by commas. Default: the package's own.
    #[arg(long)]
    accept: Option<String>,
    /// URI of the watcher.
    #[arg(
        long,
        value_name = "URI",
        default_value = "sip:watcher@pgpresence.invalid"
    )]
    from: String,
    /// Requested interval, in seconds.
    #[arg(long, default_value_t = 3600)]
    expires: u32,
    /// Print the state once (a fetch: SUBSCRIBE with Expires 0) and exit.
    #[arg(long)]
    once: bool,
    /// One JSON object per NOTIFY, with its body.
    #[arg(long)]
    json: bool,
}

/// Watches until Ctrl-C, or once. Exits with 0 when the subscription ended as it should, with 1 when it was refused.
///
/// # Errors
/// The server cannot be reached, does not answer, or refuses the subscription.
pub(crate) async fn run(args: WatchArgs) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals()?;
    let mut agent = UserAgent::connect(&args.server).await?;
    let mut watch = Watch::new(args);
    let result = if watch.args.once {
        watch.fetch(&mut agent).await
    } else {
        watch.follow(&mut agent, &shutdown).await
    };
    agent.close().await;
    result.map(|()| ExitCode::SUCCESS)
}

/// One subscription after the other, each in a dialog of its own.
struct Watch {
    args: WatchArgs,
    /// What is asked for; more than `--expires` if the server found that too brief.
    expires_s: u32,
    dialog: Dialog,
}

/// Whether there is a way to the server. Over UDP nobody knows, and it counts as up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Lost,
}

/// Our side of the dialog, and what we have learnt of the server's.
#[derive(Default)]
struct Dialog {
    call_id: String,
    local_tag: String,
    cseq: u32,
    remote_tag: Option<String>,
    remote_target: Option<String>,
    route_set: Vec<String>,
    last_notify: Option<u32>,
}

impl Dialog {
    fn new() -> Dialog {
        Dialog {
            call_id: random_token(),
            local_tag: random_token(),
            ..Dialog::default()
        }
    }
}

/// What a NOTIFY told us of the subscription.
enum Told {
    Active,
    /// Over, with its reason.
    Terminated(String),
    NotOurs,
}

impl Watch {
    fn new(args: WatchArgs) -> Watch {
        Watch {
            expires_s: args.expires,
            args,
            dialog: Dialog::new(),
        }
    }

    /// Asks once; waits for the NOTIFY that shows the state.
    async fn fetch(&mut self, agent: &mut UserAgent) -> anyhow::Result<()> {
        self.subscribe(agent, 0).await?;
        self.until_terminated(agent)
            .await
            .context("the server accepted the fetch, but sent no NOTIFY")
    }

    /// Subscribes and prints until told to stop; then unsubscribes.
    async fn follow(&mut self, agent: &mut UserAgent, shutdown: &Shutdown) -> anyhow::Result<()> {
        let response = self.send_patiently(agent).await?;
        let mut refresh_at = self.granted(&response)?;
        let mut link = Link::Up;
        loop {
            let lost = agent.disconnected();
            tokio::select! {
                () = shutdown.triggered() => break,
                () = tokio::time::sleep_until(refresh_at) => match (self.send_patiently(agent).await, link) {
                    (Ok(response), _) => {
                        refresh_at = self.granted(&response)?;
                        link = Link::Up;
                    }
                    (Err(error), Link::Lost) => {
                        eprintln!("{} {error:#}; trying again", clock());
                        refresh_at = Instant::now() + RECONNECT;
                    }
                    (Err(error), Link::Up) => return Err(error),
                },
                () = lost, if link == Link::Up => {
                    eprintln!("{} the connection to the server was lost", clock());
                    link = Link::Lost;
                    refresh_at = Instant::now() + RECONNECT;
                }
                request = agent.next_request() => {
                    let (request, flow) = request.context("the connection was closed")?;
                    if let Told::Terminated(reason) = self.take(agent, &request, &flow) {
                        // RFC 6665 section 4.1.3: after these there is no point in asking again.
                        if let "rejected" | "noresource" = reason.as_str() {
                            bail!("the server ended the subscription: {reason}");
                        }
                        self.dialog = Dialog::new();
                        refresh_at = Instant::now() + Duration::from_secs(1);
                    }
                }
            }
        }
        if self.dialog.remote_tag.is_some() {
            self.subscribe(agent, 0).await?;
            // A server that sends no last NOTIFY has accepted the unsubscribe all the same.
            let _ = self.until_terminated(agent).await;
        }
        Ok(())
    }

    /// SUBSCRIBE; once more in a new dialog when the server does not know ours (RFC 6665 section 4.1.2.2), and once more with its
    /// minimum when it finds the interval too brief (section 4.2.1.1).
    async fn send_patiently(&mut self, agent: &mut UserAgent) -> anyhow::Result<Response> {
        let mut response = self.send_subscribe(agent, self.expires_s).await?;
        if response.status() == StatusCode::CALL_DOES_NOT_EXIST {
            self.dialog = Dialog::new();
            response = self.send_subscribe(agent, self.expires_s).await?;
        }
        if response.status() == StatusCode::INTERVAL_TOO_BRIEF
            && let Some(least_s) = response.min_expires().ok().flatten()
        {
            self.expires_s = least_s;
            response = self.send_subscribe(agent, self.expires_s).await?;
        }
        Ok(response)
    }

    /// When to refresh what a response granted.
    fn granted(&mut self, response: &Response) -> anyhow::Result<Instant> {
        self.accepted(response)?;
        let granted_s = response.expires().ok().flatten().unwrap_or(self.expires_s);
        Ok(Instant::now() + refresh_after(granted_s))
    }

    async fn subscribe(&mut self, agent: &mut UserAgent, expires_s: u32) -> anyhow::Result<()> {
        let response = self.send_subscribe(agent, expires_s).await?;
        self.accepted(&response)
    }

    /// Sends a SUBSCRIBE. A NOTIFY that overtakes its response (RFC 6665 section 4.1.2.4) waits in the queue meanwhile.
    async fn send_subscribe(
        &mut self,
        agent: &mut UserAgent,
        expires_s: u32,
    ) -> anyhow::Result<Response> {
        let target = self.dialog.remote_target.clone();
        let uri = target.unwrap_or_else(|| self.args.presentity.clone());
        let compose = |via: &ViaOut, authorization: Option<&str>| {
            self.dialog.cseq += 1;
            self.encode(via, expires_s, authorization)
        };
        agent.request(Method::Subscribe, &uri, compose).await
    }

    fn encode(
        &self,
        via: &ViaOut,
        expires_s: u32,
        authorization: Option<&str>,
    ) -> anyhow::Result<Vec<u8>> {
        let contact = contact_uri("watcher", via);
        let expires = expires_s.to_string();
        let mut headers = vec![
            ("Event", self.args.event.as_str()),
            ("Expires", expires.as_str()),
        ];
        if let Some(accept) = &self.args.accept {
            headers.push(("Accept", accept));
        }
        headers.extend(authorization.map(|value| ("Authorization", value)));
        let dialog = &self.dialog;
        if let (Some(remote_tag), Some(remote_target)) = (&dialog.remote_tag, &dialog.remote_target)
        {
            let view = DialogView {
                call_id: &dialog.call_id,
                local_uri: &self.args.from,
                local_tag: &dialog.local_tag,
                remote_uri: &self.args.presentity,
                remote_tag,
                remote_target,
                route_set: &dialog.route_set,
                local_contact: &contact,
            };
            return Ok(sip::dialog::request(
                &view,
                &Method::Subscribe,
                dialog.cseq,
                via,
                &headers,
                None,
            )?
            .bytes);
        }
        let from = format!("<{}>;tag={}", self.args.from, dialog.local_tag);
        let to = format!("<{}>", self.args.presentity);
        let request = RequestBuilder {
            method: &Method::Subscribe,
            uri: &self.args.presentity,
            via,
            from: &from,
            to: &to,
            call_id: &dialog.call_id,
            cseq: dialog.cseq,
            contact: Some(&contact),
            headers: &headers,
            body: None,
            routes: &[],
        };
        Ok(request.encode())
    }

    /// Takes a 2xx into the dialog; anything else is the end.
    fn accepted(&mut self, response: &Response) -> anyhow::Result<()> {
        let status = response.status();
        if !status.is_success() {
            bail!(
                "subscription refused: {} {}",
                status.code(),
                response.reason()
            );
        }
        if self.dialog.remote_tag.is_none() {
            self.dialog.route_set = response.record_route()?.into_iter().rev().collect();
        }
        self.dialog.remote_tag = response
            .to()?
            .tag()
            .map(str::to_owned)
            .or(self.dialog.remote_tag.take());
        if let Some(contact) = response.contact()? {
            self.dialog.remote_target = Some(contact.uri.to_string());
        }
        Ok(())
    }

    /// Answers NOTIFYs until one says that the subscription is over.
    async fn until_terminated(&mut self, agent: &mut UserAgent) -> anyhow::Result<()> {
        let end = Instant::now() + LAST_NOTIFY;
        loop {
            let (request, flow) = tokio::time::timeout_at(end, agent.next_request())
                .await?
                .context("the connection was closed")?;
            if matches!(self.take(agent, &request, &flow), Told::Terminated(_)) {
                return Ok(());
            }
        }
    }

    /// Answers one request; a NOTIFY of ours is printed, once.
    fn take(&mut self, agent: &UserAgent, request: &Request, flow: &net::FlowKey) -> Told {
        if request.method() != &Method::Notify {
            agent.answer(request, flow, StatusCode::METHOD_NOT_ALLOWED);
            return Told::NotOurs;
        }
        let Some((cseq, remote_tag)) = self.ours(request) else {
            agent.answer(request, flow, StatusCode::CALL_DOES_NOT_EXIST);
            return Told::NotOurs;
        };
        agent.answer(request, flow, StatusCode::OK);
        if self.dialog.last_notify.is_none_or(|last| cseq > last) {
            self.dialog.last_notify = Some(cseq);
            self.dialog.remote_tag.get_or_insert(remote_tag);
            println!(
                "{}",
                if self.args.json {
                    self.json_line(request, cseq)
                } else {
                    self.line(request)
                }
            );
        }
        let state = subscription_state(request);
        if state.starts_with("terminated") {
            Told::Terminated(state_parameter(&state, "reason").unwrap_or_default())
        } else {
            Told::Active
        }
    }

    /// CSeq and the server's tag, if the NOTIFY belongs to our dialog.
    fn ours(&self, request: &Request) -> Option<(u32, String)> {
        let theirs = request.from().ok()?.tag()?.to_owned();
        let same = request.call_id().ok()? == self.dialog.call_id
            && request.to().ok()?.tag()? == self.dialog.local_tag
            && self
                .dialog
                .remote_tag
                .as_ref()
                .is_none_or(|known| *known == theirs);
        same.then(|| request.cseq().ok().map(|cseq| (cseq.number, theirs)))
            .flatten()
    }

    /// `12:31:05 sip:bob@example.org open "in a meeting" (active, 3599 s)`
    fn line(&self, request: &Request) -> String {
        let state = subscription_state(request);
        let status = state.split(';').next().unwrap_or_default();
        let expires = state_parameter(&state, "expires").map(|s| format!(", {s} s"));
        let detail =
            expires.or_else(|| state_parameter(&state, "reason").map(|why| format!(", {why}")));
        let words = words_of(request);
        format!(
            "{} {} {words} ({}{})",
            clock(),
            self.args.presentity,
            status.trim(),
            detail.unwrap_or_default()
        )
    }

    fn json_line(&self, request: &Request, cseq: u32) -> String {
        let summary = events::document::summary::summary(request.body()).ok();
        json!({
            "presentity": self.args.presentity,
            "event": request.event().ok().flatten().map(|event: Event| event.package),
            "cseq": cseq,
            "subscription_state": subscription_state(request),
            "content_type": request.header_str(HeaderName::ContentType),
            "basic": summary.as_ref().map(|summary| summary.basic()),
            "notes": summary.map(|summary| summary.notes),
            "body": String::from_utf8_lossy(request.body()),
        })
        .to_string()
    }
}

/// What the body says: basic state and notes of a presence document, else its type and size.
fn words_of(request: &Request) -> String {
    let body = request.body();
    if body.is_empty() {
        return "no document".to_owned();
    }
    let content_type = request.header_str(HeaderName::ContentType).unwrap_or("?");
    match events::document::summary::summary(body) {
        Ok(summary) if content_type.starts_with(events::document::pidf::CONTENT_TYPE) => {
            let notes = summary
                .notes
                .iter()
                .map(|note| format!(" {note:?}"))
                .collect::<String>();
            format!("{}{notes}", summary.basic())
        }
        _ => format!("{content_type}, {} bytes", body.len()),
    }
}

fn subscription_state(request: &Request) -> String {
    request
        .header_str(HeaderName::SubscriptionState)
        .unwrap_or("none")
        .to_owned()
}

/// A parameter of a Subscription-State value.
fn state_parameter(state: &str, name: &str) -> Option<String> {
    state.split(';').skip(1).find_map(|one| {
        one.trim()
            .strip_prefix(name)?
            .strip_prefix('=')
            .map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::state_parameter;

    #[test]
    fn reads_parameters_of_the_state() {
        assert_eq!(
            state_parameter("active;expires=59", "expires").as_deref(),
            Some("59")
        );
        assert_eq!(
            state_parameter("terminated; reason=timeout", "reason").as_deref(),
            Some("timeout")
        );
        assert_eq!(state_parameter("active", "expires"), None);
    }
}
