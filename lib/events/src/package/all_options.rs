//! What the packages are built from. The options of each are declared in crate `options`, as sections of the configuration; here is what is
//! made of several keys, or of a text. Units end the names here (`default_expires_s` is parameter `default_expires`).

use options::{
    ConferenceOptions, DeclaredPackage, DialogOptions, FeatureEventOptions, MessageSummaryOptions,
    PackagesOptions, ProfileOptions, ReginfoOptions, SlaOptions, XcapDiffOptions,
};

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
    pub conference: ConferenceOptions,
    /// `reg`.
    pub reginfo: ReginfoOptions,
    /// `ua-profile`.
    pub profile: ProfileOptions,
    /// `xcap-diff`.
    pub xcap_diff: XcapDiffOptions,
    /// `as-feature-event`.
    pub feature_event: FeatureEventOptions,
    /// Packages without code.
    pub declared: Vec<DeclaredPackage>,
}

/// How large a document for watchers may be, and a published body, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxDocument(pub usize);

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

impl Default for MaxDocument {
    fn default() -> Self {
        Self(PackagesOptions::default().max_document_bytes.usize())
    }
}

impl Default for PresenceOptions {
    fn default() -> Self {
        Self {
            disable_presence: false,
            disable_winfo: false,
            default_expires_s: 3600,
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
