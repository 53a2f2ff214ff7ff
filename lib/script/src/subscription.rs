//! `subs`: the 24 attributes of Kamailio's `$subs(attr)`.

use mlua::{IntoLua, LuaString, MetaMethod, UserData, UserDataMethods, Value};

macro_rules! attributes {
    ($($variant:ident = $name:literal,)*) => {
        /// An attribute by its name in Kamailio.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "Kamailio's names, which are columns of active_watchers")]
        pub enum Attribute { $($variant),* }

        impl Attribute {
            /// All of them, with the names by which a script reads them.
            pub const ALL: &'static [(&'static str, Attribute)] = &[$(($name, Attribute::$variant)),*];
        }
    };
}

attributes! {
    Uri = "uri",
    PresUri = "pres_uri",
    ToUser = "to_user",
    ToDomain = "to_domain",
    FromUser = "from_user",
    FromDomain = "from_domain",
    WatcherUsername = "watcher_username",
    WatcherDomain = "watcher_domain",
    Event = "event",
    EventId = "event_id",
    ToTag = "to_tag",
    FromTag = "from_tag",
    CallId = "callid",
    RemoteCSeq = "remote_cseq",
    LocalCSeq = "local_cseq",
    Contact = "contact",
    LocalContact = "local_contact",
    RecordRoute = "record_route",
    Expires = "expires",
    Status = "status",
    Reason = "reason",
    Version = "version",
    Flags = "flags",
    UserAgent = "user_agent",
}

/// The dialog of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogKey {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub to_tag: String,
    /// The subscriber's tag.
    pub from_tag: String,
}

/// What is known of a subscription. What is not is asked for ([`crate::Ask::ReadSubscription`]) when a script wants to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    key: DialogKey,
    values: [Option<Known>; Attribute::ALL.len()],
    complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Text(String),
    Number(i64),
}

// === impl Subscription ===

impl Subscription {
    /// Only its dialog is known.
    pub fn of(key: DialogKey) -> Subscription {
        let mut subscription = Subscription::default();
        subscription.set_text(Attribute::CallId, key.call_id.clone());
        subscription.set_text(Attribute::ToTag, key.to_tag.clone());
        subscription.set_text(Attribute::FromTag, key.from_tag.clone());
        subscription.key = key;
        subscription
    }

    /// Whose dialog it is.
    pub fn key(&self) -> &DialogKey {
        &self.key
    }

    /// An attribute that is a text.
    pub fn set_text(&mut self, attribute: Attribute, value: impl Into<String>) {
        self.values[attribute as usize] = Some(Known::Text(value.into()));
    }

    /// An attribute that is a number.
    pub fn set_number(&mut self, attribute: Attribute, value: impl Into<i64>) {
        self.values[attribute as usize] = Some(Known::Number(value.into()));
    }

    /// An attribute that is known to be a text.
    pub fn text(&self, attribute: Attribute) -> Option<&str> {
        match &self.values[attribute as usize] {
            Some(Known::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// An attribute that is known to be a number.
    pub fn number(&self, attribute: Attribute) -> Option<i64> {
        match self.values[attribute as usize] {
            Some(Known::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// What is not known here, as `other` knows it, or not at all: there is nobody left to be asked.
    #[must_use]
    pub fn completed(mut self, other: Option<Subscription>) -> Subscription {
        for (value, known) in self.values.iter_mut().zip(other.unwrap_or_default().values) {
            if value.is_none() {
                *value = known;
            }
        }
        self.complete = true;
        self
    }
}

impl UserData for Subscription {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        // nil: ask for it; false: nobody knows.
        methods.add_meta_method(MetaMethod::Index, |lua, this, name: LuaString| {
            let known = Attribute::ALL
                .iter()
                .find(|(known, _)| known.as_bytes() == &*name.as_bytes());
            let Some((_, attribute)) = known else {
                let name = name.to_string_lossy();
                return Err(mlua::Error::runtime(format!(
                    "subs.{name}: there is no such attribute"
                )));
            };
            match &this.values[*attribute as usize] {
                Some(Known::Text(text)) => text.as_str().into_lua(lua),
                Some(Known::Number(number)) => Ok(Value::Integer(*number)),
                None if this.complete => Ok(Value::Boolean(false)),
                None => Ok(Value::Nil),
            }
        });
    }
}
