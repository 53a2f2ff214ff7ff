-- identity.delete_subscriber
-- Purpose:    takes a user's password away
-- Called by:  cli/src/user.rs: pgpresence user remove
-- Parameters: $1 username text | $2 domain text
-- Returns:    id bigint; no row if there is no such user
-- Locks:      the row of the user
-- Plan:       subscriber_account_idx
-- Retry:      safe, then there is no such user
-- RFC:        none
DELETE FROM subscriber AS s
WHERE s.username = $1::text AND lower(s.domain) = lower($2::text COLLATE "C")
RETURNING s.id
