-- identity.list_credentials
-- Purpose:    the hashes of passwords, of many users at once
-- Called by:  server/src/identity/credentials.rs, for users that are not in its cache
-- Parameters: username text[] | realm text[] (in lower case; the n-th of each belong together)
-- Returns:    place int8, from 1 | ha1_md5 text | ha1_sha256 text; no row for who is not known
-- Locks:      none
-- Plan:       nested loop into subscriber_account_idx and subscriber_address_idx
-- Retry:      safe, reads only
-- RFC:        RFC 7616 section 3.4.2
SELECT u.place, c.ha1_md5, c.ha1_sha256
FROM unnest(:username::text[], :realm::text[]) WITH ORDINALITY AS u (username, realm, place)
JOIN presence_credentials AS c ON c.username = u.username AND c.realm = u.realm
