//! Event packages: what each kind of state takes, and how it is shown.
//!
//! A package is one file below and one line in [`Registry::new`]. It is data and pure functions; what is common to
//! all packages (expiry, entity-tags, dialogs) does not know which package it serves. Packages without a file are declared
//! in the configuration ([`DeclaredPackage`]).

mod all_options;
mod as_feature_event;
mod bound;
mod conference;
mod declared;
mod dialog;
mod dialog_sla;
pub(crate) mod input;
mod message_summary;
mod newest;
mod order;
mod presence;
mod publisher;
mod reg;
mod registry;
mod ua_profile;
mod winfo;
mod xcap_diff;

use std::borrow::Cow;
use std::sync::Arc;

use crate::document::feature_event::FeatureRequest;
use crate::document::{BodyFault, Document, xml};

pub use all_options::{MaxDocument, PackageOptions, PresenceOptions, SingleBody};
pub use bound::Merged;
pub use input::{BodyNote, MergeInput, Publication};
pub use options::{
    Accounts, DeclaredPackage, DialogOptions, FeatureEventOptions, Features, MergePolicy,
    MessageSummaryOptions, NeutralDocument, ReginfoOptions, SlaOptions, Within,
};
pub use order::{RetrieveOrder, RetrieveOrderFault};
pub use publisher::Publisher;
pub use registry::{Registry, RegistryFault};

/// A kind of state that can be published and subscribed to (RFC 6665 section 5).
#[derive(Debug, Clone)]
pub struct EventPackage {
    /// The name as in Event and Allow-Events, with the parameters that belong to it: `presence`, `dialog;sla`.
    pub name: Cow<'static, str>,
    /// Content-Type of its NOTIFYs.
    pub notify_content_type: Cow<'static, str>,
    /// Content-Types that a PUBLISH may have; empty if the package cannot be published.
    pub publish_content_types: Vec<Cow<'static, str>>,
    /// The interval granted to those who name none, in seconds.
    pub default_expires_s: u32,
    /// Who may subscribe.
    pub authorization: Authorization,
    /// What its documents are made of.
    pub source: StateSource,
    /// What becomes of the entity-tag when a publication changes.
    pub tag_change: TagChange,
    /// Whether a publisher that is also a watcher is told what it published itself.
    pub echo: Echo,
    check: fn(&EventPackage, &[u8]) -> Result<(), BodyFault>,
    note: fn(&EventPackage, &[u8], Publisher<'_>) -> Result<BodyNote, BodyFault>,
    /// What the body of a SUBSCRIBE asks for, in packages that read it.
    request: Option<ReadRequest>,
    merge: fn(&EventPackage, &MergeInput<'_>) -> Option<Document>,
    next_change: fn(&EventPackage, &MergeInput<'_>) -> Option<i64>,
    options: Arc<PackageOptions>,
}

/// Reads the body of a SUBSCRIBE.
type ReadRequest = fn(&[u8]) -> Result<Option<FeatureRequest>, BodyFault>;

/// Who may subscribe to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authorization {
    /// Whom the presentity's rules allow (RFC 5025).
    Rules,
    /// The presentity itself, and whom its rules or a trusted peer allow (RFC 3857 section 4.6).
    Presentity,
    /// Whoever holds the line, a trusted peer included.
    Line,
    /// Everybody who may use the server.
    Open,
}

/// What the documents of a package are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateSource {
    /// Publications of the resource.
    Publications,
    /// Subscriptions to the package whose watchers this one shows: [`MergeInput::watchers`].
    Watchers,
}

/// What becomes of the entity-tag when a publication changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TagChange {
    /// Each change gives a new one (RFC 3903 section 6 step 6).
    Renewed,
    /// The first one stays, because several phones share the publication.
    Kept,
}

/// Whether a publisher that is also a watcher is told what it published itself. A sender that a script names never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Echo {
    /// Like everybody else.
    Sent,
    /// No: what the PUBLISH says of its sender is stored with it.
    Withheld,
}

// === impl EventPackage ===

impl EventPackage {
    /// A package whose newest publication is shown as it is, behind the guard for XML.
    fn new(
        name: impl Into<Cow<'static, str>>,
        content_type: impl Into<Cow<'static, str>>,
        default_expires_s: u32,
        options: &Arc<PackageOptions>,
    ) -> Self {
        let content_type = content_type.into();
        Self {
            name: name.into(),
            publish_content_types: vec![content_type.clone()],
            notify_content_type: content_type,
            default_expires_s,
            authorization: Authorization::Open,
            source: StateSource::Publications,
            tag_change: TagChange::Renewed,
            echo: Echo::Sent,
            check: |_, body| xml::parse(body).map(|_| ()),
            note: |package, body, _| package.check(body).map(|()| BodyNote::default()),
            request: None,
            merge: newest::merge,
            next_change: |_, _| None,
            options: Arc::clone(options),
        }
    }

