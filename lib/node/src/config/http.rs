//! `[http]`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::secret::Token;
use super::value::optional;

/// `[http]`: the HTTP interface of the server process for operators and their programs: JSON-RPC 2.0 at `/RPC`, presentities below
/// `/v1/presentities`, `/health`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The address and port to listen on, such as `127.0.0.1:8080`; port 0 takes any free one. An address that other
    /// machines can reach (outside of 127.0.0.0/8 and ::1) needs `token`. There is no TLS: use a reverse proxy for
    /// other machines. Empty: no HTTP, because several servers of one machine cannot share an address; `pgpresence rpc`
    /// works without it.
    ///
    /// Unit: none. Default: `""`. Range: empty or `ADDRESS:PORT`.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
    /// The token that a client must send as `Authorization: Bearer TOKEN`. A client with the token can read everything
    /// and publish for every presentity. Empty: no token is needed, and only this machine is served. It is never
    /// printed; set it in the environment, as `PGPRESENCE_HTTP__TOKEN`. `/health` needs no token.
    ///
    /// Unit: none. Default: `""`. Range: empty, or 16 to 256 visible ASCII characters.
    #[serde(with = "optional")]
    pub token: Option<Token>,
}
