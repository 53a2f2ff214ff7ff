//! What a configuration says, each with the place where it says so.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Counted from 1; 0 stands for the file as a whole.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file name may hold anything; a report has one line per entry, and so has a comment of TOML.
        for c in self.file.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        match self.line {
            0 => Ok(()),
            line => write!(f, ":{line}"),
        }
    }
}

/// A value, all defines and substitutions done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number, or a word such as `yes`.
    Number(i64),
    /// A string, adjacent ones joined.
    Text(String),
}

impl Value {
    /// The number, also of a text that is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
        }
    }

    /// The value as a text.
    pub fn text(&self) -> String {
        match self {
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
        }
    }
}

/// One parameter of one module: a `modparam` for several modules makes one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The module.
    pub module: String,
    /// Its parameter.
    pub name: String,
    /// What it is set to.
    pub value: Value,
    /// Where.
    pub place: Place,
}

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
    /// Streams, encrypted.
    Tls,
    /// SCTP.
    Sctp,
    /// WebSocket, encrypted or not.
    WebSocket,
}

/// One address of a `listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// By which transport; `None`: by UDP and TCP.
    pub protocol: Option<Protocol>,
    /// The address, the interface, or the name; IPv6 addresses without their brackets.
    pub host: String,
    /// The port, where one is given.
    pub port: Option<u16>,
    /// What is told to others instead.
    pub advertised: Option<String>,
    /// Where.
    pub place: Place,
}

/// A routing block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `request_route`, `route`, `event_route` and the like.
    pub kind: String,
    /// What stands between brackets; empty where nothing does.
    pub name: String,
    /// The functions of module presence that it calls, each once.
    pub calls: BTreeSet<String>,
    /// Where it begins.
    pub place: Place,
}

/// Something that could not be understood, and was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

/// Everything that matters here of a Kamailio configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The files that were read, in the order of their beginning.
    pub files: Vec<Arc<str>>,
    /// Names of the loaded modules, without folder and `.so`.
    pub modules: Vec<String>,
    /// Module parameters, in their order: of several with one name the last counts.
    pub parameters: Vec<Parameter>,
    /// The addresses to listen on.
    pub listen: Vec<Listening>,
    /// `alias`: the names by which this server is addressed.
    pub aliases: Vec<(String, Place)>,
    /// The routing blocks, in their order.
    pub routes: Vec<Route>,
    /// The global `port`.
    pub port: Option<(u16, Place)>,
    /// What was passed over.
    pub problems: Vec<Problem>,
}
