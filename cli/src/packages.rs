//! From the configuration to the event packages that are served: the one place, for servers, notifiers and `config check`.

use events::Registry;
use events::package::{
    MaxDocument, PackageOptions, PresenceOptions, RegistryFault, RetrieveOrder, SingleBody,
};
use node::{Config, ConfigError, Fault, Origin, ServerAddress};

/// The packages that are served with this configuration.
///
/// # Errors
/// Everything that is wrong with what the types of the configuration cannot check.
pub(crate) fn registry(config: &Config) -> Result<Registry, ConfigError> {
    let mut faults = Vec::new();
    // Also while it is not used: whoever writes it means it, and may switch it on later.
    let by_columns =
        RetrieveOrder::by(&config.presence.retrieve_order_by).unwrap_or_else(|error| {
            faults.push(fault("presence.retrieve_order_by", error.to_string()));
            RetrieveOrder::newest_first()
        });
    let retrieve_order = match config.presence.retrieve_order {
        false => RetrieveOrder::newest_first(),
        true => by_columns,
    };
    let addresses = config.presence.server_address.iter();
    let advertised = config.server.listen.iter();
    for (path, address) in addresses
        .map(|address| ("presence.server_address", address))
        .chain(
            advertised.filter_map(|listener| Some(("server.listen", listener.advertise.as_ref()?))),
        )
    {
        if !is_contact(address) {
            let message = format!("`{address}` is not a SIP URI");
            faults.push(fault(path, message));
        }
    }
    let fold_case = config.presence.sip_uri_match.folds_case();
    for uri in &config.presence.winfo_watchers {
        if sip::Aor::parse(uri.as_str(), fold_case).is_err() {
            let message = format!("`{}` is not a SIP URI", uri.as_str());
            faults.push(fault("presence.winfo_watchers", message));
        }
    }
    let registry = Registry::new(&options(config, retrieve_order));
    match registry {
        Ok(registry) if faults.is_empty() => Ok(registry),
        Ok(_) => Err(ConfigError::Faults(faults)),
        Err(error) => {
            faults.push(declared_fault(&error));
            Err(ConfigError::Faults(faults))
        }
    }
}

/// Whether phones can be sent there: a whole `sip:` or `sips:` URI.
fn is_contact(address: &ServerAddress) -> bool {
    sip::Uri::parse(address.as_str())
        .is_ok_and(|uri| matches!(uri.scheme, sip::Scheme::Sip | sip::Scheme::Sips))
}

/// The sections of the packages as they are, and what is made of the keys of `[presence]`, where the package and the module are mixed.
fn options(config: &Config, retrieve_order: RetrieveOrder) -> PackageOptions {
    let presence = &config.presence;
    PackageOptions {
        max_document: MaxDocument(config.packages.max_document_bytes.usize()),
        retrieve_order,
        presence: PresenceOptions {
            disable_presence: presence.disable_presence,
            disable_winfo: presence.disable_winfo,
            default_expires_s: presence.default_expires.get(),
            force_dummy_presence: presence.force_dummy_presence,
            force_presence_single_body: presence.force_presence_single_body.then(|| SingleBody {
                lookup_element: presence.presence_single_body_lookup_element.clone(),
                priorities: SingleBody::priorities(&presence.presence_single_body_priorities),
            }),
        },
        dialog: config.dialog.clone(),
        sla: config.sla.clone(),
        message_summary: config.message_summary.clone(),
        conference: config.conference.clone(),
        reginfo: config.reginfo.clone(),
        profile: config.profile.clone(),
        xcap_diff: config.xcap_diff.clone(),
        feature_event: config.feature_event.clone(),
        declared: config.packages.declared.clone(),
    }
}

fn declared_fault(error: &RegistryFault) -> Fault {
    fault("packages.declared", error.to_string())
}

