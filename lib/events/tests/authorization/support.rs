//! Rules in short form, watchers, and what they see.

use events::authorization::evaluate::{decide, next_change};
use events::authorization::*;
use events::{Document, PublishedBody};

pub(crate) const NS: &str = "xmlns='urn:ietf:params:xml:ns:common-policy' xmlns:cr='urn:ietf:params:xml:ns:common-policy' \
    xmlns:pr='urn:ietf:params:xml:ns:pres-rules' xmlns:ocp='urn:oma:xml:xdm:common-policy' \
    xmlns:op='urn:oma:xml:prs:pres-rules' xmlns:x='urn:x'";
pub(crate) const PRESENTITY: &str = "sip:presentity@example.com";

/// A ruleset of these rules.
pub(crate) fn ruleset(rules: &str) -> String {
    format!("<cr:ruleset {NS}>{rules}</cr:ruleset>")
}

/// A rule with these conditions, handling and transformations.
pub(crate) fn rule(conditions: &str, handling: &str, transformations: &str) -> String {
    format!(
        "<cr:rule id='r'><cr:conditions>{conditions}</cr:conditions>\
        <cr:actions><pr:sub-handling>{handling}</pr:sub-handling></cr:actions>\
        <cr:transformations>{transformations}</cr:transformations></cr:rule>"
    )
}

pub(crate) fn parse(rules: &str) -> RuleSet {
    let document = ruleset(rules);
    RuleSet::parse(document.as_bytes(), false).unwrap_or_else(|fault| panic!("{fault}: {document}"))
}

pub(crate) fn aor(uri: &str) -> sip::Aor {
    sip::Aor::from_uri(&sip::Uri::parse(uri).unwrap(), false).unwrap()
}

/// Somebody, now, somewhere.
#[derive(Debug)]
pub(crate) struct Scene {
    pub watcher: Watcher,
    pub now: Moment,
    pub sphere: Option<String>,
    pub lists: Lists,
}

impl Scene {
    pub(crate) fn of(watcher: &str) -> Self {
        let watcher = match watcher {
            "anonymous" => Watcher::Anonymous,
            uri => Watcher::Identified(aor(uri)),
        };
        Self {
            watcher,
            now: Moment::from_epoch_us(0),
            sphere: None,
            lists: Lists::default(),
        }
    }

    pub(crate) fn at(mut self, time: &str) -> Self {
        self.now = Moment::parse(time).unwrap();
        self
    }

    pub(crate) fn within(mut self, sphere: &str) -> Self {
        self.sphere = Some(sphere.to_owned());
        self
    }

    pub(crate) fn with_list(mut self, anchor: &str, members: &[&str]) -> Self {
        self.lists
            .insert(anchor, members.iter().map(|uri| aor(uri)).collect());
        self
    }

    pub(crate) fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            watcher: &self.watcher,
            now: self.now,
            sphere: self.sphere.as_deref(),
            lists: &self.lists,
        }
    }

    pub(crate) fn decide(&self, rules: &RuleSet) -> Decision {
        decide(
            &AuthorizationPolicy::default(),
            &Rules::Stored(rules.clone()),
            &self.circumstances(),
        )
    }

    pub(crate) fn next_change(&self, rules: &RuleSet) -> Option<Moment> {
        next_change(
            &AuthorizationPolicy::default(),
            &Rules::Stored(rules.clone()),
            &self.circumstances(),
        )
    }
}

pub(crate) fn handling(rules: &str, scene: &Scene) -> &'static str {
    scene.decide(&parse(rules)).handling.name()
}

/// The view that transformations provide.
pub(crate) fn view(transformations: &str) -> View {
    Scene::of("sip:a@b")
        .decide(&parse(&rule("", "allow", transformations)))
        .view
}

pub(crate) fn merged(bodies: &[&str]) -> Document {
    let rows: Vec<_> = bodies
        .iter()
        .zip(1..)
        .map(|(body, id)| PublishedBody {
            id,
            content_type: "",
            body: body.as_bytes(),
        })
        .collect();
    events::document::pidf::merge(PRESENTITY, &rows)
}

pub(crate) fn apply(view: &View, document: &Document) -> String {
    let shown = view.apply(PRESENTITY, document);
    assert_eq!(shown.content_type, "application/pidf+xml");
    let text = String::from_utf8(shown.body.to_vec()).unwrap();
    roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    text
}
