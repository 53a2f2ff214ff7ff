-- identity.list_delegated
-- Purpose:    which of many identities may act for a presentity in an event package
-- Called by:  server/src/identity/delegates.rs, for what is not in its cache
-- Parameters: identity text[] | presentity_uri text[] | event text[] (canonical URIs; the n-th of each belong together)
-- Returns:    place int8 (from 1, of those who may)
-- Locks:      none
-- Plan:       presence_delegate_identity_idx
-- Retry:      safe, reads only
-- RFC:        none
SELECT u.place
FROM unnest(:identity::text[], :presentity_uri::text[], :event::text[]) WITH ORDINALITY AS u (identity, presentity_uri, event, place)
CROSS JOIN LATERAL (
    SELECT
    FROM presence_delegate AS d
    WHERE lower(d.identity) = lower(u.identity COLLATE "C")
      AND presence_uri_under(d.identity, presence_uri_match()) = u.identity
      AND presence_uri_under(d.presentity_uri, presence_uri_match()) IN (u.presentity_uri, regexp_replace(u.presentity_uri, '^sip:[^@]*@', 'sip:*@'))
      AND d.event IN (u.event, '*')
    LIMIT 1
) AS may