fn fault(path: &str, message: String) -> Fault {
    Fault {
        origin: Origin::Default,
        path: path.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(sets: &[(&str, &str)]) -> Result<Registry, String> {
        let sets: Vec<(String, String)> = sets
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let config = Config::load(None, std::iter::empty(), &sets).unwrap();
        registry(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_packages() {
        assert_eq!(
            options(&Config::default(), RetrieveOrder::default()),
            PackageOptions::default()
        );
        assert_eq!(
            with(&[]).unwrap().allow_events(),
            Registry::standard().allow_events()
        );
    }

    #[test]
    fn what_is_switched_off_is_not_served() {
        let names = |sets: &[(&str, &str)]| -> Vec<String> {
            let registry = with(sets).unwrap();
            registry.packages().map(|p| p.name.to_string()).collect()
        };
        let keys = [
            ("presence.disable_presence", "presence"),
            ("dialog.disable", "dialog"),
            ("sla.disable_bla", "dialog;sla"),
            ("message_summary.disable", "message-summary"),
            ("conference.disable", "conference"),
            ("reginfo.disable", "reg"),
            ("profile.disable", "ua-profile"),
            ("xcap_diff.disable_xcapdiff", "xcap-diff"),
            ("feature_event.disable", "as-feature-event"),
        ];
        let with_winfo = |name: &str| match name {
            "dialog;sla" => vec![name.to_owned()],
            _ => vec![name.to_owned(), format!("{name}.winfo")],
        };
        let no_winfo = ("presence.disable_winfo", "1");
        assert_eq!(names(&[no_winfo]), keys.map(|(_, name)| name));
        let all: Vec<String> = keys.iter().flat_map(|(_, name)| with_winfo(name)).collect();
        assert_eq!(names(&[]), all);
        for (key, name) in keys {
            let registry = with(&[(key, "1")]).unwrap();
            assert!(registry.find_name(name).is_none(), "{key}");
            let gone = with_winfo(name);
            let left = registry.packages().map(|package| &*package.name);
            let expected = all.iter().filter(|name| !gone.contains(name));
            assert!(left.eq(expected), "{key}");
        }
    }

    #[test]
    fn each_package_has_its_default_expires() {
        for (key, name) in [
            ("presence.default_expires", "presence"),
            ("dialog.default_expires", "dialog"),
            ("sla.default_expires", "dialog;sla"),
            ("message_summary.default_expires", "message-summary"),
            ("conference.default_expires", "conference"),
            ("reginfo.default_expires", "reg"),
            ("profile.default_expires", "ua-profile"),
            ("xcap_diff.default_expires", "xcap-diff"),
            ("feature_event.default_expires", "as-feature-event"),
        ] {
            let registry = with(&[(key, "77")]).unwrap();
            for package in registry.packages() {
                // Watcher information goes by the key of presence.winfo's own section.
                let by = match package.watched_package() {
                    Some(_) => "presence",
                    None => &*package.name,
                };
                let expected = if by == name { 77 } else { 3600 };
                assert_eq!(
                    package.default_expires_s, expected,
                    "{key}: {}",
                    package.name
                );
            }
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_with_its_path() {
        let error = with(&[
            ("presence.retrieve_order_by", "size"),
            ("presence.server_address", "sip:@"),
            ("server.listen", "udp:127.0.0.1:5060 advertise sip:h:99999"),
            ("presence.winfo_watchers", "sip:ok@example.org, sip:@"),
            (
                "packages.declared",
                "[{ name = \"dialog\", content_types = [\"text/plain\"] }]",
            ),
        ])
        .unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        let starts = [
            "presence.retrieve_order_by: `size`",
            "presence.server_address: `sip:@`",
            "server.listen: `sip:h:99999`",
            "presence.winfo_watchers: `sip:@`",
            "packages.declared: event package `dialog`",
        ];
        assert_eq!(lines.len(), starts.len(), "{error}");
        for (line, start) in lines.iter().zip(starts) {
            assert!(line.starts_with(start), "{error}");
        }
    }
}