    /// Whether a PUBLISH may have a body of this type: in lower case, without parameters.
    pub fn takes(&self, content_type: &str) -> bool {
        self.publish_content_types
            .iter()
            .any(|taken| taken == content_type)
    }

    /// Whether a published body is fit for watchers.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self, body: &[u8]) -> Result<(), BodyFault> {
        self.require_size(body)?;
        (self.check)(self, body)
    }

    /// The same, and what has to be stored beside the body, which is this publisher's.
    ///
    /// # Errors
    /// Says why the body is not fit for watchers.
    pub fn note(&self, body: &[u8], publisher: Publisher<'_>) -> Result<BodyNote, BodyFault> {
        self.require_size(body)?;
        (self.note)(self, body, publisher)
    }

    /// The document of a resource. Publications that cannot be read are left out, and the oldest of those that would make it larger than
    /// [`PackageOptions::max_document`]; without any, it is the package's neutral document, or nothing if it has none.
    ///
    /// The same set gives the same document, whatever the order of the slice: it is put in order first, by
    /// [`PackageOptions::retrieve_order`].
    pub fn merge(&self, input: &MergeInput<'_>) -> Option<Document> {
        self.merge_and_count(input).document
    }

    /// The same, and how many publications there was no room for.
    pub fn merge_and_count(&self, input: &MergeInput<'_>) -> Merged {
        bound::merge(self, input)
    }

    /// Watcher information in no more room than a document has: of [`MergeInput::watchers`] those with the lowest numbers, and the last of
    /// these numbers if there are more. Nothing, if the package is none.
    pub fn piece(&self, input: &MergeInput<'_>) -> Option<(Document, Option<i64>)> {
        winfo::piece(self, input)
    }

    /// The most octets that a document has, or a published body.
    pub fn max_document_bytes(&self) -> usize {
        self.options.max_document.0
    }

    /// The epoch second at which the document changes although no publication does, or nothing if it stays as it is. For
    /// dialogs that ring too long to be true ([`DialogOptions`]).
    pub fn next_change(&self, input: &MergeInput<'_>) -> Option<i64> {
        self.ordered(input, self.next_change)
    }

    /// Whether the body of a SUBSCRIBE asks for something here. In other packages nobody reads it.
    pub(crate) fn reads_requests(&self) -> bool {
        self.request.is_some()
    }

    /// What the body of a SUBSCRIBE asks for.
    pub(crate) fn request(&self, body: &[u8]) -> Result<Option<FeatureRequest>, BodyFault> {
        self.request.map_or(Ok(None), |read| read(body))
    }

    /// How long that is known, in seconds; `None` until something else is asked for.
    pub(crate) fn request_lifetime_s(&self) -> Option<u32> {
        let lifetime_s = self.options.feature_event.feature_expires.get();
        (lifetime_s > 0).then_some(lifetime_s)
    }

    /// Whether the header Sender of a PUBLISH names who published ([`SlaOptions::trust_sender`]).
    pub(crate) fn trusts_sender(&self) -> bool {
        self.echo == Echo::Withheld && self.options.sla.trust_sender
    }

    /// The package whose watchers this one shows, as in column `event`: `presence` for `presence.winfo` (RFC 3857 section 4.1).
    pub fn watched_package(&self) -> Option<String> {
        match self.source {
            StateSource::Watchers => winfo::watched_name(&self.name),
            StateSource::Publications => None,
        }
    }

    fn require_size(&self, body: &[u8]) -> Result<(), BodyFault> {
        match body.len() <= self.max_document_bytes() {
            true => Ok(()),
            false => Err(BodyFault::TooLarge),
        }
    }

    fn ordered<T>(
        &self,
        input: &MergeInput<'_>,
        function: fn(&EventPackage, &MergeInput<'_>) -> T,
    ) -> T {
        if input.publications.len() < 2 {
            return function(self, input);
        }
        let mut publications = input.publications.to_vec();
        self.options.retrieve_order.sort(&mut publications);
        let input = MergeInput {
            publications: &publications,
            ..*input
        };
        function(self, &input)
    }
}
