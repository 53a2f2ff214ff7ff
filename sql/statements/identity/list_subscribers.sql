-- identity.list_subscribers
-- Purpose:    the users of digest authentication, and by which algorithms each can prove a password
-- Called by:  cli/src/user.rs: pgpresence user list
-- Parameters: after_username text (of the last row before) | after_domain text | limit int8
-- Returns:    username text | domain text | has_md5 bool | has_sha256 bool
-- Locks:      none
-- Plan:       subscriber_account_idx, in its order
-- Retry:      safe, reads only
-- RFC:        none
SELECT s.username, lower(s.domain) AS domain,
       s.ha1 <> '' OR s.password <> '' AS has_md5,
       s.ha1_sha256 <> '' OR s.password <> '' AS has_sha256
FROM subscriber AS s
WHERE (s.username, lower(s.domain)) > (:after_username::text, :after_domain::text)
ORDER BY s.username, lower(s.domain)
LIMIT :limit::bigint
