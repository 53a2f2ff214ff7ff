//! A small SIP user agent for the terminal: what `watch` and `publish` share.
//!
//! One socket (or one TCP connection) towards one server, as a phone has it. Requests go through the same client
//! transactions as the notifier's; what arrives is handed out as parsed requests.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use net::{
    Client, ClientRequest, Endpoint, EndpointOptions, FlowKey, Hop, Incoming, ListenAddr, Outcome,
    Outcomes, Resolver,
};
use sip::{
    Message, Method, Reply, Request, Response, StatusCode, Transport, Uri, ViaOut, reply_target,
};
use tokio::sync::{mpsc, oneshot};

use crate::login::{Login, LoginArgs};

/// Where the server is, as `--server` and `--transport` say it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// Server (or edge proxy) to talk to: `host`, `host:port` or `[ipv6]:port`.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5060")]
    pub(crate) server: String,
    /// Transport towards the server: udp or tcp.
    #[arg(long, default_value = "udp", value_parser = ["udp", "tcp"])]
    pub(crate) transport: String,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

/// Reads a URI that somebody can be: `sip:`, `sips:` or `tel:`.
///
/// # Errors
/// It is something else; the text tells what would do.
pub(crate) fn address_of_record(text: &str) -> Result<String, String> {
    match Uri::parse(text) {
        Ok(uri) if uri.scheme != sip::Scheme::Other => Ok(text.to_owned()),
        _ => Err("not a URI such as sip:bob@example.org".to_owned()),
    }
}

/// A user agent with its connection to a server.
pub(crate) struct UserAgent {
    endpoint: Endpoint,
    client: Client<oneshot::Sender<Outcome>>,
    hop: Hop,
    login: Mutex<Option<Login>>,
    requests: mpsc::UnboundedReceiver<(Request, FlowKey)>,
}

impl UserAgent {
    /// Resolves the server, opens the socket, and starts to listen.
    ///
    /// # Errors
    /// The server's name cannot be resolved, or no socket can be had.
    pub(crate) async fn connect(args: &ServerArgs) -> anyhow::Result<UserAgent> {
        let login = args.login.read()?;
        let text = format!("sip:{};transport={}", args.server, args.transport);
        let uri =
            Uri::parse(&text).with_context(|| format!("`{}` is not HOST:PORT", args.server))?;
        let resolver = Resolver::system();
        let targets = resolver
            .resolve(&uri)
            .await
            .with_context(|| format!("cannot find {}", args.server))?;
        let target = targets
            .into_iter()
            .next()
            .with_context(|| format!("{} has no address", args.server))?;

        let any: SocketAddr = if target.addr.is_ipv6() {
            "[::]:0".parse()?
        } else {
            "0.0.0.0:0".parse()?
        };
        let listen = match target.transport {
            Transport::Udp => vec![ListenAddr {
                transport: Transport::Udp,
                addr: any,
            }],
            _ => Vec::new(),
        };
        let (endpoint, incoming) =
            Endpoint::bind(&listen, sip::Limits::default(), EndpointOptions::default()).await?;
        let (client, outcomes) = Client::new(
            endpoint.clone(),
            resolver,
            sip::transaction::Timers::default(),
        );
        let (hand_out, requests) = mpsc::unbounded_channel();
        tokio::spawn(receive(incoming, client.clone(), hand_out));
        tokio::spawn(deliver(outcomes));
        Ok(UserAgent {
            endpoint,
            client,
            hop: Hop::Target(target),
            login: Mutex::new(login),
            requests,
        })
    }

    /// A Via for the next request. Its host and port are ours as the server sees them (before any NAT).
    ///
    /// # Errors
    /// The TCP connection cannot be made.
    async fn via(&self) -> anyhow::Result<ViaOut> {
        self.client
            .via_for(&self.hop)
            .await
            .context("cannot reach the server")
    }

    /// Sends the request that `compose` makes and waits for its final response; once more with the password if the server asks for it.
    /// `uri` is the Request-URI. `compose` gets a Via and the value of Authorization, and gives each request the next CSeq.
    ///
    /// # Errors
    /// No answer within 64*T1, or the server cannot be reached.
    pub(crate) async fn request(
        &self,
        method: Method,
        uri: &str,
        mut compose: impl FnMut(&ViaOut, Option<&str>) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Response> {
        loop {
            let authorization = self
                .login()
                .as_mut()
                .and_then(|login| login.authorization(&method, uri));
            let via = self.via().await?;
            let bytes = compose(&via, authorization.as_deref())?;
            let response = self.send(&method, &via, bytes).await?;
            let again = self
                .login()
                .as_mut()
                .is_some_and(|login| login.learn(&response));
            if !again {
                return Ok(response);
            }
        }
    }

    fn login(&self) -> MutexGuard<'_, Option<Login>> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(
        &self,
        method: &Method,
        via: &ViaOut,
        bytes: Vec<u8>,
    ) -> anyhow::Result<Response> {
        let (key, outcome) = oneshot::channel();
        self.client.send(vec![ClientRequest {
            key,
            branch: via.branch.clone(),
            method: method.clone(),
            bytes: bytes.into(),
            next_hop: self.hop.clone(),
            may_go_by_tcp: false,
        }]);
        match outcome.await.context("the connection was closed")? {
            Outcome::Final(response, _) => Ok(response),
            Outcome::TimedOut => bail!("no answer to {} within 32 s", method.as_str()),
            Outcome::Unreachable(reason) => bail!("the server cannot be reached: {reason}"),
        }
    }

