//! What a call asks of the process around it, and the answers.

use events::{Finding, Inquiry};
use mlua::{AnyUserData, IntoLuaMulti, Lua, LuaString, MultiValue, Result, Value};

use crate::subscription::Subscription;

/// What a call waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `handle_publish([sender_uri])`
    HandlePublish {
        /// Who is not told; a URI or a name-addr.
        sender_uri: Option<String>,
        /// `xavp.<xavp_cfg>.priority`
        priority: Option<i64>,
    },
    /// `handle_subscribe([watcher_uri])`
    HandleSubscribe {
        /// Who watches, in place of From; a URI or a name-addr.
        watcher_uri: Option<String>,
    },
    /// `default_route()`: what becomes of the request where there is no script.
    DefaultRoute {
        /// `xavp.<xavp_cfg>.priority`
        priority: Option<i64>,
    },
    /// `request:reply(code, reason)`
    Reply {
        /// A final status code.
        code: u16,
        /// Its own reason phrase, if it is not to be another.
        reason: Option<String>,
    },
    /// What only the database knows.
    Database(Inquiry),
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Kamailio's return code.
    Code(i64),
    /// The same, and the subscription that was handled.
    Handled(i64, Option<Box<Subscription>>),
    /// What the database says.
    Database(Finding),
    /// It makes no sense here. Raised in the script where it asked.
    Wrong(String),
}

// === impl Ask ===

impl Ask {
    /// Reads what a call has yielded, and the `subs` that are to be completed by the answer. A text is what is wrong with it.
    pub(crate) fn read(
        mut values: MultiValue,
    ) -> std::result::Result<(Ask, Option<AnyUserData>), String> {
        let what = match values.pop_front() {
            Some(Value::String(what)) => what.to_string_lossy(),
            _ => return Err("a call cannot yield".to_owned()),
        };
        let mut arguments = Arguments {
            function: &what,
            position: 0,
            values,
        };
        let ask = match what.as_str() {
            "handle_publish" => Ask::HandlePublish {
                sender_uri: arguments.uri_or_nothing()?,
                priority: arguments.number_or_nothing()?,
            },
            "handle_subscribe" => Ask::HandleSubscribe {
                watcher_uri: arguments.uri_or_nothing()?,
            },
            "default_route" => Ask::DefaultRoute {
                priority: arguments.number_or_nothing()?,
            },
            "reply" => {
                let code = arguments.number()?;
                let code = u16::try_from(code).ok();
                Ask::Reply {
                    code: code
                        .filter(|code| (200..=699).contains(code))
                        .ok_or("reply: the code must be that of a final answer, 200 to 699")?,
                    reason: arguments.text_or_nothing()?,
                }
            }
            "pres_auth_status" => Ask::Database(Inquiry::AuthStatus {
                watcher_uri: arguments.text()?,
                presentity_uri: arguments.text()?,
            }),
            "pres_has_subscribers" => Ask::Database(Inquiry::HasSubscribers {
                presentity_uri: arguments.text()?,
                event: arguments.text()?,
            }),
            "pres_refresh_watchers" => Ask::Database(Inquiry::RefreshWatchers {
                uri: arguments.text()?,
                event: arguments.text()?,
                kind: i32::try_from(arguments.number()?)
                    .ok()
                    .filter(|kind| (0..=2).contains(kind))
                    .ok_or("pres_refresh_watchers: type must be 0, 1 or 2")?,
                file: match (arguments.text_or_nothing()?, arguments.text_or_nothing()?) {
                    (Some(uri), Some(name)) => Some((uri, name)),
                    _ => None,
                },
            }),
            "pres_update_watchers" => Ask::Database(Inquiry::UpdateWatchers {
                uri: arguments.text()?,
                event: arguments.text()?,
            }),
            "read_subscription" => match arguments.values.pop_front() {
                Some(Value::UserData(subs)) => {
                    let dialog = subs.borrow::<Subscription>().map(|known| known.dialog());
                    let dialog = dialog.map_err(|error| error.to_string())?;
                    return Ok((Ask::Database(Inquiry::Subscription(dialog)), Some(subs)));
                }
                _ => return Err("subs: there is no subscription to read".to_owned()),
            },
            _ => return Err("a call cannot yield".to_owned()),
        };
        Ok((ask, None))
    }
}

/// The arguments of one call, taken from the left.
struct Arguments<'a> {
    function: &'a str,
    position: usize,
    values: MultiValue,
}

impl Arguments<'_> {
    fn next(&mut self) -> Value {
        self.position += 1;
        self.values.pop_front().unwrap_or(Value::Nil)
    }

    fn wrong(&self, wanted: &str, found: &Value) -> String {
        format!(
            "{}: argument {} must be {wanted}, not {}",
            self.function,
            self.position,
            found.type_name()
        )
    }

    fn text_or_nothing(&mut self) -> std::result::Result<Option<String>, String> {
        match self.next() {
            Value::Nil => Ok(None),
            Value::String(text) => self.plain(&text).map(Some),
            other => Err(self.wrong("a text", &other)),
        }
    }

    /// A URI, most likely out of a header of the request. What is not UTF-8 text is the sender's fault and not the script's, so it
    /// comes through as a text that is not a URI.
    fn uri_or_nothing(&mut self) -> std::result::Result<Option<String>, String> {
        match self.next() {
            Value::Nil => Ok(None),
            Value::String(text) => Ok(Some(text.to_string_lossy().replace('\0', "\u{fffd}"))),
            other => Err(self.wrong("a text", &other)),
        }
    }

    fn text(&mut self) -> std::result::Result<String, String> {
        match self.next() {
            Value::String(text) => self.plain(&text),
            other => Err(self.wrong("a text", &other)),
        }
    }

    /// PostgreSQL takes neither NUL nor anything that is not UTF-8.
    fn plain(&self, text: &LuaString) -> std::result::Result<String, String> {
        match text.to_str() {
            Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
            _ => Err(format!(
                "{}: argument {} is not UTF-8 text",
                self.function, self.position
            )),
        }
    }

    fn number_or_nothing(&mut self) -> std::result::Result<Option<i64>, String> {
        match self.next() {
            Value::Nil => Ok(None),
            Value::Integer(number) => Ok(Some(number)),
            other => Err(self.wrong("a whole number", &other)),
        }
    }

    fn number(&mut self) -> std::result::Result<i64, String> {
        match self.next() {
            Value::Integer(number) => Ok(number),
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                Ok(number as i64)
            }
            other => Err(self.wrong("a whole number", &other)),
        }
    }
}

// === impl Told ===

impl Told {
    /// What the yielding function is resumed with: whether it makes sense, and the values or the reason. What is stored goes into the
    /// `subs` that were asked about.
    pub(crate) fn write(self, lua: &Lua, subs: Option<AnyUserData>) -> Result<MultiValue> {
        match self {
            Told::Code(code) | Told::Database(Finding::Code(code)) => {
                (true, code).into_lua_multi(lua)
            }
            Told::Handled(code, None) => (true, code).into_lua_multi(lua),
            Told::Handled(code, Some(subscription)) => {
                (true, code, *subscription).into_lua_multi(lua)
            }
            Told::Database(Finding::Subscription(stored)) => {
                if let Some(subs) = subs {
                    subs.borrow_mut::<Subscription>()?.complete(stored);
                }
                true.into_lua_multi(lua)
            }
            Told::Wrong(reason) => (false, reason).into_lua_multi(lua),
        }
    }
}
