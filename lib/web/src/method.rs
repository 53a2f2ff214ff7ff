//! The RPC commands of Kamailio's presence module, by its names, parameters, results and faults, answered from the tables; and one
//! of ours, `presence.auth_status`, for what Kamailio has in its script only.
//!
//! Numbers may come as text, because that is how `kamctl rpc` sends them. Lists ([`list`]) are whole, as Kamailio's are, or come in
//! pages: two parameters more than Kamailio has, how many (`limit`) and the `id` of the last one of the page before (`after`).

mod list;

use serde_json::{Value, json};
use sip::bound::check_uri;
use sql::{Cleaning, Judge, Store, StoreError};

use self::list::{Detail, Part};

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
    /// A number of JSON-RPC 2.0 section 5.1 (negative), or one like SIP's, as in Kamailio.
    pub code: i64,
    /// What is wrong, for a person.
    pub message: String,
}

/// What a command has led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Kamailio's answer, in its shape.
    pub result: Value,
    /// A list that goes on: the `id` of its last row here, which is `after` of the next page.
    pub more: Option<i64>,
}

/// What the configuration says of the commands.
pub fn cleaning(config: &node::Config) -> Cleaning {
    Cleaning {
        quiet: config.presence.force_delete,
        waiting: config.presence.watcher_waiting_s.seconds(),
    }
}

/// Carries out one command. `params` is an array by position, an object by name, or nothing.
///
/// # Errors
/// [`Fault`]: nothing was changed then, unless it is 503, after which nobody knows.
pub async fn call(
    store: &Store,
    judge: &Judge,
    cleaning: Cleaning,
    method: &str,
    params: Option<&Value>,
) -> Result<Answer, Fault> {
    let done = |result: Value| Answer { result, more: None };
    match method {
        "presence.cleanup" => {
            Parameters::read(params, &[])?;
            while store.operator().clean_up(cleaning).await? > 0 {}
            Ok(done(json!("Reload OK")))
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
            Ok(done(json!({})))
        }
        "presence.updateWatchers" => {
            let given = Parameters::read(params, &["uri", "event"])?;
            let (uri, event) = resource(&given)?;
            store.operator().update_watchers(uri, event).await?;
            Ok(done(json!({})))
        }
        "presence.presentity_list" => {
            let given = Parameters::read(params, &["mode", "limit", "after"])?;
            let shown = given.detail()?.unwrap_or(Detail::Basic);
            list::presentities(store, given.part()?, shown, None, None).await
        }
        "presence.presentity_show" => {
            let given = Parameters::read(params, &["mode", "user", "domain", "limit", "after"])?;
            let shown = given.detail()?.ok_or_else(not_enough)?;
            let user = given.text("user")?.ok_or_else(not_enough)?;
            let domain = given.text("domain")?.ok_or_else(not_enough)?;
            let some = |pattern: &'_ str| (pattern != "*").then(|| pattern.to_owned());
            let (user, domain) = (some(user), some(domain));
            let part = given.part()?;
            list::presentities(store, part, shown, user.as_deref(), domain.as_deref()).await
        }
        "presence.watcher_list" => {
            let given = Parameters::read(params, &["mode", "uri", "limit", "after"])?;
            let shown = given.detail()?.ok_or_else(not_enough)?;
            let uri = given.text("uri")?.ok_or_else(not_enough)?;
            if uri.is_empty() {
                return Err(fault("Empty presentity URI"));
            }
            check_uri(uri).map_err(too_long)?;
            list::watchers(store, given.part()?, shown, uri).await
        }
        "presence.auth_status" => {
            let given = Parameters::read(params, &["watcher_uri", "presentity_uri"])?;
            let watcher = given.text("watcher_uri")?.ok_or_else(not_enough)?;
            let presentity = given.text("presentity_uri")?.ok_or_else(not_enough)?;
            check_uri(watcher).map_err(too_long)?;
            check_uri(presentity).map_err(too_long)?;
            let status = judge.auth_status(store, watcher, presentity).await?;
            Ok(done(json!({ "status": status })))
        }
        _ => Err(Fault {
            code: -32601,
            message: "Method not found".to_owned(),
        }),
    }
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
                            "Unknown parameter; the parameters are: {}",
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

    fn part(&self) -> Result<Part, Fault> {
        let limit = self.number("limit", 1, list::LARGEST_PAGE.into())?;
        Ok(Part {
            after: self.number("after", 0, i64::MAX)?.unwrap_or(0),
            limit: limit.and_then(|limit| u32::try_from(limit).ok()),
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

fn fault(message: &str) -> Fault {
    Fault {
        code: 500,
        message: message.to_owned(),
    }
}

/// As SIP's 400: which of the parameters, and how long it may be.
fn too_long(reason: &str) -> Fault {
    Fault {
        code: 400,
        message: reason.to_owned(),
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
            StoreError::Unavailable { .. }
            | StoreError::Deadline { .. }
            | StoreError::Held { .. } => Fault {
                code: 503,
                message: "The database does not answer; try again".to_owned(),
            },
            StoreError::TooLong { reason } => too_long(reason),
            // What PostgreSQL refused of the parameters: it says what is wrong with them.
            StoreError::Conflict { reason, .. } => fault(&reason),
            StoreError::Inconsistent { .. } | StoreError::Bug { .. } => {
                tracing::error!(%error, "an RPC command failed");
                fault("Execution failed")
            }
        }
    }
}
