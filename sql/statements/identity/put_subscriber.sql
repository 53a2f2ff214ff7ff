-- identity.put_subscriber
-- Purpose:    gives a user a password, in place of the one before
-- Called by:  cli/src/user.rs: pgpresence user add
-- Parameters: username text | domain text | ha1 text | ha1b text | ha1_sha256 text
-- Returns:    is_new bool
-- Locks:      the row of the user
-- Plan:       subscriber_account_idx
-- Retry:      safe, writes the same again
-- RFC:        RFC 7616 section 3.4.2
INSERT INTO subscriber AS s (username, domain, ha1, ha1b, ha1_sha256)
VALUES (:username::text, :domain::text, :ha1::text, :ha1b::text, :ha1_sha256::text)
ON CONFLICT (username, lower(domain)) DO UPDATE
SET domain = EXCLUDED.domain, password = '', ha1 = EXCLUDED.ha1, ha1b = EXCLUDED.ha1b, ha1_sha256 = EXCLUDED.ha1_sha256
RETURNING s.xmax = 0 AS is_new
