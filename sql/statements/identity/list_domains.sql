-- identity.list_domains
-- Purpose:    the domains whose presentities are served
-- Called by:  server/src/identity/domains.rs, at the start and every few seconds
-- Parameters: none
-- Returns:    domain text (in lower case)
-- Locks:      none
-- Plan:       domain has few rows
-- Retry:      safe, reads only
-- RFC:        none
SELECT lower(d.domain) AS domain
FROM domain AS d
