use super::super::{Authorization, Echo, MergeInput, StateSource, TagChange, Within};
use super::*;

fn event(value: &str) -> sip::Event {
    let text = format!("OPTIONS sip:a SIP/2.0\r\nEvent: {value}\r\n\r\n");
    match sip::parse_datagram(text.into_bytes(), &sip::Limits::default()) {
        Ok(sip::Message::Request(request)) => request.event().unwrap().unwrap(),
        Err(error) => error.answerable.unwrap().event().unwrap().unwrap(),
        Ok(sip::Message::Response(_)) => panic!("a response"),
    }
}

fn declared(name: &str) -> DeclaredPackage {
    DeclaredPackage {
        name: name.to_owned(),
        parameters: Vec::new(),
        content_types: vec!["application/x-lamp+xml".to_owned()],
        merge: MergePolicy::Newest,
        authorization: false,
        default_expires: const { Within::of(120) },
        winfo: false,
    }
}

fn with(declared: Vec<DeclaredPackage>) -> Result<Registry, RegistryFault> {
    Registry::new(&PackageOptions {
        declared,
        ..PackageOptions::default()
    })
}

#[test]
fn finds_the_package_that_says_most() {
    let registry = Registry::standard();
    for (value, expected) in [
        ("presence", Some("presence")),
        ("presence;id=1", Some("presence")),
        ("presence.winfo", Some("presence.winfo")),
        ("presence.winfo.winfo", None),
        ("Presence", None),
        ("dialog", Some("dialog")),
        ("dialog;call-id=1;from-tag=2;to-tag=3", Some("dialog")),
        ("dialog;id=7;sla", Some("dialog;sla")),
        ("dialog;sla=1", Some("dialog;sla")),
        ("dialog;ma", Some("dialog")),
        ("dialog.winfo", Some("dialog.winfo")),
        ("message-summary;unknown=\"x\"", Some("message-summary")),
        ("reg", Some("reg")),
        (
            "ua-profile;profile-type=device;vendor=\"a\"",
            Some("ua-profile"),
        ),
    ] {
        assert_eq!(
            registry.find(&event(value)).map(|package| &*package.name),
            expected,
            "{value}"
        );
    }
    assert!(registry.find_name("dialog;sla").is_some() && registry.find_name("sla").is_none());
}

#[test]
fn all_packages_are_announced_without_parameters() {
    assert_eq!(
        Registry::standard().allow_events(),
        "presence, presence.winfo, dialog, dialog.winfo, message-summary, message-summary.winfo, conference, \
         conference.winfo, reg, reg.winfo, ua-profile, ua-profile.winfo, xcap-diff, xcap-diff.winfo, as-feature-event, \
         as-feature-event.winfo"
    );
}

#[test]
fn packages_are_what_the_table_of_the_model_says() {
    let registry = Registry::standard();
    for (name, content_type, authorization, source) in [
        (
            "presence",
            "application/pidf+xml",
            Authorization::Rules,
            StateSource::Publications,
        ),
        (
            "presence.winfo",
            "application/watcherinfo+xml",
            Authorization::Presentity,
            StateSource::Watchers,
        ),
        (
            "dialog",
            "application/dialog-info+xml",
            Authorization::Open,
            StateSource::Publications,
        ),
        (
            "dialog;sla",
            "application/dialog-info+xml",
            Authorization::Line,
            StateSource::Publications,
        ),
        (
            "message-summary",
            "application/simple-message-summary",
            Authorization::Open,
            StateSource::Publications,
        ),
        (
            "conference",
            "application/conference-info+xml",
            Authorization::Open,
            StateSource::Publications,
        ),
        (
            "reg",
            "application/reginfo+xml",
            Authorization::Open,
            StateSource::Publications,
        ),
        (
            "ua-profile",
            "text/xml",
            Authorization::Open,
            StateSource::Publications,
        ),
        (
            "xcap-diff",
            "application/xcap-diff+xml",
            Authorization::Open,
            StateSource::Publications,
        ),
        (
            "as-feature-event",
            "application/x-as-feature-event+xml",
            Authorization::Open,
            StateSource::Publications,
        ),
    ] {
        let package = registry.find_name(name).unwrap();
        assert_eq!(package.notify_content_type, content_type);
        assert_eq!(
            (package.authorization, package.source),
            (authorization, source),
            "{name}"
        );
        assert_eq!(
            package.takes(content_type),
            source == StateSource::Publications,
            "{name}"
        );
        assert_eq!(package.default_expires_s, 3600);
        let is_sla = name == "dialog;sla";
        assert_eq!(package.tag_change == TagChange::Kept, is_sla);
        assert_eq!(package.echo == Echo::Withheld, is_sla);
    }
    assert_eq!(
        registry
            .find_name("dialog.winfo")
            .unwrap()
            .watched_package()
            .as_deref(),
        Some("dialog")
    );
    assert_eq!(
        registry.find_name("dialog").unwrap().watched_package(),
        None
    );
}

