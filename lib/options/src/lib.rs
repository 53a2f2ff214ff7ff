//! What an operator can set about event packages, declared once: names, units, defaults, ranges and meaning.
//!
//! The structs are sections of the configuration (`lib/node`), what the packages are built from (`lib/events`), and by their comments the
//! source of `docs/CONFIGURATION.md` and `config/pgpresence.toml`. What the parameters do is in `docs/PACKAGES.md`.

mod number;
mod section;

pub use number::{Within, flag, whole_number};
pub use section::{
    Accounts, ConferenceOptions, DeclaredPackage, DialogOptions, FeatureEventOptions, Features,
    MergePolicy, MessageSummaryOptions, NeutralDocument, PackagesOptions, ProfileOptions,
    ReginfoOptions, SlaOptions, XcapDiffOptions,
};
