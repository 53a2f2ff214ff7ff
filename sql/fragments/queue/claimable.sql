-- queue.claimable
-- Purpose:    whether a row q of notify_queue is free, or the caller's own
-- Part of:    queue.claim, queue.claim_overdue, queue.list_due
-- Needs:      notify_queue AS q
-- Parameters: owner | held | now
--
-- Our own row is ours to claim again only while we know its claim (held). One that we gave up, because the answer to a take was
-- lost or too little of the lease was left, must not be claimed as if nothing had happened: it would be settled, and what that
-- take took be lost. It stays as it is until its lease runs out.
(q.owner IS NULL OR (q.owner = :owner::bigint AND q.claim = ANY (:held::bigint[])) OR q.lease_until <= COALESCE(:now::timestamptz, now()))
