//! What a script sees of a request, and of the answer to a NOTIFY.

use std::net::SocketAddr;

use events::Requester;
use mlua::{IntoLua, Lua, LuaString, Result, UserData, UserDataFields, UserDataMethods, Value};
use sip::{Headers, NameAddr, Request, Response, Transport};

/// Where the driver's `reply` is kept in a Lua state.
pub(crate) const REPLY: &str = "script.reply";

/// A request, and how it came.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The request; its clones share the bytes.
    pub request: Request,
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it was received.
    pub local: SocketAddr,
    /// By which transport.
    pub transport: Transport,
    /// Who sent it, as far as it is proven.
    pub requester: Requester,
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it was received.
    pub local: SocketAddr,
    /// By which transport.
    pub transport: Transport,
}

/// What requests and answers have in common.
trait Received {
    /// Nothing: there is no message.
    fn headers(&self) -> Option<&Headers>;
    /// Nothing: it did not come by the network.
    fn way(&self) -> Option<Way>;
    fn body(&self) -> &[u8];
    fn message(&self) -> Vec<u8>;
    /// 1 a request, 2 an answer.
    fn kind(&self) -> u8;
}

/// The attributes of any message by names that say what they are, with those of Kamailio's pseudo-variables beside them. Nil where
/// the message does not have it.
fn add_attributes<T: Received + 'static, F: UserDataFields<T>>(fields: &mut F) {
    for (name, part) in [
        ("from_uri", "fu"),
        ("from_user", "fU"),
        ("from_domain", "fd"),
        ("from_name", "fn"),
        ("from_tag", "ft"),
    ] {
        for name in [name, part] {
            fields.add_field_method_get(name, move |lua, this| {
                let from = this.headers().and_then(|headers| headers.from().ok());
                party(lua, from, part)
            });
        }
    }
    for (name, part) in [
        ("to_uri", "tu"),
        ("to_user", "tU"),
        ("to_domain", "td"),
        ("to_name", "tn"),
        ("to_tag", "tt"),
    ] {
        for name in [name, part] {
            fields.add_field_method_get(name, move |lua, this| {
                let to = this.headers().and_then(|headers| headers.to().ok());
                party(lua, to, part)
            });
        }
    }
    for name in ["call_id", "ci"] {
        fields.add_field_method_get(name, |lua, this| {
            let call_id = this.headers().and_then(|headers| headers.call_id().ok());
            call_id.into_lua(lua)
        });
    }
    for name in ["cseq", "cs"] {
        fields.add_field_method_get(name, |_, this| {
            let cseq = this.headers().and_then(|headers| headers.cseq().ok());
            Ok(cseq.map(|cseq| cseq.number))
        });
    }
    for (name, short, header) in [
        ("contact", "ct", "Contact"),
        ("content_type", "cT", "Content-Type"),
        ("user_agent", "ua", "User-Agent"),
    ] {
        for name in [name, short] {
            fields.add_field_method_get(name, move |lua, this| {
                bytes(
                    lua,
                    this.headers()
                        .and_then(|headers| headers.header_named(header)),
                )
            });
        }
    }
    for name in ["content_length", "cl"] {
        fields.add_field_method_get(name, |_, this| {
            Ok(this.headers().map(|_| this.body().len()))
        });
    }
    for name in ["body", "rb"] {
        fields.add_field_method_get(name, |lua, this| lua.create_string(this.body()));
    }
    for name in ["message", "mb"] {
        fields.add_field_method_get(name, |lua, this| lua.create_string(this.message()));
    }
    for name in ["length", "ml"] {
        fields.add_field_method_get(name, |_, this| Ok(this.message().len()));
    }
    for name in ["source_ip", "si"] {
        fields.add_field_method_get(name, |_, this| {
            Ok(this.way().map(|way| way.source.ip().to_string()))
        });
    }
    for name in ["source_port", "sp"] {
        fields.add_field_method_get(name, |_, this| Ok(this.way().map(|way| way.source.port())));
    }
    for name in ["local_ip", "Ri"] {
        fields.add_field_method_get(name, |_, this| {
            Ok(this.way().map(|way| way.local.ip().to_string()))
        });
    }
    for name in ["local_port", "Rp"] {
        fields.add_field_method_get(name, |_, this| Ok(this.way().map(|way| way.local.port())));
    }
    for name in ["transport", "pr"] {
        fields.add_field_method_get(name, |_, this| {
            Ok(this
                .way()
                .map(|way| way.transport.as_str().to_ascii_lowercase()))
        });
    }
    fields.add_field_method_get("mt", |_, this| Ok(this.kind()));
}

/// A part of From or To, by the last letter of the pseudo-variable.
fn party(lua: &Lua, party: Option<NameAddr>, part: &str) -> Result<Value> {
    let Some(party) = party else {
        return Ok(Value::Nil);
    };
    match part.chars().last() {
        Some('u') => party.uri.to_string().into_lua(lua),
        Some('U') => party.uri.user.as_deref().into_lua(lua),
        Some('d') => party.uri.host_str().into_lua(lua),
        Some('n') => party.display.as_deref().into_lua(lua),
        _ => party.tag().into_lua(lua),
    }
}

impl Received for Incoming {
    fn headers(&self) -> Option<&Headers> {
        Some(&self.request)
    }

    fn way(&self) -> Option<Way> {
        Some(Way {
            source: self.source,
            local: self.local,
            transport: self.transport,
        })
    }

    fn body(&self) -> &[u8] {
        self.request.body()
    }

    fn message(&self) -> Vec<u8> {
        self.request.encode()
    }

    fn kind(&self) -> u8 {
        1
    }
}