    /// The next request that the server sends us. `None` when the socket is gone.
    pub(crate) async fn next_request(&mut self) -> Option<(Request, FlowKey)> {
        self.requests.recv().await
    }

    /// Becomes ready when the connection to the server is lost, at once if there is none. It never does over UDP, which has none.
    pub(crate) fn disconnected(&self) -> impl Future<Output = ()> + use<> {
        let closed = match &self.hop {
            Hop::Target(target) if target.transport != Transport::Udp => {
                let flow = self.endpoint.open_tcp(target.addr);
                Some(flow.and_then(|flow| self.endpoint.closed(&flow)))
            }
            _ => None,
        };
        async move {
            match closed {
                Some(Some(closed)) => closed.await,
                Some(None) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Answers a request on the flow that it came by.
    pub(crate) fn answer(&self, request: &Request, flow: &FlowKey, status: StatusCode) {
        let bytes = Reply::new(request, status).encode(flow.remote);
        if flow.transport.is_reliable() {
            // A flow that is gone has nobody left to answer.
            let _ = self.endpoint.send_flow(flow, bytes.into());
        } else if let Ok(to) = reply_target(request, flow.remote) {
            self.endpoint.send_udp(Some(flow.local), to, bytes.into());
        }
    }

    /// Closes the socket once what is queued has been sent.
    pub(crate) async fn close(self) {
        self.endpoint.close().await;
    }
}

/// Hands responses to the transactions and requests to the caller.
async fn receive(
    mut incoming: Incoming,
    client: Client<oneshot::Sender<Outcome>>,
    hand_out: mpsc::UnboundedSender<(Request, FlowKey)>,
) {
    while let Some(packets) = incoming.recv_batch().await {
        for packet in packets {
            match sip::parse_datagram(packet.bytes, &sip::Limits::default()) {
                Ok(Message::Response(response)) => client.on_response(response, packet.flow),
                Ok(Message::Request(request)) => {
                    if hand_out.send((request, packet.flow)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(reason = error.reason, "ignored a message that is not SIP")
                }
            }
        }
    }
}

/// Gives each outcome to the one who waits for it.
async fn deliver(mut outcomes: Outcomes<oneshot::Sender<Outcome>>) {
    while let Some(batch) = outcomes.recv_batch().await {
        for (waiting, outcome) in batch {
            // Whoever stopped waiting does not want it.
            let _ = waiting.send(outcome);
        }
    }
}

/// The time of day in UTC, `HH:MM:SS`.
pub(crate) fn clock() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// When to refresh what was granted for `granted_s`: early enough for a whole transaction to fail in between.
pub(crate) fn refresh_after(granted_s: u32) -> Duration {
    let early = (granted_s / 10).clamp(1, 40);
    Duration::from_secs(u64::from(granted_s.saturating_sub(early).max(1)))
}

/// A Contact (or From) host: IPv6 in brackets.
pub(crate) fn contact_uri(user: &str, via: &ViaOut) -> String {
    let parameter = if via.transport == Transport::Udp {
        ""
    } else {
        ";transport=tcp"
    };
    format!("sip:{user}@{}:{}{parameter}", via.host, via.port)
}

#[cfg(test)]
mod tests {
    #[test]
    fn knows_who_somebody_can_be() {
        for (text, is_one) in [
            ("sip:bob@example.org", true),
            ("tel:+4930123456", true),
            ("no-uri-at-all", false),
            ("bob@example.org", false),
            ("http://example.org", false),
            ("", false),
        ] {
            assert_eq!(super::address_of_record(text).is_ok(), is_one, "{text}");
        }
    }

    use super::*;

    #[test]
    fn refreshes_in_time() {
        for (granted_s, after_s) in [(3600, 3560), (60, 54), (10, 9), (2, 1), (1, 1), (0, 1)] {
            assert_eq!(refresh_after(granted_s).as_secs(), after_s, "{granted_s}");
        }
    }
}
