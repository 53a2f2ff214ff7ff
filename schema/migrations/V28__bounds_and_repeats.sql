-- How long a value may be, and what makes a request the same request.

-- In the order in which others lock them: a server of the version before goes on meanwhile, and waits.
LOCK TABLE presentity, active_watchers, watchers, xcap, notify_queue IN ACCESS EXCLUSIVE MODE;

-- === How long a value may be ===

-- All bounds are far below what an index takes (2,704 octets). The processes have the same ones (lib/sip/src/bound.rs) and refuse what is
-- longer before it comes here, by name; this is for SQL by hand, and for everybody's trust. A sum of names is checked by its parts.
-- Each statement that writes a row evaluates them, so there is one for a few columns, and none for what only we write.

-- What is longer now could not be told of, or stop who tells: it is ended. The phone hears 481 or 412 and is refused by name when it
-- begins anew. Documents of xcap stay: nobody changes them but who wrote them.
DO $$
DECLARE
    publications  bigint;
    subscriptions bigint;
    decisions     bigint;
BEGIN
    DELETE FROM presentity AS p
    WHERE GREATEST(octet_length(p.username), octet_length(p.domain), octet_length(p.etag), octet_length(p.ruid),
                   octet_length(p.content_type)) > 255
       OR octet_length(p.presentity_uri) > 515 OR octet_length(p.event) > 128 OR octet_length(p.sender) > 1024;
    GET DIAGNOSTICS publications = ROW_COUNT;
    UPDATE active_watchers AS a SET view = 'nothing' WHERE octet_length(a.view) > 1024;
    DELETE FROM active_watchers AS a
    WHERE octet_length(a.presentity_uri) > 515 OR octet_length(a.event) > 128
       OR GREATEST(octet_length(a.watcher_username), octet_length(a.watcher_domain), octet_length(a.to_user), octet_length(a.to_domain),
                   octet_length(a.from_user), octet_length(a.from_domain), octet_length(a.callid), octet_length(a.to_tag),
                   octet_length(a.from_tag), octet_length(a.event_id)) > 255
       OR GREATEST(octet_length(a.contact), octet_length(a.user_agent), octet_length(a.from_display)) > 1024
       OR GREATEST(octet_length(a.local_uri), octet_length(a.remote_uri)) > 2048
       OR octet_length(a.record_route) > 4096 OR octet_length(a.subscriber_key) > 1280;
    GET DIAGNOSTICS subscriptions = ROW_COUNT;
    UPDATE watchers AS w SET view = 'nothing' WHERE octet_length(w.view) > 1024;
    DELETE FROM watchers AS w
    WHERE octet_length(w.presentity_uri) > 515 OR octet_length(w.event) > 128
       OR GREATEST(octet_length(w.watcher_username), octet_length(w.watcher_domain)) > 255;
    GET DIAGNOSTICS decisions = ROW_COUNT;
    DELETE FROM notify_queue AS q WHERE octet_length(q.presentity_uri) > 515 OR octet_length(q.event) > 255;
    IF publications + subscriptions + decisions > 0 THEN
        RAISE WARNING 'ended, because a name is too long: % publications, % subscriptions, % decisions', publications, subscriptions, decisions;
    END IF;
END
$$;

ALTER TABLE presentity
    ADD CONSTRAINT "presentity_uri has at most 515 octets, event at most 128"
        CHECK (octet_length(presentity_uri) <= 515 AND octet_length(event) <= 128),
    ADD CONSTRAINT "username and domain have at most 255 octets"
        CHECK (octet_length(username) <= 255 AND octet_length(domain) <= 255),
    ADD CONSTRAINT "etag, ruid and content_type have at most 255 octets"
        CHECK (octet_length(etag) <= 255 AND octet_length(ruid) <= 255 AND octet_length(content_type) <= 255),
    ADD CONSTRAINT "sender has at most 1024 octets"
        CHECK (octet_length(sender) <= 1024);