/// Phones choke on an empty NOTIFY: where there is a neutral document it is what the package's own check lets pass.
#[test]
fn neutral_documents_are_documents() {
    let registry = Registry::standard();
    for package in registry.packages() {
        let input = MergeInput {
            presentity: "sip:a&b@example.org",
            ..MergeInput::default()
        };
        let document = package.merge(&input);
        let has_none = ["ua-profile", "xcap-diff", "as-feature-event"].contains(&&*package.name);
        assert_eq!(document.is_none(), has_none, "{}", package.name);
        let Some(document) = document else { continue };
        assert_eq!(document.content_type, package.notify_content_type);
        if package.source == StateSource::Publications {
            assert_eq!(package.check(&document.body), Ok(()), "{}", package.name);
        }
    }
}

#[test]
fn packages_can_be_switched_off() {
    let mut options = PackageOptions::default();
    options.presence.disable_winfo = true;
    options.sla.disable_bla = true;
    options.xcap_diff.disable_xcapdiff = true;
    let registry = Registry::new(&options).unwrap();
    assert_eq!(
        registry.allow_events(),
        "presence, dialog, message-summary, conference, reg, ua-profile, as-feature-event"
    );
    assert!(registry.find_name("dialog;sla").is_none());
}

#[test]
fn packages_can_be_declared() {
    let mut lamp = declared("lamp");
    lamp.parameters = vec!["door".to_owned()];
    lamp.winfo = true;
    let registry = with(vec![lamp, declared("bell")]).unwrap();
    let package = registry.find(&event("lamp;door;id=1")).unwrap();
    assert_eq!(package.name, "lamp;door");
    assert!(package.takes("application/x-lamp+xml") && !package.takes("text/plain"));
    assert_eq!(package.default_expires_s, 120);
    assert!(
        registry.find(&event("lamp")).is_none(),
        "its parameter is part of its name"
    );
    let winfo = registry.find_name("lamp.winfo;door").unwrap();
    assert_eq!(winfo.watched_package().as_deref(), Some("lamp;door"));
    assert!(registry.find_name("bell.winfo").is_none());
    assert!(registry.accept().contains("application/x-lamp+xml"));
}

#[test]
fn faults_in_declarations_are_found() {
    let bad = |change: fn(&mut DeclaredPackage)| {
        let mut package = declared("lamp");
        change(&mut package);
        with(vec![package]).unwrap_err()
    };
    let name = |text: &str| RegistryFault::BadName(text.to_owned());
    assert_eq!(bad(|p| p.name = String::new()), name(""));
    assert_eq!(bad(|p| p.name = "a b".to_owned()), name("a b"));
    assert_eq!(
        bad(|p| p.name = "lamp.winfo".to_owned()),
        name("lamp.winfo")
    );
    assert_eq!(
        bad(|p| p.parameters = vec!["a;b".to_owned()]),
        name("lamp;a;b")
    );
    assert_eq!(
        bad(|p| p.name = "dialog".to_owned()),
        RegistryFault::Twice("dialog".to_owned())
    );
    let content_type = || RegistryFault::BadContentType("lamp".to_owned());
    assert_eq!(bad(|p| p.content_types.clear()), content_type());
    assert_eq!(
        bad(|p| p.content_types = vec!["xml".to_owned()]),
        content_type()
    );
    assert_eq!(
        bad(|p| p.content_types = vec!["Text/plain".to_owned()]),
        content_type()
    );
    assert_eq!(
        bad(|p| {
            p.content_types = vec!["text/plain".to_owned()];
            p.merge = MergePolicy::All;
        }),
        RegistryFault::NotMergeable("lamp".to_owned())
    );
}

#[test]
fn what_is_switched_off_is_nothing_else() {
    let mut options = PackageOptions::default();
    options.sla.disable_bla = true;
    options.feature_event.disable = true;
    let registry = Registry::new(&options).unwrap();
    for value in [
        "dialog;sla",
        "dialog;id=7;sla",
        "dialog;sla=1",
        "as-feature-event",
        "as-feature-event.winfo",
    ] {
        assert!(registry.find(&event(value)).is_none(), "{value}");
    }
    for value in ["dialog", "dialog;ma", "dialog;id=7"] {
        assert!(registry.find(&event(value)).is_some(), "{value}");
    }
    // A name that is free may be declared.
    options.declared = vec![declared("as-feature-event")];
    let registry = Registry::new(&options).unwrap();
    assert!(registry.find(&event("as-feature-event")).is_some());
}
