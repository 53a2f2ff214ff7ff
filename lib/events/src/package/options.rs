//! What an operator can set about event packages, with the names that Kamailio's modules have.
//!
//! Units end the names here (`default_expires_s` is parameter `default_expires`). Where a default is another than the
//! module's, it says so.

use super::order::RetrieveOrder;

/// The options of all packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageOptions {
    /// `max_document_bytes`: how large a document may be.
    pub max_document: MaxDocument,
    /// `retrieve_order`, `retrieve_order_by`: which publication comes first.
    pub retrieve_order: RetrieveOrder,
    /// `presence` and `presence.winfo`.
    pub presence: PresenceOptions,
    /// `dialog`; what is about dialogs also holds for `dialog;sla`.
    pub dialog: DialogOptions,
    /// `dialog;sla`.
    pub sla: SlaOptions,
    /// `message-summary`.
    pub message_summary: MessageSummaryOptions,
    /// `conference`.
    pub conference: PlainOptions,
    /// `reg`.
    pub reginfo: ReginfoOptions,
    /// `ua-profile`.
    pub profile: PlainOptions,
    /// `xcap-diff`; `disable` is parameter `disable_xcapdiff`.
    pub xcap_diff: PlainOptions,
    /// `as-feature-event`.
    pub feature_event: FeatureEventOptions,
    /// Packages without code.
    pub declared: Vec<DeclaredPackage>,
}

/// How large a document for watchers may be, and a published body, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxDocument(pub usize);

/// Options of a package that has no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainOptions {
    /// Not served at all.
    pub disable: bool,
    /// `default_expires`: the interval granted to those who name none, in seconds.
    pub default_expires_s: u32,
}

/// Options of `presence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceOptions {
    /// `disable_presence`: `presence` is not served.
    pub disable_presence: bool,
    /// `disable_winfo`: no package's watcher information is served.
    pub disable_winfo: bool,
    /// `default_expires`, in seconds.
    pub default_expires_s: u32,
    /// `force_dummy_presence`: a presentity without publications is shown as open and "Available" instead of closed.
    pub force_dummy_presence: bool,
    /// `force_presence_single_body`: only one publication is shown.
    pub force_presence_single_body: Option<SingleBody>,
}

/// How the one publication that is shown is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleBody {
    /// `presence_single_body_lookup_element`: the local name of the element whose text is looked up.
    pub lookup_element: String,
    /// `presence_single_body_priorities`: texts, the least important first.
    pub priorities: Vec<String>,
}

/// Options of `dialog`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogOptions {
    /// Not served at all.
    pub disable: bool,
    /// `default_expires`, in seconds.
    pub default_expires_s: u32,
    /// `force_single_dialog`: only the dialog in the most important state is shown.
    pub force_single_dialog: bool,
    /// `force_dummy_dialog`: where there is no dialog, one that has terminated is shown, for phones that want a `<dialog>`.
    pub force_dummy_dialog: bool,
    /// How long a dialog is believed to be `trying`, in seconds; 0 for as long as it is published.
    pub max_trying_s: u32,
    /// How long a dialog is believed to be `proceeding`, in seconds; 0 for as long as it is published.
    pub max_proceeding_s: u32,
    /// How long a dialog is believed to be `early`, in seconds; 0 for as long as it is published.
    pub max_early_s: u32,
}

/// Options of `dialog;sla`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlaOptions {
    /// `disable_bla`. The default in Kamailio is 1.
    pub disable_bla: bool,
    /// `default_expires`, in seconds.
    pub default_expires_s: u32,
    /// Whether the header Sender names who published, as `handle_publish($hdr(Sender))` says in Kamailio; otherwise it is the
    /// Contact. Only if what comes can be trusted to set it.
    pub trust_sender: bool,
}

/// Options of `message-summary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSummaryOptions {
    /// Not served at all.
    pub disable: bool,
    /// `default_expires`, in seconds.
    pub default_expires_s: u32,
    /// What is shown of several accounts.
    pub accounts: Accounts,
    /// What is shown if nothing is published.
    pub neutral: NeutralDocument,
}

/// What a message summary shows of several accounts (Message-Account of the publications).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accounts {
    /// One summary with the sums of all: what a phone with one lamp needs.
    Summed,
    /// One block for each account, the presentity's own first, then the newest. By the grammar of RFC 3842 the further
    /// blocks are optional headers, which other phones skip.
    Each,
}

