//! What the phones publish, and what they read of what they are shown.

use system_tests::phone::Notify;

/// `dialog-info` with one dialog, as a desk phone writes it: its own address as entity, a version that nobody needs.
pub(crate) fn dialog_info(id: &str, call_id: &str, state: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"7\" state=\"full\" \
         entity=\"sip:bob@192.0.2.7:5060\"><dialog id=\"{id}\" call-id=\"{call_id}\" local-tag=\"l\" remote-tag=\"r\" \
         direction=\"recipient\"><state>{state}</state></dialog></dialog-info>"
    )
}

/// Id and state of each dialog that a watcher is shown, in order.
pub(crate) fn dialogs(notify: &Notify) -> Vec<(String, String)> {
    elements(notify, "dialog", |node| {
        let state = node
            .children()
            .find(|child| child.tag_name().name() == "state");
        (
            node.attribute("id").unwrap_or_default().to_owned(),
            state
                .and_then(|state| state.text())
                .unwrap_or_default()
                .to_owned(),
        )
    })
}

/// `reginfo` with one registration of `aor`, and one contact in it.
pub(crate) fn reginfo(aor: &str, contact: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"3\" state=\"full\">\
         <registration aor=\"{aor}\" id=\"a7\" state=\"active\"><contact id=\"76\" state=\"active\" event=\"registered\">\
         <uri>{contact}</uri></contact></registration></reginfo>"
    )
}

/// Each registration: its address, its state and the URIs of its contacts.
pub(crate) fn registrations(notify: &Notify) -> Vec<(String, String, Vec<String>)> {
    elements(notify, "registration", |node| {
        let mut uris: Vec<String> = node
            .descendants()
            .filter(|child| child.tag_name().name() == "uri")
            .map(|uri| uri.text().unwrap_or_default().to_owned())
            .collect();
        uris.sort();
        (
            node.attribute("aor").unwrap_or_default().to_owned(),
            node.attribute("state").unwrap_or_default().to_owned(),
            uris,
        )
    })
}

/// `conference-info` with one user.
pub(crate) fn conference_info(entity: &str, user: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"{entity}\" \
         state=\"full\" version=\"41\"><conference-state><user-count>1</user-count><active>true</active></conference-state>\
         <users><user entity=\"{user}\" state=\"full\"/></users></conference-info>"
    )
}

/// The users of a conference.
pub(crate) fn users(notify: &Notify) -> Vec<String> {
    elements(notify, "user", |node| {
        node.attribute("entity").unwrap_or_default().to_owned()
    })
}

/// A message summary of an account.
pub(crate) fn summary(account: &str, new: u32, old: u32) -> String {
    let waiting = if new > 0 { "yes" } else { "no" };
    format!(
        "Messages-Waiting: {waiting}\r\nMessage-Account: {account}\r\nVoice-Message: {new}/{old} (0/0)\r\n"
    )
}

/// What each element of that name gives, in order; nothing for a NOTIFY without body.
fn elements<T>(notify: &Notify, name: &str, read: impl Fn(roxmltree::Node<'_, '_>) -> T) -> Vec<T> {
    let Ok(tree) = roxmltree::Document::parse(notify.body()) else {
        return Vec::new();
    };
    tree.descendants()
        .filter(|node| node.tag_name().name() == name)
        .map(read)
        .collect()
}
