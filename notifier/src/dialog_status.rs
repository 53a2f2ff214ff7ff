//! How a dialog stands that was taken.

use events::notification::SubscriptionStatus;
use sql::TakenDialog;

/// Whether the NOTIFY of this dialog is its last one.
pub(crate) fn is_terminated(dialog: &TakenDialog) -> bool {
    matches!(
        status(dialog),
        SubscriptionStatus::Terminated | SubscriptionStatus::Waiting
    )
}

/// A number without meaning can only have been written by hand; the subscription is then as good as over.
pub(crate) fn status(dialog: &TakenDialog) -> SubscriptionStatus {
    SubscriptionStatus::from_code(i32::from(dialog.status))
        .unwrap_or(SubscriptionStatus::Terminated)
}
