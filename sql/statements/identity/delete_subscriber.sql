-- identity.delete_subscriber
-- Purpose:    takes a user's password away
-- Called by:  cli/src/user.rs: pgpresence user remove
-- Parameters: username text | domain text
-- Returns:    id int8 (no row: there is no such user)
-- Locks:      the row of the user
-- Plan:       subscriber_account_idx
-- Retry:      safe, then there is no such user
-- RFC:        none
DELETE FROM subscriber AS s
WHERE s.username = :username::text AND lower(s.domain) = lower(:domain::text COLLATE "C")
RETURNING s.id
