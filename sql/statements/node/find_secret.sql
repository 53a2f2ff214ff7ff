-- node.find_secret
-- Purpose:    the secret behind entity-tags, To-tags and flow tokens
-- Called by:  server/src/front/secret.rs, at the start
-- Parameters: none
-- Returns:    secret bytea
-- Locks:      none
-- Plan:       cluster has one row
-- Retry:      safe, reads only
-- RFC:        none
SELECT secret
FROM cluster
