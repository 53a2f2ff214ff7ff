-- presence_document: what watchers are shown, as far as SQL can tell it.
--
-- A document is merged by the event package, which knows XML and the configuration. Where there is one publication there is nothing to
-- merge. Where there are several, an answer from here could only be a guess, so it says who knows. Rejected: the newest of them, which
-- is what watchers are shown of some packages only, and there by retrieve_order.

CREATE VIEW presence_hard_state AS
SELECT x.id, x.presentity_uri, x.etag, octet_length(x.doc) AS body_bytes, presence_text(x.doc) AS document, x.doc_uri
FROM xcap AS x
WHERE x.doc_type = 16;
COMMENT ON VIEW presence_hard_state IS
    'Stored documents (pidf-manipulation, RFC 4827) that are shown with what is published of presence, and stay when that ends.';

CREATE FUNCTION presence_document(presentity_uri text, event text) RETURNS text
LANGUAGE plpgsql STABLE
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

-- presence_grant as it was, and the view.
ALTER FUNCTION presence_grant() RENAME TO presence_grant_tables;
COMMENT ON FUNCTION presence_grant_tables() IS 'A part of presence_grant.';

CREATE FUNCTION presence_grant() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    name text;
BEGIN
    PERFORM presence_grant_tables();
    FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('pgpresence_server', 'pgpresence_reader') LOOP
        EXECUTE format('GRANT SELECT ON presence_hard_state TO %I', name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION presence_grant() IS
    'Gives pgpresence_server, pgpresence_notifier and pgpresence_reader their rights on this database, those of them that exist. Run by the migration; again by hand where they were made later.';

SELECT presence_grant();
