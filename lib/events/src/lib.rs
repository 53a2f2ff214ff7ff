//! What PUBLISH, SUBSCRIBE and NOTIFY mean: decisions and documents, without sockets, SQL, clock or randomness.
//!
//! A server hands a parsed request to [`publication::decide`] or [`subscription::decide`] and gets an intent that the
//! database can carry out, or a typed rejection ([`PublishReject`], [`SubscribeReject`]) that it turns into a response.
//! A notifier asks the [`EventPackage`] of a resource for the [`Document`] made of its publications.
//! Everything here is a function of its arguments, so any server and any notifier comes to the same result.

pub mod authorization;
pub mod document;
pub mod inquiry;
pub mod notification;
pub mod package;
pub mod policy;
pub mod publication;
pub mod reject;
pub mod requester;
pub mod subscription;

mod request;

pub use document::watcherinfo::{WatcherEvent, WatcherRecord};
pub use document::{BodyFault, Document, DocumentState, PublishedBody};
pub use inquiry::{Finding, Inquiry, StoredSubscription};
pub use package::{
    BodyNote, EventPackage, MergeInput, PackageOptions, Publication, Publisher, Registry, TagChange,
};
pub use policy::{MinExpiresAction, Policy, SameSubscriber};
pub use publication::{
    ChangeKind, NewPublication, Priority, PublicationChange, PublishIntent, PublishOutcome,
};
pub use reject::{PublishReject, SubscribeReject};
pub use requester::{Acts, Proof, Requester};
pub use subscription::{
    DecidedBy, DialogId, FeatureChange, FeatureOwner, NewSubscription, Reach, SubscribeIntent,
    SubscribeOutcome, SubscriptionRefresh,
};
