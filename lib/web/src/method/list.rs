//! Lists: the rows, in Kamailio's shape, and whether there are more.
//!
//! Kamailio answers a list as one array, and its tools read it so: a list without `limit` is whole. It is read in portions, so that one
//! statement never takes long, and ends where it would take too much memory. A list that does not end where its array does says
//! so beside the array, never in it.

use serde_json::{Map, Value, json};
use sql::{ListedPresentity, ListedWatcher, Page, Store};

use super::{Answer, Fault};

/// Most rows of a page that is asked for with a limit.
pub(super) const LARGEST_PAGE: u32 = 10_000;
/// Most rows of an answer, some 100 MB of memory while it is made; and most octets of documents in one.
const MOST_ROWS: usize = 100_000;
const MOST_OCTETS: usize = 32 << 20;
/// Rows of presentities that one statement reads: they may have large documents.
const PRESENTITIES: u32 = 1000;
/// Rows of watchers: they are small, and each statement looks for all of a presentity.
const WATCHERS: u32 = 10_000;

/// How much of each row is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Basic,
    Full,
}

/// Which part of a list is asked for.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// The last id of the page before; 0 for the beginning.
    pub(super) after: i64,
    /// Most rows; `None`: all of them.
    pub(super) limit: Option<u32>,
}

/// The live publications, of all presentities or of those with this user and this domain.
pub(super) async fn presentities(
    store: &Store,
    part: Part,
    shown: Detail,
    user: Option<&str>,
    domain: Option<&str>,
) -> Result<Answer, Fault> {
    let mut list = Gathered::new(part);
    while let Some(page) = list.next(PRESENTITIES) {
        let with_body = shown == Detail::Full;
        let rows = store
            .operator()
            .list_presentities(page, user, domain, with_body)
            .await?;
        list.add(page, &rows, |row| {
            (row.id, row.body.len(), presentity(row, shown))
        });
    }
    Ok(list.into())
}

/// The subscriptions to a presentity.
pub(super) async fn watchers(
    store: &Store,
    part: Part,
    shown: Detail,
    uri: &str,
) -> Result<Answer, Fault> {
    let mut list = Gathered::new(part);
    while let Some(page) = list.next(WATCHERS) {
        let rows = store.operator().list_watchers(page, uri).await?;
        list.add(page, &rows, |row| (row.id, 0, watcher(row, shown)));
    }
    Ok(list.into())
}

/// A list as far as it has been read.
struct Gathered {
    rows: Vec<Value>,
    most: usize,
    octets: usize,
    /// The last id.
    after: i64,
    /// There are rows behind the last one.
    is_more: bool,
    is_done: bool,
}

impl Gathered {
    fn new(part: Part) -> Gathered {
        Gathered {
            rows: Vec::new(),
            most: part.limit.map_or(MOST_ROWS, |limit| limit as usize),
            octets: 0,
            after: part.after,
            is_more: false,
            is_done: false,
        }
    }

    /// What is to be read next: one row more than there is room for, which tells whether there are more.
    fn next(&self, portion: u32) -> Option<Page> {
        let room = u32::try_from(self.most - self.rows.len()).unwrap_or(u32::MAX);
        (!self.is_done).then_some(Page {
            after: self.after,
            limit: portion.min(room) + 1,
        })
    }

    /// Takes what was read; `listed` gives the id of a row, the octets of its document, and the row in the answer.
    fn add<T>(&mut self, page: Page, found: &[T], listed: impl Fn(&T) -> (i64, usize, Value)) {
        let wanted = page.limit as usize - 1;
        self.is_more = found.len() > wanted;
        for row in found.iter().take(wanted) {
            let (id, octets, row) = listed(row);
            if self.octets + octets > MOST_OCTETS && !self.rows.is_empty() {
                (self.is_more, self.is_done) = (true, true);
                return;
            }
            self.octets += octets;
            self.after = id;
            self.rows.push(row);
        }
        self.is_done = !self.is_more || self.rows.len() >= self.most;
    }
}

impl From<Gathered> for Answer {
    fn from(list: Gathered) -> Answer {
        Answer {
            result: Value::Array(list.rows),
            more: list.is_more.then_some(list.after),
        }
    }
}

