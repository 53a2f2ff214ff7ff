-- queue.found
-- Purpose:    what a claim goes by of a row q of notify_queue, as it is found
-- Part of:    queue.claim, queue.claim_overdue
-- Needs:      notify_queue AS q
-- Parameters: now
q.presentity_uri, q.event, q.version, q.claimed_version, q.flagged_due, q.not_before, q.changes_at, q.decide_at, q.recovered_version,
q.owner IS NOT NULL AND q.lease_until > COALESCE(:now::timestamptz, now()) AS continued,
q.owner IS NOT NULL AND q.lease_until <= COALESCE(:now::timestamptz, now()) AS recovered,
q.changes_at <= COALESCE(:now::timestamptz, now()) AND q.not_before <= COALESCE(:now::timestamptz, now()) AS aged
