//! What operators ask and order. Nothing here is on the way of a SIP request.
//!
//! An operator looks at what is there (`listing`), gives an order (`order`), looks how the whole is (`status`), and asks why one watcher
//! sees what he sees (`explanation`).

mod explanation;
mod listing;
mod order;
mod status;

use tokio_postgres::Row;

use crate::Store;

pub use explanation::{OwedResource, SetAside, WatchedBy};
pub use listing::{ListedPresentity, ListedSubscription, ListedWatcher, Page};
pub use order::Cleaning;
pub use status::{Backlog, Failing, Process};

/// The statements of this area; see [`Store::operator`].
#[derive(Clone, Copy, Debug)]
pub struct Operator<'a>(pub(crate) &'a Store);

/// The number in the only row.
fn first(rows: &[Row], column: &str) -> i64 {
    rows.first().map_or(0, |row| row.get(column))
}
