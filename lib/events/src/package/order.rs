//! In which order publications are merged: `retrieve_order` and `retrieve_order_by`.
//!
//! The first of the order comes first in the document, and wins where only one can. By default that is the newest. Kamailio
//! pastes `retrieve_order_by` into its SQL; here it is a list of known columns, so that a typing error is found at the start
//! and cannot become SQL.

use std::cmp::Ordering;

use super::input::Publication;

/// The order of publications.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetrieveOrder {
    keys: Vec<(Column, Direction)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Priority,
    ReceivedTime,
    Expires,
    Id,
    Etag,
    Sender,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

/// `retrieve_order_by` is not a list of columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{word}` is not one of priority, received_time, expires, id, etag, sender, each with asc or desc"
)]
pub struct RetrieveOrderFault {
    /// The part that was not understood.
    pub word: String,
}

impl RetrieveOrder {
    /// Newest first (`retrieve_order` = 0).
    pub fn newest_first() -> Self {
        Self::default()
    }

    /// The order of a text like `priority, received_time desc` (`retrieve_order` = 1).
    ///
    /// As in Kamailio, it is the order in which rows are read, and the last one read comes first in the document: with
    /// `priority`, the highest priority.
    ///
    /// # Errors
    /// Names the part that is not a column.
    pub fn by(text: &str) -> Result<Self, RetrieveOrderFault> {
        let key = |part: &str| {
            let mut words = part.split_ascii_whitespace();
            let column = match words.next()?.to_ascii_lowercase().as_str() {
                "priority" => Column::Priority,
                "received_time" => Column::ReceivedTime,
                "expires" => Column::Expires,
                "id" => Column::Id,
                "etag" => Column::Etag,
                "sender" => Column::Sender,
                _ => return None,
            };
            let direction = match words.next().map(str::to_ascii_lowercase).as_deref() {
                None | Some("asc") => Direction::Ascending,
                Some("desc") => Direction::Descending,
                Some(_) => return None,
            };
            words.next().is_none().then_some((column, direction))
        };
        let keys = text
            .split(',')
            .map(|part| {
                key(part).ok_or_else(|| RetrieveOrderFault {
                    word: part.trim().to_owned(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Puts publications in this order. What the columns leave open, age decides; the order of the slice decides nothing.
    pub fn sort(&self, publications: &mut [Publication<'_>]) {
        publications.sort_by(|a, b| self.compare(b, a).then_with(|| by_age(b, a)));
    }

    fn compare(&self, a: &Publication<'_>, b: &Publication<'_>) -> Ordering {
        self.keys
            .iter()
            .map(|(column, direction)| {
                let ordering = match column {
                    Column::Priority => a.priority.cmp(&b.priority),
                    Column::ReceivedTime => a.received_time.cmp(&b.received_time),
                    Column::Expires => a.expires.cmp(&b.expires),
                    Column::Id => a.id.cmp(&b.id),
                    Column::Etag => a.entity_tag.cmp(b.entity_tag),
                    Column::Sender => a.sender.cmp(b.sender),
                };
                match direction {
                    Direction::Ascending => ordering,
                    Direction::Descending => ordering.reverse(),
                }
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// Older is less. Total for rows of a table: their numbers differ.
pub(super) fn by_age(a: &Publication<'_>, b: &Publication<'_>) -> Ordering {
    (a.received_time, a.modified_us, a.id)
        .cmp(&(b.received_time, b.modified_us, b.id))
        .then_with(|| a.body.cmp(b.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(order: &RetrieveOrder, mut rows: Vec<Publication<'_>>) -> Vec<i64> {
        order.sort(&mut rows);
        rows.iter().map(|row| row.id).collect()
    }

    fn row(id: i64, received_time: i64, priority: i64) -> Publication<'static> {
        Publication {
            id,
            received_time,
            priority,
            ..Publication::default()
        }
    }

    #[test]
    fn highest_priority_first_then_newest() {
        let rows = || vec![row(1, 10, 5), row(2, 30, 1), row(3, 20, 5)];
        for (order, expected) in [
            (RetrieveOrder::newest_first(), [2, 3, 1]),
            (RetrieveOrder::by("priority").unwrap(), [3, 1, 2]),
            (RetrieveOrder::by("priority DESC").unwrap(), [2, 3, 1]),
            (RetrieveOrder::by("priority, id desc").unwrap(), [1, 3, 2]),
            (RetrieveOrder::by("received_time desc").unwrap(), [1, 3, 2]),
        ] {
            assert_eq!(ids(&order, rows()), expected, "{order:?}");
            let mut turned = rows();
            turned.rotate_left(1);
            assert_eq!(ids(&order, turned), expected, "{order:?}");
        }
    }

    #[test]
    fn what_is_no_column_is_refused() {
        for text in [
            "",
            "priority,",
            "body",
            "priority sideways",
            "priority asc asc",
            "1; DROP TABLE x",
        ] {
            assert!(RetrieveOrder::by(text).is_err(), "{text}");
        }
    }
}
