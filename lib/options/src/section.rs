//! The sections of the event packages, and what their keys take.

use serde::{Deserialize, Serialize};

use crate::number::{Within, flag};

/// An interval in seconds.
type Seconds = Within<1, 2_147_483_647>;
/// A life in seconds that may be unlimited.
type MaxSeconds = Within<0, 2_147_483_647>;

const HOUR: Seconds = const { Within::of(3600) };

/// `[dialog]`: the event package `dialog` (RFC 4235), the lamps of desk phones; Kamailio's presence_dialoginfo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DialogOptions {
    /// 1: the package is not served; requests for it are answered 489.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable: bool,
    /// The interval granted to a publication or subscription of this package if the request has no Expires.
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub default_expires: Seconds,
    /// 1: only one dialog is shown: early before confirmed, proceeding, trying, terminated.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub force_single_dialog: bool,
    /// 1: if there is no dialog, a terminated one is shown, for phones that require a `<dialog>`.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub force_dummy_dialog: bool,
    /// How long after its PUBLISH a dialog is shown as trying. Then it is left out and the lamp goes dark, without a
    /// PUBLISH. 0: as long as it is published.
    ///
    /// Unit: seconds. Default: `60`. Range: 0 to 2147483647.
    pub max_trying: MaxSeconds,
    /// The same for proceeding.
    ///
    /// Unit: seconds. Default: `600`. Range: 0 to 2147483647.
    pub max_proceeding: MaxSeconds,
    /// The same for early, a phone that rings.
    ///
    /// Unit: seconds. Default: `600`. Range: 0 to 2147483647.
    pub max_early: MaxSeconds,
}

/// `[sla]`: the event package `dialog;sla`, one line that appears on several phones; a part of Kamailio's presence_xml. How long
/// a dialog is believed to be trying, proceeding or early is in `[dialog]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlaOptions {
    /// 1: the package is not served; requests for it are answered 489. (The default of Kamailio's module is 1.)
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable_bla: bool,
    /// The interval granted to a publication or subscription of this package if the request has no Expires.
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub default_expires: Seconds,
    /// Who published, and so gets no NOTIFY for it. 0: the Contact of the PUBLISH. 1: its header Sender, if it has one,
    /// as `handle_publish("$hdr(Sender)")` does in Kamailio. Set 1 only if the edge removes Sender from requests of
    /// phones: otherwise a phone can name another one, which then gets no NOTIFY. A Sender that is not an address is
    /// answered 400.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub trust_sender: bool,
}

/// `[message_summary]`: the event package `message-summary` (RFC 3842), voice mail; Kamailio's presence_mwi.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageSummaryOptions {
    /// 1: the package is not served; requests for it are answered 489.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable: bool,
    /// The interval granted to a publication or subscription of this package if the request has no Expires.
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub default_expires: Seconds,
    /// How several accounts are shown. `summed`: one summary with the sums. `each`: a block for each account, the
    /// presentity's own first.
    ///
    /// Unit: none. Default: `"summed"`. Range: summed or each.
    pub accounts: Accounts,
    /// What a phone gets while nothing is published. `shown`: "Messages-Waiting: no". `omitted`: a NOTIFY without body.
    ///
    /// Unit: none. Default: `"shown"`. Range: shown or omitted.
    pub neutral: NeutralDocument,
}

/// What a message summary shows of several accounts (Message-Account of the publications).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accounts {
    /// One summary with the sums of all: what a phone with one lamp needs.
    #[default]
    Summed,
    /// One block for each account, the presentity's own first, then the newest. By the grammar of RFC 3842 the further
    /// blocks are optional headers, which other phones skip.
    Each,
}

/// What is shown if nothing is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NeutralDocument {
    /// A document that says so. Phones choke on an empty NOTIFY, or keep the lamp as it was.
    #[default]
    Shown,
    /// A NOTIFY without body.
    Omitted,
}

/// `[conference]`: the event package `conference` (RFC 4575); Kamailio's presence_conference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConferenceOptions {
    /// 1: the package is not served; requests for it are answered 489.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable: bool,
    /// The interval granted to a publication or subscription of this package if the request has no Expires.
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub default_expires: Seconds,
}

/// `[reginfo]`: the event package `reg` (RFC 3680), registrations; Kamailio's presence_reginfo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReginfoOptions {
    /// 1: the package is not served; requests for it are answered 489.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable: bool,
    /// The interval granted to a publication or subscription of this package if the request has no Expires.
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub default_expires: Seconds,
    /// 1: the registrations of all publications are shown, one for each address with all its contacts. 0: only the
    /// newest publication is shown, the default of Kamailio's module.
    ///
    /// Unit: flag. Default: `1`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub aggregate_presentities: bool,
}

/// `[profile]`: the event package `ua-profile` (RFC 6080); Kamailio's presence_profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileOptions {
    /// 1: the package is not served; requests for it are answered 489.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable: bool,
    /// The interval granted to a publication or subscription of this package if the request has no Expires.
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub default_expires: Seconds,
}

/// `[xcap_diff]`: the event package `xcap-diff` (RFC 5875); a part of Kamailio's presence_xml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct XcapDiffOptions {
    /// 1: the package is not served; requests for it are answered 489.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable_xcapdiff: bool,
    /// The interval granted to a publication or subscription of this package if the request has no Expires.
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub default_expires: Seconds,
}

