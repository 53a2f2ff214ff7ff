-- identity.list_subscribers
-- Purpose:    the users of digest authentication, and by which algorithms each can prove a password
-- Called by:  cli/src/user.rs: pgpresence user list
-- Parameters: $1 after_username text | $2 after_domain text: the last row before | $3 rows bigint
-- Returns:    username text | domain text | has_md5 bool | has_sha256 bool, in the order of both
-- Locks:      none
-- Plan:       subscriber_account_idx, in its order
-- Retry:      safe, reads only
-- RFC:        none
SELECT s.username, lower(s.domain) AS domain,
       s.ha1 <> '' OR s.password <> '' AS has_md5,
       s.ha1_sha256 <> '' OR s.password <> '' AS has_sha256
FROM subscriber AS s
WHERE (s.username, lower(s.domain)) > ($1::text, $2::text)
ORDER BY s.username, lower(s.domain)
LIMIT $3::bigint
