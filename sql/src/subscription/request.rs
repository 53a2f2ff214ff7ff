//! What a SUBSCRIBE does: a new dialog, a refresh, an end. RFC 6665 section 4.2.1; CSeq: RFC 3261 section 12.2.2.

use events::{DecidedBy, NewSubscription, SubscribeOutcome, SubscriptionRefresh};
use tokio_postgres::Row;

use super::Subscriptions;
use crate::registry::subscription;
use crate::statement::batch;
use crate::{StoreError, ordinal, rounds, route_set};

impl Subscriptions<'_> {
    /// Stores new dialogs (and fetches, `granted_s` 0), each with a NOTIFY due at once; outcomes in input order.
    ///
    /// A copy of a request finds its own dialog. The same request later than 64*T1 is another one, and gets a dialog of its own, whose
    /// To-tag is that of the first and the time.
    ///
    /// # Locks
    /// New keys of `active_watchers` in key order, then `notify_queue` by key through the trigger. If some To-tags are in use, then their
    /// rows of `active_watchers` by (presentity_uri, event, id), and new keys once more, each in a transaction of its own.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn create_batch(
        &self,
        rows: &[NewSubscription],
    ) -> Result<Vec<SubscribeOutcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(rows.len());
        let mut in_use = Vec::new();
        for (index, (outcome, is_in_use)) in self.create_once(rows).await?.into_iter().enumerate() {
            outcomes.push(outcome);
            if is_in_use {
                in_use.push(index);
            }
        }
        if in_use.is_empty() {
            return Ok(outcomes);
        }
        let mut again: Vec<NewSubscription> =
            in_use.iter().map(|&index| rows[index].clone()).collect();
        self.rename(&mut again).await?;
        for (index, (outcome, _)) in in_use.into_iter().zip(self.create_once(&again).await?) {
            outcomes[index] = outcome;
        }
        Ok(outcomes)
    }

    /// Gives those whose To-tag is in use the one that they get in its place.
    async fn rename(&self, rows: &mut [NewSubscription]) -> Result<(), StoreError> {
        let answers = self
            .0
            .query(&batch!(
                rows,
                |row| subscription::RenewBatch {
                    callid: &row.call_id,
                    to_tag: &row.to_tag,
                    from_tag: &row.from_tag,
                },
                Once { now: self.0.now() }
            ))
            .await?;
        // Of one that is gone meanwhile the tag is free.
        for answer in &answers {
            if let Some(row) = rows.get_mut(ordinal(answer, "ord")) {
                row.to_tag = answer.get("to_tag");
            }
        }
        Ok(())
    }

    /// Says of each also whether its To-tag is in use by a dialog of the time before.
    async fn create_once(
        &self,
        rows: &[NewSubscription],
    ) -> Result<Vec<(SubscribeOutcome, bool)>, StoreError> {
        // Null when no row has a key: the statement then costs what it would without the parameter.
        let has_key = rows.iter().any(|row| row.subscriber_key.is_some());
        let keys = || rows.iter().map(|row| row.subscriber_key.as_deref());
        let subscriber_key = has_key.then(|| keys().collect::<Vec<_>>());
        let answers = self
            .0
            .query(&batch!(
                rows,
                |row| subscription::CreateBatch {
                    presentity_uri: row.aor.uri(),
                    event: &row.event,
                    event_id: &row.event_id,
                    watcher_username: &row.watcher.username,
                    watcher_domain: &row.watcher.domain,
                    to_user: &row.to_user,
                    to_domain: &row.to_domain,
                    from_user: &row.from_user,
                    from_domain: &row.from_domain,
                    from_display: &row.from_display,
                    local_uri: &row.local_uri,
                    remote_uri: &row.remote_uri,
                    to_tag: &row.to_tag,
                    from_tag: &row.from_tag,
                    callid: &row.call_id,
                    remote_cseq: i64::from(row.remote_cseq),
                    contact: &row.contact,
                    record_route: route_set::join(&row.record_route),
                    granted_s: i64::from(row.granted_s),
                    accept: &row.accept,
                    user_agent: &row.user_agent,
                    flow: &row.reach.flow,
                    local_contact: &row.reach.local_contact,
                    socket_info: &row.reach.socket_info,
                    under_rules: row.decided_by.is_by_rules(),
                    allowed: row.decided_by != DecidedBy::Rules,
                },
                Once {
                    subscriber_key: subscriber_key,
                    now: self.0.now(),
                }
            ))
            .await?;
        rows.iter()
            .zip(answers)
            .map(|(row, answer)| Ok((accepted(&row.to_tag, &answer)?, answer.get("in_use"))))
            .collect()
    }

    /// Of the subscriptions of one subscriber (presentity, event and its id, watcher, `subscriber_key`) keeps the newest and ends the
    /// others, with `terminated;reason=rejected` due for each; returns how many it ended. Call it when [`Subscriptions::create_batch`] has
    /// returned, with the same rows, and answer after it. Without keys in `rows` it does nothing.
    ///
    /// # Locks
    /// Rows of `active_watchers` that are to end, by (presentity_uri, event, id), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn supersede_batch(&self, rows: &[NewSubscription]) -> Result<u64, StoreError> {
        let has_key = |row: &&NewSubscription| row.subscriber_key.is_some();
        let keyed: Vec<&NewSubscription> = rows.iter().filter(has_key).collect();
        if keyed.is_empty() {
            return Ok(0);
        }
        self.0
            .execute(&batch!(
                keyed,
                |row| subscription::SupersedeBatch {
                    presentity_uri: row.aor.uri(),
                    event: &row.event,
                    event_id: &row.event_id,
                    watcher_username: &row.watcher.username,
                    watcher_domain: &row.watcher.domain,
                    subscriber_key: row.subscriber_key.as_deref(),
                },
                Once { now: self.0.now() }
            ))
            .await
    }

    /// Refreshes and ends dialogs; outcomes in input order. A NOTIFY is due at once for each accepted one.
    ///
    /// The same request again is a copy: same answer, nothing changes. Another one with the stored CSeq is accepted, a lower one only within
    /// `cseq_offset`. Two requests of one dialog in one slice are carried out one after the other.
    ///
    /// # Locks
    /// Rows of `active_watchers` by (presentity_uri, event, id), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn refresh_batch(
        &self,
        rows: &[SubscriptionRefresh],
        cseq_offset: u32,
    ) -> Result<Vec<SubscribeOutcome>, StoreError> {
        let mut outcomes = vec![SubscribeOutcome::NoDialog; rows.len()];
        for round in rounds::split(
            rows.iter()
                .map(|row| (&row.call_id, &row.to_tag, &row.from_tag)),
        ) {
            let rows: Vec<&SubscriptionRefresh> = round.iter().map(|&index| &rows[index]).collect();
            for (index, outcome) in round
                .into_iter()
                .zip(self.refresh_distinct(&rows, cseq_offset).await?)
            {
                outcomes[index] = outcome;
            }
        }
        Ok(outcomes)
    }

    /// Refreshes of which no two name the same dialog.
    async fn refresh_distinct(
        &self,
        rows: &[&SubscriptionRefresh],
        cseq_offset: u32,
    ) -> Result<Vec<SubscribeOutcome>, StoreError> {
        let answers = self
            .0
            .query(&batch!(
                rows,
                |row| subscription::RefreshBatch {
                    callid: &row.call_id,
                    to_tag: &row.to_tag,
                    from_tag: &row.from_tag,
                    event: &row.event,
                    event_id: &row.event_id,
                    remote_cseq: i64::from(row.remote_cseq),
                    request: row.request,
                    contact: row.contact.as_deref(),
                    granted_s: i64::from(row.granted_s),
                    flow: &row.reach.flow,
                    local_contact: &row.reach.local_contact,
                    under_rules: row.decided_by.is_by_rules(),
                    requester_username: row.requester.as_ref().map(|aor| aor.username.as_str()),
                    requester_domain: row.requester.as_ref().map(|aor| aor.domain.as_str()),
                },
                Once {
                    cseq_offset: i64::from(cseq_offset),
                    now: self.0.now(),
                }
            ))
            .await?;
        let mut outcomes = vec![SubscribeOutcome::NoDialog; rows.len()];
        for answer in &answers {
            let index = ordinal(answer, "ord");
            if let (Some(row), Some(outcome)) = (rows.get(index), outcomes.get_mut(index)) {
                *outcome = match answer.get("outcome") {
                    "accepted" => accepted(&row.to_tag, answer)?,
                    "out_of_order" => SubscribeOutcome::OutOfOrder,
                    "forbidden" => SubscribeOutcome::Forbidden,
                    _ => SubscribeOutcome::NoDialog,
                };
            }
        }
        Ok(outcomes)
    }
}

fn accepted(to_tag: &str, answer: &Row) -> Result<SubscribeOutcome, StoreError> {
    let granted_s: i64 = answer.get("granted_s");
    Ok(SubscribeOutcome::Accepted {
        granted_s: u32::try_from(granted_s).map_err(|_| StoreError::Inconsistent {
            table: "active_watchers",
            column: "granted_s",
            row: 0,
        })?,
        to_tag: to_tag.to_owned(),
        local_contact: answer.get("local_contact"),
    })
}
