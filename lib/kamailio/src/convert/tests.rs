use super::*;

fn row() -> KamailioDialog {
    KamailioDialog {
        id: 7,
        presentity_uri: "sip:Bob@Example.ORG".to_owned(),
        watcher_username: "alice".to_owned(),
        watcher_domain: "example.org".to_owned(),
        to_user: "Bob".to_owned(),
        to_domain: "Example.ORG".to_owned(),
        event: "presence".to_owned(),
        to_tag: "10a.b-1".to_owned(),
        from_tag: "f1".to_owned(),
        call_id: "c1@192.0.2.1".to_owned(),
        local_cseq: 4,
        remote_cseq: 11,
        contact: "sip:alice@192.0.2.1:5062;transport=udp".to_owned(),
        record_route: vec!["<sip:a;lr>".to_owned(), "<sip:b;lr>".to_owned()],
        expires: 1600,
        status: 1,
        version: 5,
        local_contact: "sip:192.0.2.9:5060".to_owned(),
        from_user: "alice".to_owned(),
        from_domain: "example.org".to_owned(),
        updated: -1,
        now: 1000,
        ..KamailioDialog::default()
    }
}

fn converter(registry: &Registry) -> Converter<'_> {
    Converter {
        registry,
        fold_case: false,
        local_contact: None,
        route: None,
        notify: false,
        cseq_gap: 0,
    }
}

