//! What a SUBSCRIBE does: a new dialog, a refresh, an end. RFC 6665 section 4.2.1; CSeq: RFC 3261 section 12.2.2.

use events::{DecidedBy, NewSubscription, SubscribeOutcome, SubscriptionRefresh};
use tokio_postgres::Row;

use super::Subscriptions;
use crate::{StoreError, ordinal, registry, rounds, route_set};

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
        let answers = {
            let call_id = texts(rows, |row| &row.call_id);
            let to_tag = texts(rows, |row| &row.to_tag);
            let from_tag = texts(rows, |row| &row.from_tag);
            self.0
                .query(
                    &registry::SUBSCRIPTION_RENEW_BATCH,
                    &[&call_id, &to_tag, &from_tag, &self.0.now()],
                )
                .await?
        };
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
        let presentity_uri: Vec<String> = rows.iter().map(|row| row.aor.uri()).collect();
        let event = texts(rows, |row| &row.event);
        let event_id = texts(rows, |row| &row.event_id);
        let watcher_username = texts(rows, |row| &row.watcher.username);
        let watcher_domain = texts(rows, |row| &row.watcher.domain);
        let to_user = texts(rows, |row| &row.to_user);
        let to_domain = texts(rows, |row| &row.to_domain);
        let from_user = texts(rows, |row| &row.from_user);
        let from_domain = texts(rows, |row| &row.from_domain);
        let from_display = texts(rows, |row| &row.from_display);
        let local_uri = texts(rows, |row| &row.local_uri);
        let remote_uri = texts(rows, |row| &row.remote_uri);
        let to_tag = texts(rows, |row| &row.to_tag);
        let from_tag = texts(rows, |row| &row.from_tag);
        let call_id = texts(rows, |row| &row.call_id);
        let remote_cseq: Vec<i64> = rows.iter().map(|row| row.remote_cseq.into()).collect();
        let contact = texts(rows, |row| &row.contact);
        let record_route: Vec<String> = rows
            .iter()
            .map(|row| route_set::join(&row.record_route))
            .collect();
        let granted_s: Vec<i64> = rows.iter().map(|row| row.granted_s.into()).collect();
        let accept = texts(rows, |row| &row.accept);
        let user_agent = texts(rows, |row| &row.user_agent);
        let flow = texts(rows, |row| &row.reach.flow);
        let local_contact = texts(rows, |row| &row.reach.local_contact);
        let socket_info = texts(rows, |row| &row.reach.socket_info);
        let is = |wanted: fn(DecidedBy) -> bool| -> Vec<bool> {
            rows.iter().map(|row| wanted(row.decided_by)).collect()
        };
        let under_rules = is(DecidedBy::is_by_rules);
        let allowed = is(|decided_by| decided_by != DecidedBy::Rules);
        // Null when no row has a key: the statement then costs what it would without the parameter.
        let subscriber_key: Option<Vec<Option<&str>>> = rows
            .iter()
            .any(|row| row.subscriber_key.is_some())
            .then(|| {
                rows.iter()
                    .map(|row| row.subscriber_key.as_deref())
                    .collect()
            });
        let answers = self
            .0
            .query(
                &registry::SUBSCRIPTION_CREATE_BATCH,
                &[
                    &presentity_uri,
                    &event,
                    &event_id,
                    &watcher_username,
                    &watcher_domain,
                    &to_user,
                    &to_domain,
                    &from_user,
                    &from_domain,
                    &local_uri,
                    &remote_uri,
                    &to_tag,
                    &from_tag,
                    &call_id,
                    &remote_cseq,
                    &contact,
                    &record_route,
                    &granted_s,
                    &accept,
                    &user_agent,
                    &flow,
                    &local_contact,
                    &socket_info,
                    &self.0.now(),
                    &under_rules,
                    &allowed,
                    &from_display,
                    &subscriber_key,
                ],
            )
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
        let keyed: Vec<(&NewSubscription, &str)> = rows
            .iter()
            .filter_map(|row| Some((row, row.subscriber_key.as_deref()?)))
            .collect();
        if keyed.is_empty() {
            return Ok(0);
        }
        let column = |column: fn(&NewSubscription) -> &str| -> Vec<&str> {
            keyed.iter().map(|(row, _)| column(row)).collect()
        };
        let presentity_uri: Vec<String> = keyed.iter().map(|(row, _)| row.aor.uri()).collect();
        let subscriber_key: Vec<&str> = keyed.iter().map(|(_, key)| *key).collect();
        self.0
            .execute(
                &registry::SUBSCRIPTION_SUPERSEDE_BATCH,
                &[
                    &presentity_uri,
                    &column(|row| &row.event),
                    &column(|row| &row.event_id),
                    &column(|row| &row.watcher.username),
                    &column(|row| &row.watcher.domain),
                    &subscriber_key,
                    &self.0.now(),
                ],
            )
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
        let call_id: Vec<&str> = rows.iter().map(|row| row.call_id.as_str()).collect();
        let to_tag: Vec<&str> = rows.iter().map(|row| row.to_tag.as_str()).collect();
        let from_tag: Vec<&str> = rows.iter().map(|row| row.from_tag.as_str()).collect();
        let event: Vec<&str> = rows.iter().map(|row| row.event.as_str()).collect();
        let event_id: Vec<&str> = rows.iter().map(|row| row.event_id.as_str()).collect();
        let remote_cseq: Vec<i64> = rows.iter().map(|row| row.remote_cseq.into()).collect();
        let request: Vec<i64> = rows.iter().map(|row| row.request).collect();
        let contact: Vec<Option<&str>> = rows.iter().map(|row| row.contact.as_deref()).collect();
        let granted_s: Vec<i64> = rows.iter().map(|row| row.granted_s.into()).collect();
        let flow: Vec<&str> = rows.iter().map(|row| row.reach.flow.as_str()).collect();
        let local_contact: Vec<&str> = rows
            .iter()
            .map(|row| row.reach.local_contact.as_str())
            .collect();
        let cseq_offset = i64::from(cseq_offset);
        let under_rules: Vec<bool> = rows
            .iter()
            .map(|row| row.decided_by.is_by_rules())
            .collect();
        let answers = self
            .0
            .query(
                &registry::SUBSCRIPTION_REFRESH_BATCH,
                &[
                    &call_id,
                    &to_tag,
                    &from_tag,
                    &event,
                    &event_id,
                    &remote_cseq,
                    &contact,
                    &granted_s,
                    &flow,
                    &local_contact,
                    &cseq_offset,
                    &self.0.now(),
                    &under_rules,
                    &request,
                ],
            )
            .await?;
        let mut outcomes = vec![SubscribeOutcome::NoDialog; rows.len()];
        for answer in &answers {
            let index = ordinal(answer, "ord");
            if let (Some(row), Some(outcome)) = (rows.get(index), outcomes.get_mut(index)) {
                *outcome = match answer.get("outcome") {
                    "accepted" => accepted(&row.to_tag, answer)?,
                    "out_of_order" => SubscribeOutcome::OutOfOrder,
                    _ => SubscribeOutcome::NoDialog,
                };
            }
        }
        Ok(outcomes)
    }
}

fn texts<'a>(
    rows: &'a [NewSubscription],
    column: impl Fn(&'a NewSubscription) -> &'a String,
) -> Vec<&'a str> {
    rows.iter().map(|row| column(row).as_str()).collect()
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
