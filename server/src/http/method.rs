//! The RPC commands of Kamailio's presence module, by its names, parameters, results and faults, answered from the tables; and one
//! of ours, `presence.auth_status`, for what the model has in its script only.
//!
//! Numbers may come as text, because that is how `kamctl rpc` sends them. Lists come by pages: two parameters more than the model
//! has, how many (`limit`) and the `id` of the last one of the page before (`after`).

use serde_json::{Map, Value, json};
use sql::{Judge, ListedPresentity, ListedWatcher, Page, Store, StoreError};

/// Rows of a list that is not asked for with a limit.
const PAGE: u32 = 1000;
/// Most rows of a page.
const LARGEST_PAGE: u32 = 10_000;

/// All commands.
pub const METHODS: [&str; 7] = [
    "presence.cleanup",
    "presence.refreshWatchers",
    "presence.updateWatchers",
    "presence.presentity_list",
    "presence.presentity_show",
    "presence.watcher_list",
    "presence.auth_status",
];

/// Why a command has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {message}")]
pub struct Fault {
    /// A number of JSON-RPC 2.0 section 5.1 (negative), or one like SIP's, as the model has them.
    pub code: i64,
    /// What is wrong, for a person.
    pub message: String,
}

/// Carries out one command. `params` is an array by position, an object by name, or nothing.
///
/// # Errors
/// [`Fault`]: nothing was changed then, unless it is 503, after which nobody knows.
pub async fn call(
    store: &Store,
    judge: &Judge,
    method: &str,
    params: Option<&Value>,
) -> Result<Value, Fault> {
    match method {
        "presence.cleanup" => {
            Parameters::read(params, &[])?;
            while store.operator().clean_up().await? > 0 {}
            Ok(json!("Reload OK"))
        }
        "presence.refreshWatchers" => {
            let given =
                Parameters::read(params, &["uri", "event", "type", "file_uri", "filename"])?;
            let (uri, event) = resource(&given)?;
            let kind = given.number("type", 0, 2)?.ok_or_else(not_enough)?;
            let file = match (given.text("file_uri")?, given.text("filename")?) {
                (Some(uri), Some(name)) if !uri.is_empty() && !name.is_empty() => Some((uri, name)),
                _ if kind == 2 => return Err(fault("No file uri or name parameters")),
                _ => None,
            };
            // At most 2.
            let kind = i32::try_from(kind).unwrap_or_default();
            store
                .operator()
                .refresh_watchers(uri, event, kind, file)
                .await?;
            Ok(json!({}))
        }
        "presence.updateWatchers" => {
            let given = Parameters::read(params, &["uri", "event"])?;
            let (uri, event) = resource(&given)?;
            store.operator().update_watchers(uri, event).await?;
            Ok(json!({}))
        }
        "presence.presentity_list" => {
            let given = Parameters::read(params, &["mode", "limit", "after"])?;
            let shown = given.detail()?.unwrap_or(Detail::Basic);
            let rows = store
                .operator()
                .list_presentities(given.page()?, None, None)
                .await?;
            Ok(rows.iter().map(|row| presentity(row, shown)).collect())
        }
        "presence.presentity_show" => {
            let given = Parameters::read(params, &["mode", "user", "domain", "limit", "after"])?;
            let shown = given.detail()?.ok_or_else(not_enough)?;
            let user = given.text("user")?.ok_or_else(not_enough)?;
            let domain = given.text("domain")?.ok_or_else(not_enough)?;
            let some = |pattern: &'_ str| (pattern != "*").then(|| pattern.to_owned());
            let rows = store
                .operator()
                .list_presentities(
                    given.page()?,
                    some(user).as_deref(),
                    some(domain).as_deref(),
                )
                .await?;
            Ok(rows.iter().map(|row| presentity(row, shown)).collect())
        }
        "presence.watcher_list" => {
            let given = Parameters::read(params, &["mode", "uri", "limit", "after"])?;
            let shown = given.detail()?.ok_or_else(not_enough)?;
            let uri = given.text("uri")?.ok_or_else(not_enough)?;
            if uri.is_empty() {
                return Err(fault("Empty presentity URI"));
            }
            let rows = store.operator().list_watchers(given.page()?, uri).await?;
            Ok(rows.iter().map(|row| watcher(row, shown)).collect())
        }
        "presence.auth_status" => {
            let given = Parameters::read(params, &["watcher_uri", "presentity_uri"])?;
            let watcher = given.text("watcher_uri")?.ok_or_else(not_enough)?;
            let presentity = given.text("presentity_uri")?.ok_or_else(not_enough)?;
            let status = judge.auth_status(store, watcher, presentity).await?;
            Ok(json!({ "status": status }))
        }
        _ => Err(Fault {
            code: -32601,
            message: "Method not found".to_owned(),
        }),
    }
}

/// How much of each row is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Basic,
    Full,
}

/// Parameters by name.
struct Parameters<'a>(Vec<(&'static str, &'a Value)>);