fn presentity(row: &ListedPresentity, shown: Detail) -> Value {
    let mut fields = object(json!({
        "id": row.id,
        "user": row.username,
        "domain": row.domain,
        "event": row.event,
        "etag": row.etag,
        "sender": row.sender,
        "expires": row.expires,
    }));
    if shown == Detail::Full {
        fields.append(&mut object(json!({
            "received_time": row.received_time,
            "priority": row.priority,
            "ruid": row.ruid,
            "body": String::from_utf8_lossy(&row.body),
        })));
    }
    Value::Object(fields)
}

fn watcher(row: &ListedWatcher, shown: Detail) -> Value {
    let mut fields = object(json!({
        "id": row.id,
        "pres_uri": row.presentity_uri,
        "event": row.event,
        "to_user": row.to_user,
        "to_domain": row.to_domain,
        "from_user": row.from_user,
        "from_domain": row.from_domain,
        "watcher_user": row.watcher_username,
        "watcher_domain": row.watcher_domain,
        "contact": row.contact,
        "event_id": row.event_id,
        "callid": row.callid,
        "user_agent": row.user_agent,
        "expires": row.expires,
        "status": row.status,
        "version": row.version,
        "flags": row.flags,
    }));
    if shown == Detail::Full {
        fields.append(&mut object(json!({
            "reason": row.reason,
            "to_tag": row.to_tag,
            "from_tag": row.from_tag,
            "socket": row.socket_info,
            "local_contact": row.local_contact,
            "record_route": row.record_route,
            "remote_cseq": row.remote_cseq,
            "local_cseq": row.local_cseq,
            "updated": row.updated,
            "updated_winfo": row.updated_winfo,
        })));
    }
    Value::Object(fields)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a list of rows with these octets each, and says which came, in how many portions, and what the answer says about more.
    fn read(stored: &[usize], part: Part, portion: u32) -> (Vec<i64>, usize, Option<i64>) {
        let all: Vec<(i64, usize)> = (1..).zip(stored.iter().copied()).collect();
        let (mut list, mut portions) = (Gathered::new(part), 0);
        while let Some(page) = list.next(portion) {
            let behind = all.iter().filter(|(id, _)| *id > page.after);
            let rows: Vec<_> = behind.take(page.limit as usize).copied().collect();
            list.add(page, &rows, |(id, octets)| (*id, *octets, json!(id)));
            portions += 1;
        }
        let answer = Answer::from(list);
        let ids = answer.result.as_array().unwrap();
        let ids = ids.iter().map(|id| id.as_i64().unwrap()).collect();
        (ids, portions, answer.more)
    }

    #[test]
    fn a_list_is_whole_or_says_that_it_goes_on() {
        let half = MOST_OCTETS / 2;
        let all = |after| Part { after, limit: None };
        let some = |after, limit| Part {
            after,
            limit: Some(limit),
        };
        // The octets of each row, what is asked for; ids, portions, and where the rest begins.
        type Row<'a> = (&'a [usize], Part, &'a [i64], usize, Option<i64>);
        let table: &[Row<'_>] = &[
            (&[], all(0), &[], 1, None),
            (&[0; 2], all(0), &[1, 2], 1, None),
            (&[0; 5], all(0), &[1, 2, 3, 4, 5], 3, None),
            (&[0; 5], all(3), &[4, 5], 1, None),
            (&[0; 5], some(0, 2), &[1, 2], 1, Some(2)),
            (&[0; 5], some(2, 3), &[3, 4, 5], 2, None),
            (&[0; 5], some(0, 4), &[1, 2, 3, 4], 2, Some(4)),
            (&[0; 5], some(5, 4), &[], 1, None),
            // By octets: three large ones do not fit, one that is too large comes alone.
            (&[half; 3], all(0), &[1, 2], 2, Some(2)),
            (&[half; 3], all(2), &[3], 1, None),
            (&[half, half, 1], some(0, 3), &[1, 2], 2, Some(2)),
            (&[3 * half, 1], all(0), &[1], 1, Some(1)),
        ];
        for (stored, part, ids, portions, more) in table {
            let found = read(stored, *part, 2);
            assert_eq!(
                found,
                (ids.to_vec(), *portions, *more),
                "{stored:?} after {} limit {:?}",
                part.after,
                part.limit
            );
        }
    }
}
