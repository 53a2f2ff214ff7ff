//! `subs`: the 24 attributes of Kamailio's `$subs(attr)`.

use events::{DialogId, StoredSubscription};
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

/// What is known of a subscription. What is not is asked for ([`events::Inquiry::Subscription`]) when a script wants to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
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
    pub fn of(dialog: DialogId) -> Subscription {
        let mut subscription = Subscription {
            values: Default::default(),
            complete: false,
        };
        subscription.set_text(Attribute::CallId, dialog.call_id);
        subscription.set_text(Attribute::ToTag, dialog.to_tag);
        subscription.set_text(Attribute::FromTag, dialog.from_tag);
        subscription
    }

    /// Whose dialog it is.
    pub(crate) fn dialog(&self) -> DialogId {
        let text = |attribute| match &self.values[attribute as usize] {
            Some(Known::Text(text)) => text.clone(),
            _ => String::new(),
        };
        DialogId {
            call_id: text(Attribute::CallId),
            to_tag: text(Attribute::ToTag),
            from_tag: text(Attribute::FromTag),
        }
    }

    /// An attribute that is a text.
    pub fn set_text(&mut self, attribute: Attribute, value: impl Into<String>) {
        self.values[attribute as usize] = Some(Known::Text(value.into()));
    }

    /// An attribute that is a number.
    pub fn set_number(&mut self, attribute: Attribute, value: impl Into<i64>) {
        self.values[attribute as usize] = Some(Known::Number(value.into()));
    }

    /// What is not known here is as it is stored, or not at all: there is nobody left to be asked.
    pub(crate) fn complete(&mut self, stored: Option<Box<StoredSubscription>>) {
        self.complete = true;
        let Some(stored) = stored else { return };
        for (attribute, text) in [
            (Attribute::Uri, stored.presentity_uri.clone()),
            (Attribute::PresUri, stored.presentity_uri),
            (Attribute::ToUser, stored.to_user),
            (Attribute::ToDomain, stored.to_domain),
            (Attribute::FromUser, stored.from_user),
            (Attribute::FromDomain, stored.from_domain),
            (Attribute::WatcherUsername, stored.watcher_username),
            (Attribute::WatcherDomain, stored.watcher_domain),
            (Attribute::Event, stored.event),
            (Attribute::EventId, stored.event_id),
            (Attribute::Contact, stored.contact),
            (Attribute::LocalContact, stored.local_contact),
            (Attribute::RecordRoute, stored.record_route),
            (Attribute::Reason, stored.reason),
            (Attribute::UserAgent, stored.user_agent),
        ] {
            self.learn(attribute, Known::Text(text));
        }
        for (attribute, number) in [
            (Attribute::RemoteCSeq, stored.remote_cseq),
            (Attribute::LocalCSeq, stored.local_cseq),
            (Attribute::Expires, stored.expires_s),
            (Attribute::Version, stored.version),
            (Attribute::Flags, stored.flags),
            (Attribute::Status, stored.status),
        ] {
            self.learn(attribute, Known::Number(number));
        }
    }

    fn learn(&mut self, attribute: Attribute, stored: Known) {
        self.values[attribute as usize].get_or_insert(stored);
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