/// `[feature_event]`: the event package `as-feature-event`, keys for do-not-disturb and call forwarding; Kamailio's presence_dfks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureEventOptions {
    /// 1: the package is not served; requests for it are answered 489.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable: bool,
    /// The interval granted to a publication or subscription of this package if the request has no Expires.
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub default_expires: Seconds,
    /// What a NOTIFY contains. `all`: every known feature, as multipart/mixed if there are several. `newest`: only the
    /// one that changed last, as in Kamailio's module.
    ///
    /// Unit: none. Default: `"all"`. Range: all or newest.
    pub features: Features,
    /// How long a feature that a phone has set by a SUBSCRIBE is kept. 0: until it is set again. (Kamailio's module
    /// forgets it after an hour.)
    ///
    /// Unit: seconds. Default: `0`. Range: 0 to 2147483647.
    pub feature_expires: MaxSeconds,
}

/// What a NOTIFY of `as-feature-event` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Features {
    /// Every feature that is known: as multipart/mixed if there are several, so that a phone that starts knows them all.
    #[default]
    All,
    /// Only the one that changed last, as Kamailio's module does.
    Newest,
}

/// `[packages]`: settings of all event packages, and packages that are declared here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackagesOptions {
    /// How large the document of a NOTIFY may be, in every event package. If several publications would be larger
    /// together, the newest are shown; `pgpresence explain` says how many are left out. A PUBLISH with a larger body is
    /// answered 413, and one of more than 65536 in any case. Larger watcher information is sent in pieces. A document
    /// of more than about 64000 reaches only watchers by TCP.
    ///
    /// Unit: bytes. Default: `60000`. Range: 4096 to 262144.
    pub max_document_bytes: Within<4096, 262_144>,
    /// Event packages without code, each a table `[[packages.declared]]`: `name` (as in Event), `parameters` (of Event
    /// that belong to the name), `content_types` (of a PUBLISH, in lower case; the first is that of a NOTIFY), `merge`
    /// (`newest`: the newest publication as it is; for XML also `all`, or `id`: the newest of each name and id),
    /// `authorization` (1: watchers that the presentity's rules allow may subscribe, as for `presence`, and see the
    /// whole document; 0: everybody), `default_expires`, `winfo` (`true`: it has watcher information).
    ///
    /// Unit: none. Default: `[]`. Range: names that no other package has.
    pub declared: Vec<DeclaredPackage>,
}

/// One event package without code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredPackage {
    /// Its name, a token.
    pub name: String,
    /// Parameters of Event that belong to its name: `sla` in `dialog;sla`.
    #[serde(default)]
    pub parameters: Vec<String>,
    /// Content-Types that a PUBLISH may have, in lower case. The first is that of its NOTIFYs where nothing is published.
    pub content_types: Vec<String>,
    /// What is shown of several publications.
    #[serde(default)]
    pub merge: MergePolicy,
    /// Whether the presentity's rules say who may subscribe; otherwise everybody may.
    #[serde(default, with = "flag")]
    pub authorization: bool,
    /// The interval granted if the request has no Expires, in seconds.
    #[serde(default = "hour")]
    pub default_expires: Seconds,
    /// Whether it has watcher information.
    #[serde(default)]
    pub winfo: bool,
}

/// What is shown of several publications of a declared package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergePolicy {
    /// The newest, as it is.
    #[default]
    Newest,
    /// XML only: the elements of all, under one root.
    All,
    /// XML only: the same, but of elements with the same name and `id` only the newest.
    #[serde(rename = "id")]
    ById,
}

fn hour() -> Seconds {
    HOUR
}

impl Default for PackagesOptions {
    /// A document of the largest size fits in one datagram with its headers, which has 65,507 octets at most.
    fn default() -> PackagesOptions {
        PackagesOptions {
            max_document_bytes: const { Within::of(60_000) },
            declared: Vec::new(),
        }
    }
}

impl Default for DialogOptions {
    /// A call is not tried for longer than a minute, nor rings for longer than ten: whoever published that is gone.
    fn default() -> DialogOptions {
        DialogOptions {
            disable: false,
            default_expires: HOUR,
            force_single_dialog: false,
            force_dummy_dialog: false,
            max_trying: const { Within::of(60) },
            max_proceeding: const { Within::of(600) },
            max_early: const { Within::of(600) },
        }
    }
}

impl Default for SlaOptions {
    fn default() -> SlaOptions {
        SlaOptions {
            disable_bla: false,
            default_expires: HOUR,
            trust_sender: false,
        }
    }
}

impl Default for FeatureEventOptions {
    fn default() -> FeatureEventOptions {
        FeatureEventOptions {
            disable: false,
            default_expires: HOUR,
            features: Features::All,
            feature_expires: const { Within::of(0) },
        }
    }
}

impl Default for MessageSummaryOptions {
    fn default() -> MessageSummaryOptions {
        MessageSummaryOptions {
            disable: false,
            default_expires: HOUR,
            accounts: Accounts::Summed,
            neutral: NeutralDocument::Shown,
        }
    }
}

impl Default for ConferenceOptions {
    fn default() -> ConferenceOptions {
        ConferenceOptions {
            disable: false,
            default_expires: HOUR,
        }
    }
}

impl Default for ReginfoOptions {
    fn default() -> ReginfoOptions {
        ReginfoOptions {
            disable: false,
            default_expires: HOUR,
            aggregate_presentities: true,
        }
    }
}

impl Default for ProfileOptions {
    fn default() -> ProfileOptions {
        ProfileOptions {
            disable: false,
            default_expires: HOUR,
        }
    }
}

impl Default for XcapDiffOptions {
    fn default() -> XcapDiffOptions {
        XcapDiffOptions {
            disable_xcapdiff: false,
            default_expires: HOUR,
        }
    }
}
