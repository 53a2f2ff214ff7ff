-- Why the last NOTIFY of a dialog failed, in words.
--
-- That a NOTIFY failed could be counted, and why only be read in the log of the notifier that sent it. The words are written together
-- with the count, by the statement that stores the verdict, and mean something only where that is not 0: a refresh, which sets the count
-- back, leaves them alone.

ALTER TABLE active_watchers ADD COLUMN failure text NOT NULL DEFAULT '';
COMMENT ON COLUMN active_watchers.failure IS 'Why the last NOTIFY failed, in words (message too long, could not be reached, answered 503); of no meaning where failures is 0. Written by notifiers together with failures.';

CREATE OR REPLACE VIEW presence_subscriptions AS
SELECT
    a.id, a.presentity_uri, a.event, presence_join_uri(a.watcher_username, a.watcher_domain) AS watcher,
    CASE WHEN a.ended THEN 'ended'
         WHEN a.status <> 3 AND NOT is_live(a.expires, presence_now()) THEN 'expired'
         ELSE presence_status_name(a.status) END AS state,
    a.reason,
    CASE WHEN a.ended THEN 'nothing'
         WHEN a.updated <> -1 AND a.retry_at > extract(epoch FROM presence_now()) THEN 'again'
         WHEN a.decided_version = -1 THEN 'decision'
         WHEN a.updated <> -1 THEN 'answer'
         WHEN q.version > a.notified_version AND a.status = 1 THEN 'state'
         ELSE 'nothing' END AS owed,
    presence_time(a.expires) AS expires,
    a.local_cseq AS notified, a.failures,
    CASE WHEN a.updated <> -1 AND a.retry_at > 0 THEN to_timestamp(a.retry_at) END AS retry_at,
    a.user_agent, a.contact, a.flow <> '' AS by_flow, a.callid, a.view AS shows,
    a.notified_at,
    CASE WHEN a.failures > 0 THEN NULLIF(a.failure, '') END AS last_failure
FROM active_watchers AS a
LEFT JOIN notify_queue AS q ON q.presentity_uri = a.presentity_uri AND q.event = a.event;
COMMENT ON VIEW presence_subscriptions IS
    'Who watches whom, with which phone, and what the phone is owed: nothing; decision = whether it may watch, then a NOTIFY; answer = the NOTIFY that answers its SUBSCRIBE or ends it; state = a change, which is sent if it shows this watcher something new; again = a NOTIFY that failed, at retry_at. notified = how many NOTIFYs were sent; notified_at = when the last one was taken from the queue; shows = what they show: all, a view of it, polite-block, or none; last_failure = why the last one failed, null if it did not.';

COMMENT ON COLUMN active_watchers.target_version IS 'Grows by one when the phone is to be reached elsewhere, by another contact or flow: a NOTIFY in flight to the old target is given up. Written by servers.';