#[test]
fn a_dialog_goes_on_where_it_was() {
    let registry = Registry::standard();
    let dialog = converter(&registry).dialog(row()).unwrap();
    assert_eq!(dialog.presentity_uri, "sip:Bob@example.org");
    assert_eq!((dialog.local_cseq, dialog.version), (5, 5));
    assert_eq!(dialog.record_route, ["<sip:a;lr>", "<sip:b;lr>"]);
    assert_eq!(dialog.contact, "sip:alice@192.0.2.1:5062;transport=udp");
    assert_eq!(dialog.local_uri, "<sip:Bob@Example.ORG>");
    assert_eq!(dialog.remote_uri, "<sip:alice@example.org>");
    assert_eq!(dialog.local_contact, "sip:192.0.2.9:5060");
    assert_eq!((dialog.expires, dialog.granted_s), (1600, 600));
    assert!(!dialog.owed);

    let pending = KamailioDialog {
        updated: 12,
        ..row()
    };
    assert!(converter(&registry).dialog(pending).unwrap().owed);
    let interrupted = KamailioDialog {
        interrupted: true,
        ..row()
    };
    let dialog = converter(&registry).dialog(interrupted).unwrap();
    assert_eq!((dialog.local_cseq, dialog.owed), (6, true));
    let with_all = Converter {
        local_contact: Some("sip:new.example.org".to_owned()),
        route: Some(route("sip:edge:5070;transport=tcp").unwrap()),
        notify: true,
        cseq_gap: 1,
        fold_case: true,
        ..converter(&registry)
    };
    let dialog = with_all.dialog(row()).unwrap();
    assert_eq!((dialog.local_cseq, dialog.owed), (6, true));
    assert_eq!(dialog.local_contact, "sip:new.example.org");
    assert_eq!(dialog.presentity_uri, "sip:bob@example.org");
    let routes = [
        "<sip:edge:5070;transport=tcp;lr>",
        "<sip:a;lr>",
        "<sip:b;lr>",
    ];
    assert_eq!(dialog.record_route, routes);
    assert_eq!(route("sip:edge;lr").unwrap(), "<sip:edge;lr>");
    for bad in ["edge", "tel:+1", "sip:edge?a=b", "sip:a>b"] {
        assert!(route(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_over_or_broken_is_named() {
    let registry = Registry::standard();
    type Breaking = fn(&mut KamailioDialog);
    let table: [(Breaking, &str); 14] = [
        (|row| row.expires = 1000, "it expired 0 s ago"),
        (|row| row.expires = -5, "its expires is not a time"),
        (|row| row.status = 3, "it has ended"),
        (|row| row.status = 9, "there is no status 9"),
        (
            |row| row.event = "x\n".to_owned(),
            "the event package x\\n is not served here",
        ),
        (|row| row.call_id.clear(), "its Call-ID is not valid"),
        (
            |row| row.from_tag = "a b".to_owned(),
            "its from_tag is not valid",
        ),
        (
            |row| row.contact = "alice".to_owned(),
            "its contact is not a SIP URI",
        ),
        (
            |row| row.contact = "tel:+1".to_owned(),
            "its contact is not a SIP URI",
        ),
        (
            |row| row.record_route[0] = "<sip:a;lr".to_owned(),
            "its record_route is not a list of SIP URIs",
        ),
        (
            |row| row.to_user = "a> b".to_owned(),
            "its to_user is not valid",
        ),
        (
            |row| row.local_cseq = -1,
            "its local_cseq is not valid, or at its maximum",
        ),
        (
            |row| row.local_cseq = (1 << 31) - 2,
            "its local_cseq is not valid, or at its maximum",
        ),
        (
            |row| row.presentity_uri = "http://x".to_owned(),
            "its presentity is not a URI of a user",
        ),
    ];
    for (breaking, reason) in table {
        let mut row = row();
        breaking(&mut row);
        assert_eq!(
            converter(&registry).dialog(row).unwrap_err().to_string(),
            reason
        );
    }
}

#[test]
fn publications_and_decisions_are_checked() {
    let registry = Registry::standard();
    let checked = converter(&registry);
    let body = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.org\"/>";
    let row = KamailioPublication {
        id: 3,
        username: "bob".to_owned(),
        domain: "Example.org".to_owned(),
        event: "presence".to_owned(),
        etag: "a.1.2.3.4".to_owned(),
        expires: -1,
        body: body.into(),
        now: 1000,
        ..KamailioPublication::default()
    };
    let taken = checked.publication(row.clone()).unwrap();
    assert_eq!(taken.presentity_uri, "sip:bob@example.org");
    assert_eq!((taken.source_id, taken.domain.as_str()), (3, "example.org"));
    for (row, reason) in [
        (
            KamailioPublication {
                expires: 999,
                ..row.clone()
            },
            "it expired 1 s ago",
        ),
        (
            KamailioPublication {
                body: "<presence".into(),
                ..row.clone()
            },
            "its body is not a document of that event package",
        ),
        (
            KamailioPublication {
                etag: String::new(),
                ..row.clone()
            },
            "it has no entity-tag",
        ),
        (
            KamailioPublication {
                domain: "a b".to_owned(),
                ..row
            },
            "its presentity is not a URI of a user",
        ),
    ] {
        assert_eq!(checked.publication(row).unwrap_err().to_string(), reason);
    }
    // A decision is about whom a SUBSCRIBE of the same watcher is from.
    for (user, domain, fold_case, expected) in [
        ("%45ve", "Example.ORG", false, ("Eve", "example.org")),
        ("%45VE", "example.org.", true, ("eve", "example.org")),
        ("+1-555", "", false, ("+1555", "")),
    ] {
        let decision = KamailioDecision {
            presentity_uri: "sip:bob@example.org".to_owned(),
            watcher_username: user.to_owned(),
            watcher_domain: domain.to_owned(),
            event: "presence".to_owned(),
            status: 1,
            ..KamailioDecision::default()
        };
        let converter = Converter {
            fold_case,
            ..converter(&registry)
        };
        let taken = converter.decision(decision.clone()).unwrap();
        assert_eq!(
            (
                taken.watcher_username.as_str(),
                taken.watcher_domain.as_str()
            ),
            expected
        );
        let nobody = KamailioDecision {
            watcher_domain: "a b".to_owned(),
            ..decision
        };
        assert_eq!(
            converter.decision(nobody).unwrap_err().to_string(),
            "its watcher is not a URI of a user"
        );
    }
    let decision = KamailioDecision {
        presentity_uri: "sip:bob@example.org".to_owned(),
        event: "presence".to_owned(),
        status: 5,
        ..KamailioDecision::default()
    };
    assert_eq!(
        checked.decision(decision).unwrap_err().to_string(),
        "there is no status 5"
    );
}
