-- SQL as an interface: what operators and other programs may read. docs/SQL.md is its documentation, and a test runs each example there.
-- The names and columns below are promised: they stay, later versions only add to them.

-- === Words for codes ===

CREATE FUNCTION presence_time(epoch bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN epoch = -1 THEN 'infinity' ELSE to_timestamp(epoch) END;
COMMENT ON FUNCTION presence_time(bigint) IS 'The time of an epoch second; infinity for -1, which means never.';

CREATE FUNCTION presence_status_name(status smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['active', 'pending', 'terminated', 'waiting'])[status];
COMMENT ON FUNCTION presence_status_name(smallint) IS 'The word of RFC 3857 for a status of active_watchers or watchers.';

-- This and presence_says are unsafe in parallel plans: an error is caught, for which PostgreSQL begins a subtransaction, and a parallel
-- worker cannot.
CREATE FUNCTION presence_text(body bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN convert_from(body, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN encode(body, 'escape');
END
$$;
COMMENT ON FUNCTION presence_text(bytea) IS 'A document as text; with \ooo for its bytes if it is not UTF-8.';

CREATE FUNCTION presence_says(event text, body bytea) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT string_agg(m[1], ', ')
    FROM regexp_matches(
        presence_text(body),
        CASE WHEN event = 'presence'            THEN '<(?:[[:alnum:]_.-]+:)?basic(?:\s[^>]*)?>\s*([^<\s]+)'
             WHEN event IN ('dialog', 'dialog;sla') THEN '<(?:[[:alnum:]_.-]+:)?state(?:\s[^>]*)?>\s*([^<\s]+)'
             WHEN event = 'message-summary'     THEN 'Messages-Waiting[ \t]*:[ \t]*([[:alpha:]]+)'
             ELSE '(?!)' END, 'gi') AS m;
END;
COMMENT ON FUNCTION presence_says(text, bytea) IS
    'The words in a document that light a lamp: open or closed, the states of calls, yes or no for waiting messages; null if none. For the eye: found by search, the document is not parsed.';

-- === Views for people ===

CREATE VIEW presence_publications AS
SELECT
    p.id, p.presentity_uri, p.event,
    CASE WHEN p.removed THEN 'removed' WHEN is_live(p.expires, presence_now()) THEN 'live' ELSE 'expired' END AS state,
    presence_says(p.event, p.body) AS says,
    CASE WHEN isfinite(p.modified) THEN p.modified ELSE to_timestamp(p.received_time) END AS published,
    presence_time(p.expires) AS expires,
    p.sender, p.etag, p.priority, p.content_type, octet_length(p.body) AS body_bytes, presence_text(p.body) AS document
FROM presentity AS p;
COMMENT ON VIEW presence_publications IS
    'Who published what. state: live is shown to watchers; expired and removed are not, and go within a second or 32 s.';

CREATE VIEW presence_hard_state AS
SELECT x.id, x.presentity_uri, x.etag, octet_length(x.doc) AS body_bytes, presence_text(x.doc) AS document, x.doc_uri
FROM xcap AS x
WHERE x.doc_type = 16;
COMMENT ON VIEW presence_hard_state IS
    'Stored documents (pidf-manipulation, RFC 4827) that are shown with what is published of presence, and stay when that ends.';

CREATE VIEW presence_subscriptions AS
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

CREATE VIEW presence_decisions AS
SELECT
    w.id, w.presentity_uri, presence_join_uri(w.watcher_username, w.watcher_domain) AS watcher, w.event,
    presence_status_name(w.status) AS decision, w.reason, to_timestamp(w.inserted_time) AS decided, w.view AS shows,
    to_timestamp(w.recheck_at) AS recheck_at
FROM watchers AS w;
COMMENT ON VIEW presence_decisions IS
    'What was decided about who may watch whom; it is looked at again at recheck_at, if a rule begins or ends then.';

-- The states of all subscriptions in one place, as Kamailio's table watchers has them: of those that were decided about, and of those
-- that there is nothing to decide about.
--
-- A watcher who is let in because there are no rules has no row in watchers. Kamailio writes one with each first SUBSCRIBE. Here that
-- would be a write more for each, and for its end, of what stands in active_watchers anyway: hence a view, which costs a SUBSCRIBE nothing.
CREATE VIEW presence_watcher_states AS
SELECT
    w.id, w.presentity_uri, w.watcher_username, w.watcher_domain, w.event, w.status, w.reason, w.inserted_time,
    presence_status_name(w.status) AS state, true AS decided
FROM watchers AS w
UNION ALL
SELECT
    s.id, s.presentity_uri, s.watcher_username, s.watcher_domain, s.event, s.status, s.reason, s.inserted_time,
    presence_status_name(s.status), false
FROM (
    -- Of several dialogs of a watcher the one in the best state, and of these the newest.
    SELECT DISTINCT ON (a.presentity_uri, a.event, a.watcher_username, a.watcher_domain)
        -a.id AS id, a.presentity_uri, a.watcher_username, a.watcher_domain, a.event, a.status,
        CASE WHEN a.status = 1 AND a.view = 'polite-block' THEN 'polite-block' ELSE a.reason END AS reason,
        a.created_time AS inserted_time
    FROM active_watchers AS a
    WHERE a.status <> 3 AND is_live(a.expires, presence_now())
    ORDER BY a.presentity_uri, a.event, a.watcher_username, a.watcher_domain, a.status, a.id DESC) AS s
WHERE NOT EXISTS (
    SELECT FROM watchers AS w
    WHERE w.presentity_uri = s.presentity_uri AND w.watcher_username = s.watcher_username
      AND w.watcher_domain = s.watcher_domain AND w.event = s.event);
COMMENT ON VIEW presence_watcher_states IS
    'In which state each watcher is, with the columns of Kamailio''s table watchers: what was decided (decided, id of watchers), else the state of the living subscription (id of active_watchers, negative; inserted_time = its first SUBSCRIBE). One row for a presentity, watcher and event.';

CREATE VIEW presence_backlog AS
SELECT
    q.presentity_uri, q.event,
    CASE WHEN q.version > q.claimed_version AND q.flagged_due < 'infinity' THEN 'state and answers'
         WHEN q.version > 0 THEN 'state'
         WHEN q.decide_at <= presence_now() AND q.flagged_due = 'infinity' THEN 'decisions'
         ELSE 'answers' END AS owed,
    q.owed_since,
    CASE WHEN EXISTS (SELECT FROM quarantine AS x
                      WHERE x.presentity_uri = q.presentity_uri AND x.event = q.event AND x.dialog = 0
                        AND x.retry_at > presence_now()) THEN 'set aside'
         WHEN q.owner IS NOT NULL AND q.lease_until > presence_now() THEN 'being sent'
         WHEN q.owner IS NOT NULL THEN 'left behind'
         WHEN q.due <= presence_now() THEN 'due'
         WHEN q.version > 0 THEN 'paced'
         ELSE 'again' END AS state,
    q.due,
    (SELECT n.kind || ' ' || n.pid || ' on ' || n.host FROM node AS n WHERE n.id = q.owner) AS holder,
    (SELECT count(*)
     FROM active_watchers AS a
     WHERE a.presentity_uri = q.presentity_uri AND a.event = q.event AND NOT a.ended
       AND (a.updated <> -1 OR (a.status = 1 AND a.notified_version < q.version))) AS dialogs
FROM notify_queue AS q
WHERE q.owed_since IS NOT NULL;
COMMENT ON VIEW presence_backlog IS
    'What is waiting to be sent, and since when. state: due = the next free notifier takes it; being sent = by holder; paced = waitn_time holds it until due; again = after a failure, at due; left behind = its holder died, the next notifier sends all of it; set aside = the database refuses its data: see quarantine.';

CREATE VIEW presence_processes AS
SELECT
    n.id, n.kind, n.host, n.pid, n.address, n.version, n.started, n.heartbeat,
    -- Six heartbeats.
    CASE WHEN n.heartbeat > presence_now() - interval '30 s' THEN 'alive' ELSE 'silent' END AS state,
    n.events
FROM node AS n;
COMMENT ON VIEW presence_processes IS 'Which processes run. silent = no heartbeat for 30 s; it is removed after 60 s.';

CREATE VIEW presence_usage AS
SELECT s.event, s.state, s.user_agent, count(*) AS subscriptions
FROM presence_subscriptions AS s
GROUP BY s.event, s.state, s.user_agent;
COMMENT ON VIEW presence_usage IS 'How many subscriptions there are, by event package, state and user agent. Reads all subscriptions.';

CREATE VIEW presence_gone_phones AS
SELECT
    a.id, presence_join_uri(a.watcher_username, a.watcher_domain) AS watcher, a.user_agent, a.contact, a.presentity_uri, a.event,
    -- An unsubscription and a fetch have granted_s = 0.
    CASE WHEN a.ended AND a.reason = '' THEN 'refused or left unanswered its last NOTIFY'
         WHEN a.status = 3 THEN 'did not renew its subscription'
         WHEN a.failures > 0 THEN 'does not answer'
         ELSE 'did not renew its subscription' END AS why,
    a.failures,
    CASE WHEN a.failures > 0 AND a.updated <> -1 THEN to_timestamp(a.retry_at) END AS retry_at
FROM active_watchers AS a
WHERE (a.failures > 0 AND NOT a.ended)
   OR (a.ended AND a.reason = '')
   OR (a.status = 3 AND a.reason = 'timeout' AND a.granted_s > 0)
   OR (a.status <> 3 AND NOT is_live(a.expires, presence_now()));
COMMENT ON VIEW presence_gone_phones IS
    'Phones that do not answer, and those whose subscription ended without a word from them in the last 32 s (then its row goes).';
