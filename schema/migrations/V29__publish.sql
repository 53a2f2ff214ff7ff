-- SQL as an interface: publications. As in the views, names, arguments and results are promised (docs/SQL.md).
--
-- Everything goes through the tables, so that the triggers queue what watchers are owed, as after a PUBLISH.

CREATE FUNCTION presence_publish(
    presentity_uri text, event text, body text, content_type text DEFAULT '', expires_s integer DEFAULT 3600,
    source text DEFAULT 'sql', sender text DEFAULT '') RETURNS text
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    who     record;
    key     text   := 'sql:' || presence_publish.source;
    tag     text   := gen_random_uuid()::text;
    at      timestamptz := presence_now();
    ends    bigint := CASE WHEN presence_publish.expires_s IS NULL THEN -1 ELSE expiry_at(presence_publish.expires_s, at) END;
    content bytea  := convert_to(presence_publish.body, 'UTF8');
BEGIN
    IF presence_publish.expires_s <= 0 THEN
        RAISE EXCEPTION 'expires_s is %, and a publication lives for at least a second', presence_publish.expires_s
            USING ERRCODE = 'invalid_parameter_value', HINT = 'NULL means for ever; presence_unpublish ends a publication.';
    END IF;
    SELECT s.username, s.domain INTO who FROM presence_split_uri(presence_publish.presentity_uri) AS s;
    LOOP
        -- Update or insert, never both in one statement: each locks the queue by its own trigger, and only one of them does here.
        UPDATE presentity AS p
        SET etag          = tag,
            past_etags    = (ARRAY[p.etag] || p.past_etags)[1:4],
            expires       = ends,
            sweep_at      = 9223372036854775807,
            removed       = false,
            sender        = presence_publish.sender,
            body          = content,
            content_type  = presence_publish.content_type,
            received_time = CASE WHEN p.removed OR p.body <> content OR p.content_type <> presence_publish.content_type
                                 THEN floor(extract(epoch FROM at))::bigint ELSE p.received_time END,
            modified      = CASE WHEN p.removed OR p.body <> content OR p.content_type <> presence_publish.content_type
                                 THEN at ELSE p.modified END
        WHERE p.presentity_uri = presence_join_uri(who.username, who.domain) AND p.event = presence_publish.event AND p.ruid = key;
        EXIT WHEN FOUND;
        INSERT INTO presentity (username, domain, event, etag, ruid, expires, received_time, modified, body, content_type, sender)
        VALUES (who.username, who.domain, presence_publish.event, tag, key, ends, floor(extract(epoch FROM at))::bigint, at, content,
                presence_publish.content_type, presence_publish.sender)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN tag;
END
$$;
COMMENT ON FUNCTION presence_publish(text, text, text, text, integer, text, text) IS
    'Publishes a document for a presentity, in place of what the same source published before; returns its entity-tag. expires_s null = for ever. Watchers are told if anything changed. One resource per transaction, or several in the order of their URIs.';

CREATE FUNCTION presence_unpublish(presentity_uri text, event text, source text DEFAULT 'sql') RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    at timestamptz := presence_now();
BEGIN
    UPDATE presentity AS p
    SET removed  = true,
        expires  = LEAST(NULLIF(p.expires, -1), floor(extract(epoch FROM at))::bigint),
        sweep_at = expiry_at(32, at)
    WHERE p.presentity_uri = presence_uri(presence_unpublish.presentity_uri) AND p.event = presence_unpublish.event
      AND p.ruid = 'sql:' || presence_unpublish.source AND NOT p.removed;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION presence_unpublish(text, text, text) IS
    'Ends what this source published with presence_publish; false if there is nothing. Watchers are told.';

-- A document is merged by the event package, which knows XML and the configuration. Where there is one publication there is nothing to
-- merge. Where there are several, an answer from here could only be a guess, so it says who knows. Rejected: the newest of them, which
-- is what watchers are shown of some packages only, and there by retrieve_order.
CREATE FUNCTION presence_document(presentity_uri text, event text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    watched text := presence_uri(presence_document.presentity_uri);
    -- What may not stand in a path as it is.
    path    text := '/v1/presentities/' || replace(replace(replace(replace(watched, '%', '%25'), '/', '%2F'), '?', '%3F'), '#', '%23')
                    || '/' || presence_document.event;
    texts   text[];
    ids     bigint[];
BEGIN
    IF presence_document.event IS NULL OR presence_document.event = '' THEN
        RAISE EXCEPTION 'Empty event parameter' USING ERRCODE = 'invalid_parameter_value';
    ELSIF presence_document.event LIKE '%.winfo' THEN
        RAISE EXCEPTION '% is made of subscriptions, not of documents', presence_document.event
            USING ERRCODE = 'feature_not_supported',
                  HINT = format('Ask a server: GET %s. The view presence_subscriptions has the same in rows.', path);
    END IF;
    SELECT array_agg(d.document), array_agg(d.id) INTO texts, ids
    FROM (SELECT p.document, p.id
          FROM presence_publications AS p
          WHERE p.presentity_uri = watched AND p.event = presence_document.event AND p.state = 'live'
          UNION ALL
          SELECT h.document, -h.id
          FROM presence_hard_state AS h
          WHERE h.presentity_uri = watched AND presence_document.event = 'presence') AS d;
    IF texts IS NULL THEN
        RETURN NULL;
    ELSIF cardinality(texts) > 1 THEN
        RAISE EXCEPTION '% documents of % are to be merged', cardinality(texts), watched
            USING ERRCODE = 'cardinality_violation',
                  HINT = format('Ask a server: GET %s. The view presence_publications has them one by one.', path);
    ELSIF EXISTS (SELECT FROM presentity AS p
                  WHERE p.presentity_uri = watched AND p.event = presence_document.event AND p.ended <> '{}' AND p.id <> ids[1]) THEN
        RAISE EXCEPTION 'another publication of % has ended a dialog', watched
            USING ERRCODE = 'cardinality_violation',
                  HINT = format('Ask a server, which knows whether this one still shows it: GET %s.', path);
    END IF;
    RETURN texts[1];
END
$$;
COMMENT ON FUNCTION presence_document(text, text) IS
    'The document of a resource, as it was published; null if nobody publishes. Error 21000 where several are to be merged: its hint says where a server is to be asked.';