impl<'a> Parameters<'a> {
    /// Gives parameters by position their names. Those of no name, and too many, are refused: a typing error should not do
    /// something else.
    fn read(params: Option<&'a Value>, names: &[&'static str]) -> Result<Parameters<'a>, Fault> {
        let invalid = |message: String| Fault {
            code: -32602,
            message,
        };
        match params {
            None => Ok(Parameters(Vec::new())),
            Some(Value::Array(values)) if values.len() > names.len() => Err(invalid(format!(
                "Too many parameters: at most {}",
                names.len()
            ))),
            Some(Value::Array(values)) => {
                Ok(Parameters(names.iter().copied().zip(values).collect()))
            }
            Some(Value::Object(values)) => values
                .iter()
                .map(|(name, value)| {
                    let known = names.iter().find(|known| *known == name);
                    known.map(|known| (*known, value)).ok_or_else(|| {
                        invalid(format!(
                            "Unknown parameter; these are known: {}",
                            names.join(", ")
                        ))
                    })
                })
                .collect::<Result<_, _>>()
                .map(Parameters),
            Some(_) => Err(invalid(
                "params is neither an array nor an object".to_owned(),
            )),
        }
    }

    fn find(&self, name: &str) -> Option<&'a Value> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, value)| *value)
            .filter(|value| !value.is_null())
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, Fault> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(wrong_type(name, "a text without NUL"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(name, "a text")),
        }
    }

    fn number(&self, name: &'static str, least: i64, most: i64) -> Result<Option<i64>, Fault> {
        let number = match self.find(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        match number {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Fault {
                code: -32602,
                message: format!("{name} is a whole number from {least} to {most}"),
            }),
        }
    }

    fn detail(&self) -> Result<Option<Detail>, Fault> {
        match self.text("mode")? {
            None => Ok(None),
            Some("full") => Ok(Some(Detail::Full)),
            Some("basic") => Ok(Some(Detail::Basic)),
            Some(_) => Err(fault("Unknown output mode")),
        }
    }

    fn page(&self) -> Result<Page, Fault> {
        let limit = self.number("limit", 1, LARGEST_PAGE.into())?;
        Ok(Page {
            after: self.number("after", 0, i64::MAX)?.unwrap_or(0),
            limit: limit
                .and_then(|limit| u32::try_from(limit).ok())
                .unwrap_or(PAGE),
        })
    }
}

fn resource<'a>(given: &Parameters<'a>) -> Result<(&'a str, &'a str), Fault> {
    let (uri, event) = (given.text("uri")?, given.text("event")?);
    let (uri, event) = uri.zip(event).ok_or_else(not_enough)?;
    if uri.is_empty() {
        Err(fault("Empty presentity URI"))
    } else if event.is_empty() {
        Err(fault("Empty event parameter"))
    } else {
        Ok((uri, event))
    }
}

fn presentity(row: &ListedPresentity, shown: Detail) -> Value {
    let mut fields = object(json!({
        "id": row.id,
        "user": row.username,
        "domain": row.domain,
        "event": row.event,
        "etag": row.etag,
        "sender": row.sender,
        "expires": row.expires,
    }));
    if shown == Detail::Full {
        fields.append(&mut object(json!({
            "received_time": row.received_time,
            "priority": row.priority,
            "ruid": row.ruid,
            "body": String::from_utf8_lossy(&row.body),
        })));
    }
    Value::Object(fields)
}

fn watcher(row: &ListedWatcher, shown: Detail) -> Value {
    let mut fields = object(json!({
        "id": row.id,
        "pres_uri": row.presentity_uri,
        "event": row.event,
        "to_user": row.to_user,
        "to_domain": row.to_domain,
        "from_user": row.from_user,
        "from_domain": row.from_domain,
        "watcher_user": row.watcher_username,
        "watcher_domain": row.watcher_domain,
        "contact": row.contact,
        "event_id": row.event_id,
        "callid": row.callid,
        "user_agent": row.user_agent,
        "expires": row.expires,
        "status": row.status,
        "version": row.version,
        "flags": row.flags,
    }));
    if shown == Detail::Full {
        fields.append(&mut object(json!({
            "reason": row.reason,
            "to_tag": row.to_tag,
            "from_tag": row.from_tag,
            "socket": row.socket_info,
            "local_contact": row.local_contact,
            "record_route": row.record_route,
            "remote_cseq": row.remote_cseq,
            "local_cseq": row.local_cseq,
            "updated": row.updated,
            "updated_winfo": row.updated_winfo,
        })));
    }
    Value::Object(fields)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn fault(message: &str) -> Fault {
    Fault {
        code: 500,
        message: message.to_owned(),
    }
}

fn not_enough() -> Fault {
    fault("Not enough parameters")
}

fn wrong_type(name: &str, wanted: &str) -> Fault {
    Fault {
        code: -32602,
        message: format!("{name} is {wanted}"),
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        match error {
            StoreError::Unavailable { .. } | StoreError::Deadline { .. } => Fault {
                code: 503,
                message: "The database does not answer; try again".to_owned(),
            },
            // What PostgreSQL refused of the parameters: it says what is wrong with them.
            StoreError::Conflict { reason, .. } => fault(&reason),
            StoreError::Inconsistent { .. } | StoreError::Bug { .. } => {
                tracing::error!(%error, "an RPC command failed");
                fault("Execution failed")
            }
        }
    }
}