/// What is shown if nothing is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NeutralDocument {
    /// A document that says so. Phones choke on an empty NOTIFY, or keep the lamp as it was.
    Shown,
    /// A NOTIFY without body.
    Omitted,
}

/// Options of `reg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReginfoOptions {
    /// Not served at all.
    pub disable: bool,
    /// `default_expires`, in seconds.
    pub default_expires_s: u32,
    /// `aggregate_presentities`: the registrations of all publications are shown, not only of the newest. Kamailio's
    /// default is 0.
    pub aggregate_presentities: bool,
}

/// Options of `as-feature-event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureEventOptions {
    /// Not served at all.
    pub disable: bool,
    /// The interval granted to those who name none, in seconds.
    pub default_expires_s: u32,
    /// What a NOTIFY tells.
    pub features: Features,
    /// How long a feature that a phone has set is known, in seconds; 0 until it is set again. Kamailio forgets it after an
    /// hour, and the phone then shows what is not so.
    pub feature_expires_s: u32,
}

/// What a NOTIFY of `as-feature-event` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Features {
    /// Every feature that is known: as multipart/mixed if there are several, so that a phone that starts knows them all.
    All,
    /// Only the one that changed last, as Kamailio's module does.
    Newest,
}

/// A package that is only declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredPackage {
    /// Name of the event package: a token.
    pub name: String,
    /// Parameters of Event that belong to its name: `sla` in `dialog;sla`.
    pub parameters: Vec<String>,
    /// Content-Types that a PUBLISH may have, in lower case. The first is that of its NOTIFYs where nothing is published.
    pub content_types: Vec<String>,
    /// What is shown of several publications.
    pub merge: MergePolicy,
    /// Whether rules decide who may subscribe.
    pub authorization: super::Authorization,
    /// The interval granted to those who name none, in seconds.
    pub default_expires_s: u32,
    /// Whether it has watcher information.
    pub winfo: bool,
}

/// What is shown of several publications of a declared package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MergePolicy {
    /// The newest, as it is.
    Newest,
    /// XML only: the elements of all, under one root.
    All,
    /// XML only: the same, but of elements with the same name and `id` only the newest.
    ById,
}

const HOUR_S: u32 = 3600;

impl Default for MaxDocument {
    /// With its headers it fits in one datagram, which has 65,507 octets at most.
    fn default() -> Self {
        Self(60_000)
    }
}

impl Default for PlainOptions {
    fn default() -> Self {
        Self {
            disable: false,
            default_expires_s: HOUR_S,
        }
    }
}

impl Default for PresenceOptions {
    fn default() -> Self {
        Self {
            disable_presence: false,
            disable_winfo: false,
            default_expires_s: HOUR_S,
            force_dummy_presence: false,
            force_presence_single_body: None,
        }
    }
}

impl Default for SingleBody {
    /// Kamailio's: the text of `note`, of Available, Ringing and On the Phone the last one.
    fn default() -> Self {
        Self {
            lookup_element: "note".to_owned(),
            priorities: Self::priorities("Available|Ringing|On the Phone"),
        }
    }
}

impl SingleBody {
    /// The texts of `presence_single_body_priorities`, which a bar separates.
    pub fn priorities(text: &str) -> Vec<String> {
        text.split('|')
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect()
    }
}

impl Default for DialogOptions {
    /// A call is not tried for longer than a minute, nor rings for longer than ten: whoever published that is gone.
    fn default() -> Self {
        Self {
            disable: false,
            default_expires_s: HOUR_S,
            force_single_dialog: false,
            force_dummy_dialog: false,
            max_trying_s: 60,
            max_proceeding_s: 600,
            max_early_s: 600,
        }
    }
}

impl Default for SlaOptions {
    fn default() -> Self {
        Self {
            disable_bla: false,
            default_expires_s: HOUR_S,
            trust_sender: false,
        }
    }
}

impl Default for MessageSummaryOptions {
    fn default() -> Self {
        Self {
            disable: false,
            default_expires_s: HOUR_S,
            accounts: Accounts::Summed,
            neutral: NeutralDocument::Shown,
        }
    }
}

impl Default for ReginfoOptions {
    fn default() -> Self {
        Self {
            disable: false,
            default_expires_s: HOUR_S,
            aggregate_presentities: true,
        }
    }
}

impl Default for FeatureEventOptions {
    fn default() -> Self {
        Self {
            disable: false,
            default_expires_s: HOUR_S,
            features: Features::All,
            feature_expires_s: 0,
        }
    }
}