ALTER TABLE active_watchers
    ADD CONSTRAINT "presentity_uri has at most 515 octets, event at most 128"
        CHECK (octet_length(presentity_uri) <= 515 AND octet_length(event) <= 128),
    ADD CONSTRAINT "watcher_username and watcher_domain have at most 255 octets"
        CHECK (octet_length(watcher_username) <= 255 AND octet_length(watcher_domain) <= 255),
    ADD CONSTRAINT "to_user, to_domain, from_user, from_domain: at most 255 octets"
        CHECK (octet_length(to_user) <= 255 AND octet_length(to_domain) <= 255
               AND octet_length(from_user) <= 255 AND octet_length(from_domain) <= 255),
    ADD CONSTRAINT "callid, to_tag, from_tag, event_id: at most 255 octets"
        CHECK (octet_length(callid) <= 255 AND octet_length(to_tag) <= 255 AND octet_length(from_tag) <= 255
               AND octet_length(event_id) <= 255),
    ADD CONSTRAINT "contact, user_agent, from_display, view: at most 1024 octets"
        CHECK (octet_length(contact) <= 1024 AND octet_length(user_agent) <= 1024 AND octet_length(from_display) <= 1024
               AND octet_length(view) <= 1024),
    ADD CONSTRAINT "local_uri and remote_uri have at most 2048 octets"
        CHECK (octet_length(local_uri) <= 2048 AND octet_length(remote_uri) <= 2048),
    ADD CONSTRAINT "record_route has at most 4096 octets"
        CHECK (octet_length(record_route) <= 4096),
    ADD CONSTRAINT "subscriber_key has at most 1280 octets"
        CHECK (octet_length(subscriber_key) <= 1280);
ALTER TABLE watchers
    ADD CONSTRAINT "presentity_uri has at most 515 octets, event at most 128"
        CHECK (octet_length(presentity_uri) <= 515 AND octet_length(event) <= 128),
    ADD CONSTRAINT "watcher_username and watcher_domain have at most 255 octets"
        CHECK (octet_length(watcher_username) <= 255 AND octet_length(watcher_domain) <= 255),
    ADD CONSTRAINT "view has at most 1024 octets"
        CHECK (octet_length(view) <= 1024);
-- Not for what is there: see above.
ALTER TABLE xcap
    ADD CONSTRAINT "presentity_uri has at most 515 octets"
        CHECK (octet_length(presentity_uri) <= 515) NOT VALID,
    ADD CONSTRAINT "username and domain have at most 255 octets"
        CHECK (octet_length(username) <= 255 AND octet_length(domain) <= 255) NOT VALID,
    ADD CONSTRAINT "doc_uri has at most 2048 octets"
        CHECK (octet_length(doc_uri) <= 2048) NOT VALID;
-- Watcher information has a longer name than its package.
ALTER TABLE notify_queue
    ADD CONSTRAINT "presentity_uri has at most 515 octets, event at most 255"
        CHECK (octet_length(presentity_uri) <= 515 AND octet_length(event) <= 255);

-- === What makes a request the same request ===

-- Tags are derived from the phone's own transaction, so a copy of a request finds its own row. After 64*T1 = 32 s by the database's clock
-- no copy is on its way any more (RFC 3261 section 17.1.2.2): the same words are another request then, of a device that uses everything
-- again, and are served as one (publication.renew_batch, subscription.renew_batch).

ALTER TABLE presentity
    ADD COLUMN created_time bigint NOT NULL DEFAULT floor(extract(epoch FROM now()))::bigint,
    ADD COLUMN renewed_at bigint NOT NULL DEFAULT 0,
    -- One more than before: the last one too has its time here.
    DROP CONSTRAINT "a publication remembers at most four past entity-tags",
    ADD CONSTRAINT "a publication remembers at most five requests" CHECK (cardinality(past_etags) <= 5);
COMMENT ON COLUMN presentity.created_time IS 'Epoch second of the initial PUBLISH; of rows that are older than this column, when that was added. Written once, by servers.';
COMMENT ON COLUMN presentity.renewed_at IS 'Epoch second at which the initial PUBLISH came once more, later than 64*T1 = 32 s, and was served anew: its entity-tag was then ruid, a dot and this. 0 = never. Written by servers.';
COMMENT ON COLUMN presentity.etag IS 'Current entity-tag (RFC 3903 section 2); changes with each PUBLISH. Those that servers give begin with two characters that are a hash of presentity_uri. Written by servers.';
COMMENT ON COLUMN presentity.past_etags IS 'What named the last five requests that changed the publication, newest first, each with @ and the epoch second at which it came: a copy within 64*T1 = 32 s finds its own. Mostly the entity-tags that they gave, the current one first. Without @: a tag that was replaced by SQL or HTTP, or by an older version. Written by servers.';

ALTER TABLE active_watchers
    ADD COLUMN renewed_at bigint NOT NULL DEFAULT 0,
    ADD COLUMN remote_request bigint;
COMMENT ON COLUMN active_watchers.renewed_at IS 'Epoch second at which the first SUBSCRIBE came once more, later than 64*T1 = 32 s, and was given a dialog of its own: its to_tag is that of this row, a dot and this. 0 = never. Written by servers.';
COMMENT ON COLUMN active_watchers.remote_request IS 'Digest of the last SUBSCRIBE within the dialog: the same CSeq is its copy only if this is the same. Null before the first. Written by servers.';
COMMENT ON COLUMN active_watchers.to_tag IS 'Our tag, derived from the first SUBSCRIBE; begins with two characters that are a hash of presentity_uri. Written once, by servers.';
