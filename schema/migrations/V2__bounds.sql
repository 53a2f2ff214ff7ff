-- What one column may hold.
--
-- All lengths are far below what an index takes (2,704 octets). The processes have the same ones (lib/sip/src/bound.rs) and refuse what is
-- longer before it comes here, by name; these are for SQL by hand, and for everybody's trust. A sum of names is checked by its parts.
--
-- Domains, and not CHECK constraints of the tables: those PostgreSQL reads anew for each statement that writes the table, whatever it writes;
-- a domain is read once for each session, and checked only where its column is written. With constraints a SUBSCRIBE that renews a dialog
-- took 385 us of PostgreSQL's time, with domains 320 (docs/PERFORMANCE.md). What two columns must be together is left for the tables.
-- A value that is refused is told by its constraint, which names the columns, and not by its table.

-- === Names ===

CREATE DOMAIN canonical_uri AS text COLLATE "C"
    CONSTRAINT "presentity_uri has at most 515 octets" CHECK (octet_length(VALUE) <= 515);
CREATE DOMAIN event_name AS text COLLATE "C"
    CONSTRAINT "event has at most 128 octets" CHECK (octet_length(VALUE) <= 128);
CREATE DOMAIN event_package AS event_name
    CONSTRAINT "there is an event package" CHECK (VALUE <> '');
-- Watcher information has a longer name than its package.
CREATE DOMAIN queued_event AS text COLLATE "C"
    CONSTRAINT "event has at most 255 octets" CHECK (octet_length(VALUE) <= 255);
CREATE DOMAIN account_part AS text
    CONSTRAINT "username and domain have at most 255 octets" CHECK (octet_length(VALUE) <= 255);
CREATE DOMAIN watcher_part AS text
    CONSTRAINT "watcher_username and watcher_domain have at most 255 octets" CHECK (octet_length(VALUE) <= 255);

-- === Publications and documents ===

CREATE DOMAIN entity_tag AS text
    CONSTRAINT "a publication has an entity-tag" CHECK (VALUE <> '')
    CONSTRAINT "etag has at most 255 octets" CHECK (octet_length(VALUE) <= 255);
CREATE DOMAIN publication_text AS text
    CONSTRAINT "ruid and content_type have at most 255 octets" CHECK (octet_length(VALUE) <= 255);
CREATE DOMAIN sender_uri AS text
    CONSTRAINT "sender has at most 1024 octets" CHECK (octet_length(VALUE) <= 1024);
CREATE DOMAIN recent_requests AS text[]
    CONSTRAINT "a publication remembers at most five requests" CHECK (cardinality(VALUE) <= 5);
CREATE DOMAIN publication_expires AS bigint
    CONSTRAINT "expires is an epoch second, or -1 for never" CHECK (VALUE >= -1);
CREATE DOMAIN document_address AS text COLLATE "C"
    CONSTRAINT "a document has an address" CHECK (VALUE <> '')
    CONSTRAINT "doc_uri has at most 2048 octets" CHECK (octet_length(VALUE) <= 2048);

-- === Dialogs and decisions ===

CREATE DOMAIN dialog_part AS text
    CONSTRAINT "callid, to_tag, from_tag, event_id: at most 255 octets" CHECK (octet_length(VALUE) <= 255);
CREATE DOMAIN header_part AS text
    CONSTRAINT "to_user, to_domain, from_user, from_domain: at most 255 octets" CHECK (octet_length(VALUE) <= 255);
CREATE DOMAIN header_uri AS text
    CONSTRAINT "local_uri and remote_uri have at most 2048 octets" CHECK (octet_length(VALUE) <= 2048);
CREATE DOMAIN route_set AS text
    CONSTRAINT "record_route has at most 4096 octets" CHECK (octet_length(VALUE) <= 4096);
CREATE DOMAIN dialog_text AS text
    CONSTRAINT "contact, user_agent, from_display, view: at most 1024 octets" CHECK (octet_length(VALUE) <= 1024);
CREATE DOMAIN phone_key AS text COLLATE "C"
    CONSTRAINT "subscriber_key has at most 1280 octets" CHECK (octet_length(VALUE) <= 1280);
CREATE DOMAIN notify_number AS bigint
    CONSTRAINT "a dialog retires before its CSeq or version reaches 2^31" CHECK (VALUE BETWEEN 0 AND 2147483647);
CREATE DOMAIN cseq AS bigint
    CONSTRAINT "the subscriber's CSeq has 32 bits (RFC 3261)" CHECK (VALUE BETWEEN 0 AND 4294967295);
CREATE DOMAIN watcher_status AS smallint
    CONSTRAINT "status is 1 active, 2 pending, 3 terminated or 4 waiting" CHECK (VALUE BETWEEN 1 AND 4);
CREATE DOMAIN rules_decision AS bigint
    CONSTRAINT "a decision has a rules_version, or is -1 for still to be made" CHECK (VALUE >= -1);
