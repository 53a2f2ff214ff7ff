//! The packages that are served.

use std::borrow::Cow;
use std::sync::Arc;

use super::all_options::PackageOptions;
use super::{
    DeclaredPackage, EventPackage, MergePolicy, as_feature_event, conference, declared, dialog,
    dialog_sla, message_summary, presence, reg, ua_profile, winfo, xcap_diff,
};

/// The event packages that are served.
#[derive(Debug, Clone)]
pub struct Registry {
    packages: Vec<EventPackage>,
    /// Names of ours that are switched off. They stay what they are: without `dialog;sla`, such a request is not for `dialog`.
    off: Vec<Cow<'static, str>>,
    allow_events: String,
}

/// A declared package that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryFault {
    /// The name, or a parameter, is not a token, or is empty, or looks like watcher information.
    #[error("`{0}` cannot be the name of an event package")]
    BadName(String),
    /// There is a package of that name already.
    #[error("event package `{0}` is declared twice")]
    Twice(String),
    /// No content type, or one that is not `type/subtype` in lower case.
    #[error("event package `{0}` needs content types like application/x+xml, in lower case")]
    BadContentType(String),
    /// Only XML can be merged.
    #[error("event package `{0}` is not XML: only its newest publication can be shown")]
    NotMergeable(String),
}

impl Registry {
    /// The packages that we bring along, with default options.
    pub fn standard() -> Self {
        let (packages, off) = built_in(&Arc::new(PackageOptions::default()));
        Self {
            off,
            ..Self::of(packages)
        }
    }

    /// The packages that we bring along and those that are declared, by their options.
    ///
    /// # Errors
    /// Names the declared package that cannot be served.
    pub fn new(options: &PackageOptions) -> Result<Self, RegistryFault> {
        let options = Arc::new(options.clone());
        let (mut packages, off) = built_in(&options);
        for declared in &options.declared {
            require_servable(declared)?;
            let package = declared::package(declared, &options);
            if packages.iter().any(|known| known.name == package.name) {
                return Err(RegistryFault::Twice(package.name.into_owned()));
            }
            let winfo = (declared.winfo && !options.presence.disable_winfo)
                .then(|| winfo::package(&package, &options));
            packages.push(package);
            packages.extend(winfo);
        }
        Ok(Self {
            off,
            ..Self::of(packages)
        })
    }

    /// A registry of these packages, in the order of Allow-Events.
    pub fn of(packages: Vec<EventPackage>) -> Self {
        // RFC 6665 section 8.4: "Allow-Events = event-type *(COMMA event-type)", without parameters.
        let mut types: Vec<&str> = Vec::new();
        for package in &packages {
            let name = package.name.split(';').next().unwrap_or_default();
            if !types.contains(&name) {
                types.push(name);
            }
        }
        let allow_events = types.join(", ");
        Self {
            packages,
            off: Vec::new(),
            allow_events,
        }
    }

    /// The package that an Event header names.
    ///
    /// Names are compared octet by octet (RFC 6665 section 8.2.1). Parameters that are part of no package's name, `id`
    /// among them, are no reason to refuse it; of several packages that fit, the one with most parameters is meant, also if it
    /// is switched off.
    pub fn find(&self, event: &sip::Event) -> Option<&EventPackage> {
        let fits = |name: &str| {
            let mut parts = name.split(';');
            parts.next() == Some(event.package.as_str())
                && parts.all(|wanted| event.params.find(wanted).is_some())
        };
        // Of equals the last: a name that is off may be declared.
        let off = self.off.iter().map(|name| (name, None));
        off.chain(self.packages.iter().map(|p| (&p.name, Some(p))))
            .filter(|(name, _)| fits(name))
            .max_by_key(|(name, _)| name.split(';').count())?
            .1
    }

    /// The package with this name, as in column `event`.
    pub fn find_name(&self, name: &str) -> Option<&EventPackage> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// The packages, in the order of Allow-Events.
    pub fn packages(&self) -> impl Iterator<Item = &EventPackage> {
        self.packages.iter()
    }

    /// Their names, as in column `event`.
    pub fn names(&self) -> Vec<String> {
        self.packages()
            .map(|p| p.name.clone().into_owned())
            .collect()
    }

    /// The body types that can be published, for the Accept of an OPTIONS (RFC 3261 section 11.2).
    pub fn accept(&self) -> String {
        let mut types: Vec<&str> = Vec::new();
        for kind in self
            .packages
            .iter()
            .flat_map(|package| &package.publish_content_types)
        {
            if !types.contains(&kind.as_ref()) {
                types.push(kind);
            }
        }
        types.join(", ")
    }

    /// The value of Allow-Events.
    pub fn allow_events(&self) -> &str {
        &self.allow_events
    }
}

/// The packages that have a file here, each followed by its watcher information; and the names of those that are switched off.
fn built_in(options: &Arc<PackageOptions>) -> (Vec<EventPackage>, Vec<Cow<'static, str>>) {
    let candidates = [
        (
            options.presence.disable_presence,
            presence::package(options),
        ),
        (options.dialog.disable, dialog::package(options)),
        (options.sla.disable_bla, dialog_sla::package(options)),
        (
            options.message_summary.disable,
            message_summary::package(options),
        ),
        (options.conference.disable, conference::package(options)),
        (options.reginfo.disable, reg::package(options)),
        (options.profile.disable, ua_profile::package(options)),
        (
            options.xcap_diff.disable_xcapdiff,
            xcap_diff::package(options),
        ),
        (
            options.feature_event.disable,
            as_feature_event::package(options),
        ),
    ];
    let (mut packages, mut off) = (Vec::new(), Vec::new());
    for (disabled, package) in candidates {
        if disabled {
            off.push(package.name);
            continue;
        }
        // The template is made of a name (RFC 3857 section 4.1); what to call that of `dialog;sla`, nothing says.
        let winfo = (!options.presence.disable_winfo && !package.name.contains(';'))
            .then(|| winfo::package(&package, options));
        packages.push(package);
        packages.extend(winfo);
    }
    (packages, off)
}

fn require_servable(declared: &DeclaredPackage) -> Result<(), RegistryFault> {
    let names = || std::iter::once(&declared.name).chain(&declared.parameters);
    if !names().all(|name| is_token(name)) || declared.name.ends_with(winfo::SUFFIX) {
        return Err(RegistryFault::BadName(declared::full_name(declared)));
    }
    let is_type = |kind: &String| {
        kind.split_once('/')
            .is_some_and(|(family, member)| is_token(family) && is_token(member))
            && !kind.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    if declared.content_types.is_empty() || !declared.content_types.iter().all(is_type) {
        return Err(RegistryFault::BadContentType(declared.name.clone()));
    }
    let is_xml = declared
        .content_types
        .iter()
        .all(|kind| declared::is_xml(kind));
    if declared.merge != MergePolicy::Newest && !is_xml {
        return Err(RegistryFault::NotMergeable(declared.name.clone()));
    }
    Ok(())
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

#[cfg(test)]
mod tests;
