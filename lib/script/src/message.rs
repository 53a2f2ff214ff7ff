//! What a script sees of a request, and of the answer to a NOTIFY.

use std::net::SocketAddr;

use mlua::{IntoLua, Lua, LuaString, Result, UserData, UserDataFields, UserDataMethods, Value};
use sip::{Headers, Request, Response, Transport};

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
}

impl UserData for Incoming {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("method", |lua, this| {
            this.request.method().as_str().into_lua(lua)
        });
        fields.add_field_method_get("uri", |lua, this| this.request.uri().into_lua(lua));
        fields.add_field_method_get("from_uri", |lua, this| {
            uri(lua, this.request.from().map(|from| from.uri))
        });
        fields.add_field_method_get("to_uri", |lua, this| {
            uri(lua, this.request.to().map(|to| to.uri))
        });
        fields.add_field_method_get("from_tag", |lua, this| {
            this.request
                .from()
                .ok()
                .and_then(|from| from.tag().map(str::to_owned))
                .into_lua(lua)
        });
        fields.add_field_method_get("to_tag", |lua, this| {
            this.request
                .to()
                .ok()
                .and_then(|to| to.tag().map(str::to_owned))
                .into_lua(lua)
        });
        fields.add_field_method_get("call_id", |lua, this| {
            this.request.call_id().ok().into_lua(lua)
        });
        fields.add_field_method_get("cseq", |_, this| {
            Ok(this.request.cseq().ok().map(|cseq| cseq.number))
        });
        fields.add_field_method_get("event", |lua, this| {
            bytes(lua, this.request.header_named("Event"))
        });
        fields.add_field_method_get("expires", |_, this| {
            Ok(this.request.expires().ok().flatten())
        });
        fields.add_field_method_get("user_agent", |lua, this| {
            this.request.user_agent().into_lua(lua)
        });
        fields.add_field_method_get("body", |lua, this| lua.create_string(this.request.body()));
        fields.add_field_method_get("source_ip", |_, this| Ok(this.source.ip().to_string()));
        fields.add_field_method_get("source_port", |_, this| Ok(this.source.port()));
        fields.add_field_method_get("local_ip", |_, this| Ok(this.local.ip().to_string()));
        fields.add_field_method_get("local_port", |_, this| Ok(this.local.port()));
        fields.add_field_method_get("transport", |_, this| {
            Ok(this.transport.as_str().to_ascii_lowercase())
        });
        fields.add_field_function_get("reply", |lua, _| lua.named_registry_value::<Value>(REPLY));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("header", |lua, this, name: LuaString| {
            bytes(lua, this.request.header_named(&name.to_string_lossy()))
        });
        methods.add_method("headers", |lua, this, name: LuaString| {
            headers(lua, &this.request, &name.to_string_lossy())
        });
    }
}

/// How a NOTIFY ended: by a final response, or by none, which is 408.
#[derive(Clone, Debug)]
pub enum ReplyTo {
    /// The response.
    Response(Response),
    /// There was none in time.
    Timeout,
}

impl ReplyTo {
    fn code(&self) -> u16 {
        match self {
            ReplyTo::Response(response) => response.status().code(),
            ReplyTo::Timeout => 408,
        }
    }

    fn reason(&self) -> &str {
        match self {
            ReplyTo::Response(response) => response.reason(),
            ReplyTo::Timeout => "Request Timeout",
        }
    }

    fn response(&self) -> Option<&Response> {
        match self {
            ReplyTo::Response(response) => Some(response),
            ReplyTo::Timeout => None,
        }
    }

    fn body(&self) -> &[u8] {
        self.response().map(Response::body).unwrap_or_default()
    }

    fn message(&self) -> Vec<u8> {
        self.response().map(Response::encode).unwrap_or_default()
    }
}

/// The names of Kamailio's pseudo-variables for the same stand beside ours.
impl UserData for ReplyTo {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        for name in ["code", "rs"] {
            fields.add_field_method_get(name, |_, this| Ok(this.code()));
        }
        for name in ["reason", "rr"] {
            fields.add_field_method_get(name, |lua, this| this.reason().into_lua(lua));
        }
        for name in ["message", "mb"] {
            fields.add_field_method_get(name, |lua, this| lua.create_string(this.message()));
        }
        for name in ["body", "rb"] {
            fields.add_field_method_get(name, |lua, this| lua.create_string(this.body()));
        }
        for name in ["call_id", "ci"] {
            fields.add_field_method_get(name, |lua, this| {
                this.response()
                    .and_then(|response| response.call_id().ok())
                    .into_lua(lua)
            });
        }
        fields.add_field_function_get("header", |lua, this| {
            // `notify_reply.header("X")`: the proxy in between leaves no way for a colon.
            let this = this.borrow::<ReplyTo>()?.clone();
            lua.create_function(move |lua, name: LuaString| {
                let response = this.response();
                bytes(
                    lua,
                    response.and_then(|response| response.header_named(&name.to_string_lossy())),
                )
            })
        });
    }
}

fn uri(lua: &Lua, uri: std::result::Result<sip::Uri, sip::ParseError>) -> Result<Value> {
    uri.ok().map(|uri| uri.to_string()).into_lua(lua)
}

fn bytes(lua: &Lua, value: Option<&[u8]>) -> Result<Value> {
    match value {
        None => Ok(Value::Nil),
        Some(value) => lua.create_string(value.trim_ascii()).map(Value::String),
    }
}

fn headers(lua: &Lua, all: &Headers, name: &str) -> Result<Value> {
    let list = lua.create_table()?;
    // Names are canonical there, whatever was written.
    let name = match sip::HeaderName::from_bytes(name.as_bytes()) {
        sip::HeaderName::Other => name,
        known => known.as_str(),
    };
    let lines = all.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    for (_, value) in lines {
        list.push(bytes(lua, Some(value))?)?;
    }
    Ok(Value::Table(list))
}