impl UserData for Incoming {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        add_attributes(fields);
        for name in ["method", "rm"] {
            fields.add_field_method_get(name, |lua, this| {
                this.request.method().as_str().into_lua(lua)
            });
        }
        for name in ["uri", "ru"] {
            fields.add_field_method_get(name, |lua, this| this.request.uri().into_lua(lua));
        }
        for name in ["user", "rU"] {
            fields.add_field_method_get(name, |lua, this| {
                let uri = this.request.parsed_uri().ok();
                uri.and_then(|uri| uri.user).into_lua(lua)
            });
        }
        for name in ["domain", "rd"] {
            fields.add_field_method_get(name, |lua, this| {
                let uri = this.request.parsed_uri().ok();
                uri.map(|uri| uri.host_str()).into_lua(lua)
            });
        }
        fields.add_field_method_get("event", |lua, this| {
            bytes(lua, this.request.header_named("Event"))
        });
        for name in ["identity", "ai"] {
            fields.add_field_method_get(name, |lua, this| {
                let identity = this.requester.identity.as_ref();
                identity.map(|identity| identity.uri()).into_lua(lua)
            });
        }
        fields.add_field_method_get("proof", |lua, this| {
            this.requester.proof.name().into_lua(lua)
        });
        fields.add_field_method_get("may_publish", |_, this| Ok(this.requester.may_publish()));
        fields.add_field_method_get("expires", |_, this| {
            Ok(this.request.expires().ok().flatten())
        });
        fields.add_field_function_get("reply", |lua, _| lua.named_registry_value::<Value>(REPLY));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("header", |lua, this, name: LuaString| {
            bytes(lua, this.request.header_named(&name.to_string_lossy()))
        });
        methods.add_method("headers", |lua, this, name: LuaString| {
            headers(lua, Some(&this.request), &name.to_string_lossy())
        });
    }
}

/// How a NOTIFY ended: by a final response, or by none, which is 408.
#[derive(Clone, Debug)]
pub enum ReplyTo {
    /// The response, and how it came.
    Response(Response, Way),
    /// There was none in time.
    Timeout,
}

impl ReplyTo {
    fn code(&self) -> u16 {
        match self {
            ReplyTo::Response(response, _) => response.status().code(),
            ReplyTo::Timeout => 408,
        }
    }

    fn reason(&self) -> &str {
        match self {
            ReplyTo::Response(response, _) => response.reason(),
            ReplyTo::Timeout => "Request Timeout",
        }
    }

    fn response(&self) -> Option<&Response> {
        match self {
            ReplyTo::Response(response, _) => Some(response),
            ReplyTo::Timeout => None,
        }
    }
}

impl Received for ReplyTo {
    fn headers(&self) -> Option<&Headers> {
        self.response().map(|response| &**response)
    }

    fn way(&self) -> Option<Way> {
        match self {
            ReplyTo::Response(_, way) => Some(*way),
            ReplyTo::Timeout => None,
        }
    }

    fn body(&self) -> &[u8] {
        self.response().map(Response::body).unwrap_or_default()
    }

    fn message(&self) -> Vec<u8> {
        self.response().map(Response::encode).unwrap_or_default()
    }

    fn kind(&self) -> u8 {
        2
    }
}

impl UserData for ReplyTo {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        add_attributes(fields);
        for name in ["method", "rm"] {
            fields.add_field_method_get(name, |lua, this| {
                // Of the request that is answered; without an answer that is known too.
                let cseq = this.headers().and_then(|headers| headers.cseq().ok());
                match cseq {
                    Some(cseq) => cseq.method.as_str().into_lua(lua),
                    None => "NOTIFY".into_lua(lua),
                }
            });
        }
        for name in ["code", "status", "rs"] {
            fields.add_field_method_get(name, |_, this| Ok(this.code()));
        }
        for name in ["reason", "rr"] {
            fields.add_field_method_get(name, |lua, this| this.reason().into_lua(lua));
        }
        for name in ["header", "hdr"] {
            fields.add_field_function_get(name, |lua, this| {
                let this = this.borrow::<ReplyTo>()?.clone();
                named(lua, move |lua, name| {
                    bytes(
                        lua,
                        this.headers()
                            .and_then(|headers| headers.header_named(name)),
                    )
                })
            });
        }
        fields.add_field_function_get("headers", |lua, this| {
            let this = this.borrow::<ReplyTo>()?.clone();
            named(lua, move |lua, name| headers(lua, this.headers(), name))
        });
    }
}

/// A function of a header's name: `notify_reply.header("X")`, or with a colon, which hands over the variable first.
fn named(
    lua: &Lua,
    find: impl Fn(&Lua, &str) -> Result<Value> + 'static,
) -> Result<mlua::Function> {
    lua.create_function(move |lua, (first, second): (Value, Option<Value>)| {
        let name = match (first, second) {
            (Value::Table(_), Some(name)) => name,
            (name, _) => name,
        };
        match name {
            Value::String(name) => find(lua, &name.to_string_lossy()),
            other => Err(mlua::Error::runtime(format!(
                "the name of a header must be text, not {}",
                other.type_name()
            ))),
        }
    })
}

fn bytes(lua: &Lua, value: Option<&[u8]>) -> Result<Value> {
    match value {
        None => Ok(Value::Nil),
        Some(value) => lua.create_string(value.trim_ascii()).map(Value::String),
    }
}

fn headers(lua: &Lua, all: Option<&Headers>, name: &str) -> Result<Value> {
    let list = lua.create_table()?;
    // Names are canonical there, whatever was written.
    let name = match sip::HeaderName::from_bytes(name.as_bytes()) {
        sip::HeaderName::Other => name,
        known => known.as_str(),
    };
    let lines = all.into_iter().flat_map(Headers::iter);
    let lines = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    for (_, value) in lines {
        list.push(bytes(lua, Some(value))?)?;
    }
    Ok(Value::Table(list))
}
