-- identity.list_credentials
-- Purpose:    the hashes of passwords, of many users at once
-- Called by:  server/src/identity/accounts.rs, for users that are not in its cache
-- Parameters: username text[] | realm text[] (in lower case; the n-th of each belong together)
-- Returns:    place int8 (from 1; no row for who is not known) | ha1_md5 text | ha1_sha256 text
-- Locks:      none
-- Plan:       subscriber_account_idx, subscriber_address_idx
-- Retry:      safe, reads only
-- RFC:        RFC 7616 section 3.4.2
SELECT u.place, c.ha1_md5, c.ha1_sha256
FROM unnest(:username::text[], :realm::text[]) WITH ORDINALITY AS u (username, realm, place)
CROSS JOIN LATERAL (
    SELECT p.ha1_md5, p.ha1_sha256
    FROM presence_credentials AS p
    WHERE p.username = u.username AND p.realm = u.realm
    LIMIT 1
) AS c
