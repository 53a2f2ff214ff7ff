-- One canonical form of a presentity's address and of a watcher's, made here and nowhere else in SQL; lib/sip/src/aor.rs makes the same
-- in the processes, and a test compares both. Whether users are compared by case (sip_uri_match) is known to the database, so that
-- rows by hand, functions and views mean the same people as SIP requests do.
--
-- The setting is the function presence_uri_match, a constant that presence_change_uri_match replaces: a function that read a table
-- would cost each row of a PUBLISH or SUBSCRIBE several us. The table cluster shows it, and a constraint keeps both the same.

-- In the order in which others lock them: a server of the version before goes on meanwhile, and waits.
LOCK TABLE presentity, active_watchers, watchers, xcap, notify_queue IN ACCESS EXCLUSIVE MODE;

CREATE FUNCTION presence_uri_match() RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 0::smallint;
COMMENT ON FUNCTION presence_uri_match() IS
    'sip_uri_match of this database: 0 = users are compared by case, 1 = not. A constant, which presence_change_uri_match replaces.';

ALTER TABLE cluster ADD COLUMN uri_match smallint
    CONSTRAINT "change it by: pgpresence migrate --uri-match" CHECK (uri_match = presence_uri_match());
COMMENT ON COLUMN cluster.uri_match IS 'What presence_uri_match() is: 0 = users are compared by case, 1 = not; null until the first pgpresence migrate has written what its configuration says. Written by presence_change_uri_match.';

-- === The canonical form ===

CREATE FUNCTION presence_escape(text text, folds boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    -- RFC 3261 section 25.1: unreserved and reserved characters may stand in a user, but for : and @.
    plain CONSTANT text := '^[A-Za-z0-9_.!~*''();/?&=+$,-]+$';
    token text;
    byte  integer;
    part  text;
    whole text := '';
BEGIN
    FOR token IN SELECT m[1] FROM regexp_matches(text, '%[0-9A-Fa-f]{2}|[A-Za-z0-9_.!~*''();/?&=+$,-]+|.', 'g') AS m LOOP
        IF length(token) = 3 AND left(token, 1) = '%' THEN
            byte := get_byte(decode(substr(token, 2), 'hex'), 0);
            -- Of what is reserved, the escape means something else than the character (RFC 3261 section 19.1.4).
            part := CASE WHEN byte BETWEEN 32 AND 126 AND chr(byte) ~ '[A-Za-z0-9_.!~*''()-]' THEN chr(byte) ELSE upper(token) END;
        ELSIF token ~ plain THEN
            part := token;
        ELSE
            part := regexp_replace(upper(encode(convert_to(token, 'UTF8'), 'hex')), '(..)', '%\1', 'g');
        END IF;
        whole := whole || CASE WHEN folds AND left(part, 1) <> '%' THEN lower(part COLLATE "C") ELSE part END;
    END LOOP;
    RETURN whole;
END
$$;
COMMENT ON FUNCTION presence_escape(text, boolean) IS
    'A user in canonical form: needless escapes decoded, the digits of the others in upper case, escaped what may not stand in a URI; in lower case if it folds.';

CREATE FUNCTION presence_host(host text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    address text := lower(substring(host FROM '^\[([0-9A-Fa-f:.]+)\]$') COLLATE "C");
    dotted  text[];
    halves  text[];
    heads   text[];
    tails   text[];
    words   integer[];
BEGIN
    IF address IS NULL THEN
        -- The root's dot means nothing here.
        RETURN COALESCE(NULLIF(rtrim(lower(host COLLATE "C"), '.'), ''), host);
    END IF;
    -- An IPv4 address at the end is two groups.
    dotted := regexp_match(address, '^(.*:)((?:0|[1-9][0-9]{0,2}))\.((?:0|[1-9][0-9]{0,2}))\.((?:0|[1-9][0-9]{0,2}))\.((?:0|[1-9][0-9]{0,2}))$');
    IF dotted IS NOT NULL THEN
        IF GREATEST(dotted[2]::integer, dotted[3]::integer, dotted[4]::integer, dotted[5]::integer) > 255 THEN
            RETURN NULL;
        END IF;
        address := dotted[1] || to_hex(dotted[2]::integer * 256 + dotted[3]::integer) || ':'
                   || to_hex(dotted[4]::integer * 256 + dotted[5]::integer);
    END IF;
    halves := string_to_array(address, '::');
    heads  := string_to_array(halves[1], ':');
    tails  := COALESCE(string_to_array(halves[2], ':'), '{}');
    IF cardinality(halves) > 2
       OR EXISTS (SELECT FROM unnest(heads || tails) AS w WHERE w !~ '^[0-9a-f]{1,4}$')
       OR (cardinality(halves) = 1 AND cardinality(heads) <> 8)
       OR (cardinality(halves) = 2 AND cardinality(heads) + cardinality(tails) > 7) THEN
        RETURN NULL;
    END IF;
    -- RFC 5952. PostgreSQL shows a few addresses with an IPv4 part that others show without.
    address := pg_catalog.host(address::inet);
    dotted  := regexp_match(address, '^::([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)$');
    IF dotted IS NOT NULL THEN
        words := ARRAY[dotted[1]::integer * 256 + dotted[2]::integer, dotted[3]::integer * 256 + dotted[4]::integer];
        address := '::' || CASE WHEN words[1] > 0 THEN to_hex(words[1]) || ':' ELSE '' END || to_hex(words[2]);
    END IF;
    RETURN '[' || address || ']';
END
$$;
COMMENT ON FUNCTION presence_host(text) IS
    'A host in canonical form: lower case, without the root''s dot, IPv6 as RFC 5952 writes it. Null for an IPv6 address that is none.';

CREATE FUNCTION presence_canonical(INOUT username text, INOUT domain text, IN match smallint)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    context text;
BEGIN
    IF domain <> '' THEN
        username := presence_escape(username, match = 1);
        domain   := COALESCE(presence_host(domain), lower(domain COLLATE "C"));
        RETURN;
    END IF;
    -- A number (RFC 3966 section 4): no visual separators, no case; a local one means nothing without its context.
    SELECT presence_escape(CASE WHEN strpos(p.param, '=') > 0 THEN substr(p.param, strpos(p.param, '=') + 1) ELSE '' END, true)
    INTO context
    FROM string_to_table(substr(username, strpos(username || ';', ';') + 1), ';') WITH ORDINALITY AS p (param, ord)
    WHERE presence_escape(split_part(p.param, '=', 1), true) = 'phone-context'
    ORDER BY p.ord
    LIMIT 1;
    username := lower(translate(split_part(username, ';', 1), '-.()', '') COLLATE "C");
    IF context IS NOT NULL AND left(username, 1) <> '+' THEN
        username := username || ';phone-context='
                    || CASE WHEN left(context, 1) = '+' THEN translate(context, '-.()', '') ELSE rtrim(context, '.') END;
    END IF;
END
$$;
COMMENT ON FUNCTION presence_canonical(text, text, smallint) IS
    'A user and a domain in canonical form, as sip_uri_match says (match). The domain is empty for a number. Takes whatever stands in a column.';

CREATE FUNCTION presence_canonical_uri(username text, domain text, match smallint) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    parts record;
BEGIN
    SELECT c.username, c.domain INTO parts FROM presence_canonical(username, domain, match) AS c;
    RETURN CASE WHEN parts.domain = ''   THEN 'tel:' || parts.username
                WHEN parts.username = '' THEN 'sip:' || parts.domain
                ELSE 'sip:' || parts.username || '@' || parts.domain END;
END
$$;
COMMENT ON FUNCTION presence_canonical_uri(text, text, smallint) IS
    'The canonical URI of a user and a domain, as sip_uri_match says (match).';

CREATE OR REPLACE FUNCTION presence_join_uri(username text, domain text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    -- Nearly always it is canonical already.
    IF username || domain !~ '[^a-z0-9_.!~*''()+-]' AND username <> '' AND domain <> '' AND right(domain, 1) <> '.' THEN
        RETURN 'sip:' || username || '@' || domain;
    END IF;
    RETURN presence_canonical_uri(username, domain, presence_uri_match());
END
$$;
COMMENT ON FUNCTION presence_join_uri(text, text) IS
    'The canonical URI of a user and a domain, as the column presentity_uri has it.';

CREATE FUNCTION presence_parse_uri(uri text, match smallint, OUT username text, OUT domain text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    bare  text := COALESCE(substring(uri FROM '^<(.*)>$'), uri);
    parts text[];
BEGIN
    IF bare ~ '[\x01-\x20"<>\x7f]|%(?![0-9A-Fa-f]{2})' THEN
        RETURN;
    END IF;
    -- User, password, host, port, parameters. Parameters and headers after the host hold no @: the first one ends the user.
    parts := regexp_match(bare,
        '^[Ss][Ii][Pp][Ss]?:(?:([^:@]+)(?::[^@]*)?@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::0*([0-9]{1,5}))?((?:;[^?@]*)?)(?:\?[^@]*)?$');
    IF parts IS NOT NULL THEN
        IF parts[2] !~ '[^.]' OR parts[3]::integer > 65535 OR parts[4] LIKE '%;=%' OR presence_host(parts[2]) IS NULL THEN
            RETURN;
        END IF;
        SELECT c.username, c.domain INTO username, domain FROM presence_canonical(COALESCE(parts[1], ''), parts[2], match) AS c;
        RETURN;
    END IF;
    parts := regexp_match(bare, '^[Tt][Ee][Ll]:([0-9A-Fa-f*#+().-]*[0-9A-Fa-f*#][0-9A-Fa-f*#+().-]*)((?:;.*)?)$');
    IF parts IS NOT NULL AND parts[2] NOT LIKE '%;=%' THEN
        SELECT c.username, c.domain INTO username, domain FROM presence_canonical(parts[1] || parts[2], '', match) AS c;
    END IF;
END
$$;
COMMENT ON FUNCTION presence_parse_uri(text, smallint) IS
    'User and domain of a sip:, sips: or tel: URI in canonical form, as sip_uri_match says (match); null if it is none. Password, port, parameters and headers go; sips becomes sip. Angle brackets around it do no harm.';

CREATE FUNCTION presence_is_plain(uri text, username text, domain text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substr(uri, 5) || username || domain !~ '[^a-z0-9_.!~*''()+@-]' AND left(uri, 4) = 'sip:' AND right(uri, 1) <> '.'
       AND strpos(username || domain, '@') = 0 AND right(domain, 1) NOT IN ('', '.');
COMMENT ON FUNCTION presence_is_plain(text, text, text) IS
    'Whether a URI of a presentity, and user and domain of a watcher, are canonical at a glance: in every setting, without anything special. Most are.';

CREATE FUNCTION presence_uri_under(uri text, match smallint) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    parts record;
BEGIN
    SELECT p.username, p.domain INTO parts FROM presence_parse_uri(uri, match) AS p;
    RETURN CASE WHEN parts.username IS NULL THEN uri ELSE presence_canonical_uri(parts.username, parts.domain, match) END;
END
$$;
COMMENT ON FUNCTION presence_uri_under(text, smallint) IS
    'What a key in the column presentity_uri is under a setting of sip_uri_match; as it is, if it is no URI.';

CREATE OR REPLACE FUNCTION presence_split_uri(uri text, OUT username text, OUT domain text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    SELECT p.username, p.domain INTO username, domain FROM presence_parse_uri(uri, presence_uri_match()) AS p;
    IF username IS NULL THEN
        RAISE EXCEPTION '% is not the URI of a presentity', COALESCE(quote_literal(uri), 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write sip:user@example.org, sip:example.org or tel:+441234.';
    END IF;
END
$$;
COMMENT ON FUNCTION presence_split_uri(text) IS
    'User and domain of a sip:, sips: or tel: URI, in canonical form. Error 22023 if it is none.';

-- === Rows ===

-- Was GENERATED, whose expression cannot be changed without writing all tables anew. A trigger also leaves the column to dumps.
-- What stands in username and domain stays as it was written: an XCAP server looks for its documents by them.
ALTER TABLE presentity ALTER COLUMN presentity_uri DROP EXPRESSION;
ALTER TABLE xcap ALTER COLUMN presentity_uri DROP EXPRESSION;
COMMENT ON COLUMN presentity.presentity_uri IS 'Canonical URI of username and domain, as presence_join_uri makes it: sip:user@domain, sip:domain or tel:number. Written by a trigger, whatever is given.';
COMMENT ON COLUMN xcap.presentity_uri IS 'Canonical URI of the user whose document it is, as in presentity.presentity_uri. Written by a trigger, whatever is given.';
COMMENT ON COLUMN active_watchers.presentity_uri IS 'Canonical URI of the presentity, as in presentity.presentity_uri. Written once, by servers; by hand in any form.';
COMMENT ON COLUMN watchers.presentity_uri IS 'Canonical URI of the presentity, as in presentity.presentity_uri. Written once, with the decision; by hand in any form.';

CREATE FUNCTION put_presentity_uri() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.presentity_uri := presence_join_uri(NEW.username, NEW.domain);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION put_presentity_uri() IS 'Row trigger of presentity and xcap: presentity_uri is what username and domain are in canonical form.';

CREATE FUNCTION put_canonical_key() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF presence_is_plain(NEW.presentity_uri, NEW.watcher_username, NEW.watcher_domain) THEN
        RETURN NEW;
    END IF;
    NEW.presentity_uri := presence_uri(NEW.presentity_uri);
    SELECT c.username, c.domain INTO NEW.watcher_username, NEW.watcher_domain
    FROM presence_canonical(NEW.watcher_username, NEW.watcher_domain, presence_uri_match()) AS c;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION put_canonical_key() IS
    'Row trigger of active_watchers and watchers: presentity and watcher are in canonical form, however they are written.';

-- Sessions of our processes say by pgpresence.canonical that what they insert has its canonical form already: they have made it of the
-- request, and checked at their start that they match URIs as this database does. Looking once more cost each row of a SUBSCRIBE
-- 1.8 us of 30, and a statement of one row 29 us of 203 (the WHEN clause is read anew for each); this costs 7 us of a statement.
CREATE TRIGGER presentity_insert_uri
    BEFORE INSERT ON presentity
    FOR EACH ROW
    WHEN (NEW.presentity_uri IS NULL OR current_setting('pgpresence.canonical', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION put_presentity_uri();
CREATE TRIGGER presentity_update_uri
    BEFORE UPDATE OF username, domain, presentity_uri ON presentity
    FOR EACH ROW EXECUTE FUNCTION put_presentity_uri();
CREATE TRIGGER xcap_uri
    BEFORE INSERT OR UPDATE OF username, domain, presentity_uri ON xcap
    FOR EACH ROW EXECUTE FUNCTION put_presentity_uri();
CREATE TRIGGER active_watchers_insert_key
    BEFORE INSERT ON active_watchers
    FOR EACH ROW
    WHEN (current_setting('pgpresence.canonical', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION put_canonical_key();
CREATE TRIGGER active_watchers_update_key
    BEFORE UPDATE OF presentity_uri, watcher_username, watcher_domain ON active_watchers
    FOR EACH ROW EXECUTE FUNCTION put_canonical_key();
CREATE TRIGGER watchers_insert_key
    BEFORE INSERT ON watchers
    FOR EACH ROW
    WHEN (current_setting('pgpresence.canonical', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION put_canonical_key();
CREATE TRIGGER watchers_update_key
    BEFORE UPDATE OF presentity_uri, watcher_username, watcher_domain ON watchers
    FOR EACH ROW EXECUTE FUNCTION put_canonical_key();

-- === Questions about people ===

CREATE OR REPLACE FUNCTION pres_auth_status(watcher_uri text, presentity_uri text) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    -- pres: is the address of a presentity or watcher, whatever protocol serves it (RFC 3859); here it is SIP.
    watched text := presence_uri_under(regexp_replace(presentity_uri, '^(<?)pres:', '\1sip:', 'i'), presence_uri_match());
    who     record;
    found   integer;
BEGIN
    SELECT p.username, p.domain INTO who
    FROM presence_parse_uri(regexp_replace(watcher_uri, '^(<?)pres:', '\1sip:', 'i'), presence_uri_match()) AS p;
    SELECT CASE WHEN w.status = 1 AND w.reason = 'polite-block' THEN 5 ELSE w.status END INTO found
    FROM watchers AS w
    WHERE w.presentity_uri = watched AND w.watcher_username = who.username AND w.watcher_domain = who.domain AND w.event = 'presence';
    IF found IS NULL THEN
        SELECT CASE WHEN a.status = 1 AND a.view = 'polite-block' THEN 5 ELSE a.status END INTO found
        FROM active_watchers AS a
        WHERE a.presentity_uri = watched AND a.event = 'presence'
          AND a.watcher_username = who.username AND a.watcher_domain = who.domain AND a.status <> 3
        ORDER BY a.id DESC
        LIMIT 1;
    END IF;
    RETURN COALESCE(found, -1);
END
$$;

CREATE OR REPLACE FUNCTION pres_has_subscribers(presentity_uri text, event text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    watched text := presence_uri_under($1, presence_uri_match());
BEGIN
    RETURN EXISTS (
        SELECT FROM active_watchers AS a
        WHERE a.presentity_uri = watched AND a.event = $2 AND a.status <> 3 AND is_live(a.expires, presence_now()));
END
$$;
COMMENT ON FUNCTION pres_has_subscribers(text, text) IS
    'Whether anybody subscribes to an event package of a presentity, active or pending.';

-- === Changing the setting ===

CREATE FUNCTION presence_uri_match_rows(match smallint) RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT (SELECT count(*) FROM presentity AS p WHERE p.presentity_uri <> presence_canonical_uri(p.username, p.domain, match))
         + (SELECT count(*) FROM xcap AS x WHERE x.presentity_uri <> presence_canonical_uri(x.username, x.domain, match))
         + (SELECT count(*) FROM active_watchers AS a CROSS JOIN LATERAL presence_canonical(a.watcher_username, a.watcher_domain, match) AS c
            WHERE NOT presence_is_plain(a.presentity_uri, a.watcher_username, a.watcher_domain)
              AND (a.presentity_uri, a.watcher_username, a.watcher_domain)
                  IS DISTINCT FROM (presence_uri_under(a.presentity_uri, match), c.username, c.domain))
         + (SELECT count(*) FROM watchers AS w CROSS JOIN LATERAL presence_canonical(w.watcher_username, w.watcher_domain, match) AS c
            WHERE (w.presentity_uri, w.watcher_username, w.watcher_domain)
                  IS DISTINCT FROM (presence_uri_under(w.presentity_uri, match), c.username, c.domain))
$$;
COMMENT ON FUNCTION presence_uri_match_rows(smallint) IS
    'How many rows would be of somebody else under this setting of sip_uri_match. Reads all of them.';

CREATE FUNCTION presence_uri_match_collisions(match smallint) RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
    SELECT format('presentity: %s have a publication of %s each for %s (%s)', string_agg(DISTINCT p.presentity_uri, ' and '), p.event,
                  presence_canonical_uri(p.username, p.domain, match), p.ruid)
    FROM presentity AS p
    GROUP BY presence_canonical_uri(p.username, p.domain, match), p.event, p.ruid
    HAVING count(*) > 1
    UNION ALL
    -- Rules of both would hold, and what one allows the other could not forbid.
    SELECT format('xcap: %s have documents of type %s each for %s', string_agg(DISTINCT x.presentity_uri, ' and '), x.doc_type,
                  presence_canonical_uri(x.username, x.domain, match))
    FROM xcap AS x
    GROUP BY presence_canonical_uri(x.username, x.domain, match), x.doc_type
    HAVING count(DISTINCT x.presentity_uri) > 1
    UNION ALL
    SELECT format('watchers: decisions differ about %s who watches %s of %s: %s', presence_canonical_uri(d.username, d.domain, match), d.event,
                  d.uri, string_agg(DISTINCT d.decision, ', '))
    FROM (SELECT presence_uri_under(w.presentity_uri, match) AS uri, c.username, c.domain, w.event,
                 format('%s for %s of %s', presence_status_name(w.status), presence_canonical_uri(w.watcher_username, w.watcher_domain, 0::smallint),
                        w.presentity_uri) AS decision,
                 (w.status, w.reason, w.view)::text AS outcome
          FROM watchers AS w CROSS JOIN LATERAL presence_canonical(w.watcher_username, w.watcher_domain, match) AS c) AS d
    GROUP BY d.uri, d.username, d.domain, d.event
    HAVING count(DISTINCT d.outcome) > 1
$$;
COMMENT ON FUNCTION presence_uri_match_collisions(smallint) IS
    'What would become one under this setting of sip_uri_match, and cannot: two publications of one source, documents of two users, two decisions about one watcher. A line for each.';

CREATE FUNCTION presence_canonicalise() RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    match   CONSTANT smallint := presence_uri_match();
    moved   record;
    states  text[];
    events  text[];
    deciding text[];
    touched bigint;
    total   bigint := 0;
BEGIN
    -- The triggers would queue each resource for each of its rows, and lock them in no order. What is to be queued is queued below.
    ALTER TABLE presentity DISABLE TRIGGER USER;
    ALTER TABLE xcap DISABLE TRIGGER USER;
    ALTER TABLE active_watchers DISABLE TRIGGER USER;
    ALTER TABLE watchers DISABLE TRIGGER USER;
    CREATE TEMPORARY TABLE moved_resources (old_uri text COLLATE "C", new_uri text COLLATE "C", event text COLLATE "C", decides boolean) ON COMMIT DROP;

    WITH changed AS (
        UPDATE presentity AS p
        SET presentity_uri = n.uri
        FROM (SELECT o.id, o.presentity_uri AS old_uri, presence_join_uri(o.username, o.domain) AS uri FROM presentity AS o) AS n
        WHERE p.id = n.id AND n.uri <> n.old_uri
        RETURNING n.old_uri, n.uri, p.event
    )
    INSERT INTO moved_resources SELECT c.old_uri, c.uri, c.event, false FROM changed AS c;
    GET DIAGNOSTICS total = ROW_COUNT;

    WITH changed AS (
        UPDATE xcap AS x
        SET presentity_uri = n.uri
        FROM (SELECT o.id, o.presentity_uri AS old_uri, presence_join_uri(o.username, o.domain) AS uri FROM xcap AS o) AS n
        WHERE x.id = n.id AND n.uri <> n.old_uri
        RETURNING n.old_uri, n.uri
    )
    INSERT INTO moved_resources SELECT c.old_uri, c.uri, 'presence', true FROM changed AS c;
    GET DIAGNOSTICS touched = ROW_COUNT;
    total := total + touched;

    -- Of decisions that become one the canonical one was in force, else the newest counts.
    DELETE FROM watchers AS w
    USING (SELECT o.id, row_number() OVER (PARTITION BY presence_uri_under(o.presentity_uri, match), c.username, c.domain, o.event
                                           ORDER BY (o.presentity_uri, o.watcher_username, o.watcher_domain)
                                                    = (presence_uri_under(o.presentity_uri, match), c.username, c.domain) DESC,
                                                    o.inserted_time DESC, o.id DESC) AS place
           FROM watchers AS o CROSS JOIN LATERAL presence_canonical(o.watcher_username, o.watcher_domain, match) AS c) AS n
    WHERE w.id = n.id AND n.place > 1;
    GET DIAGNOSTICS touched = ROW_COUNT;
    total := total + touched;
    WITH changed AS (
        UPDATE watchers AS w
        SET presentity_uri = n.uri, watcher_username = n.username, watcher_domain = n.domain
        FROM (SELECT o.id, o.presentity_uri AS old_uri, presence_uri_under(o.presentity_uri, match) AS uri, c.username, c.domain
              FROM watchers AS o CROSS JOIN LATERAL presence_canonical(o.watcher_username, o.watcher_domain, match) AS c) AS n
        WHERE w.id = n.id AND (w.presentity_uri, w.watcher_username, w.watcher_domain) IS DISTINCT FROM (n.uri, n.username, n.domain)
        RETURNING n.old_uri, n.uri, w.event
    )
    INSERT INTO moved_resources SELECT c.old_uri, c.uri, c.event, true FROM changed AS c;
    GET DIAGNOSTICS touched = ROW_COUNT;
    total := total + touched;

    WITH changed AS (
        UPDATE active_watchers AS a
        SET presentity_uri = n.uri, watcher_username = n.username, watcher_domain = n.domain
        FROM (SELECT o.id, o.presentity_uri AS old_uri, presence_uri_under(o.presentity_uri, match) AS uri, c.username, c.domain
              FROM active_watchers AS o CROSS JOIN LATERAL presence_canonical(o.watcher_username, o.watcher_domain, match) AS c
              WHERE NOT presence_is_plain(o.presentity_uri, o.watcher_username, o.watcher_domain)) AS n
        WHERE a.id = n.id AND (a.presentity_uri, a.watcher_username, a.watcher_domain) IS DISTINCT FROM (n.uri, n.username, n.domain)
        RETURNING n.old_uri, n.uri, a.event
    )
    INSERT INTO moved_resources SELECT c.old_uri, c.uri, c.event, true FROM changed AS c;
    GET DIAGNOSTICS touched = ROW_COUNT;
    total := total + touched;

    ALTER TABLE presentity ENABLE TRIGGER USER;
    ALTER TABLE xcap ENABLE TRIGGER USER;
    ALTER TABLE active_watchers ENABLE TRIGGER USER;
    ALTER TABLE watchers ENABLE TRIGGER USER;

    -- What a resource of the old name owes, that of the new name owes; nobody holds it, since no process runs.
    WITH gone AS (
        DELETE FROM notify_queue AS q
        WHERE NOT presence_is_plain(q.presentity_uri, 'u', 'd') AND q.presentity_uri <> presence_uri_under(q.presentity_uri, match)
        RETURNING q.presentity_uri, q.event, q.flagged_due, q.decide_at, q.rules_version, q.winfo_watched
    )
    INSERT INTO moved_resources
    SELECT g.presentity_uri, presence_uri_under(g.presentity_uri, match), g.event, g.rules_version > 0 OR g.decide_at < 'infinity' FROM gone AS g;
    INSERT INTO notify_queue AS q (presentity_uri, event, flagged_due, due, owed_since, winfo_watched)
    SELECT m.new_uri, m.event, presence_now(), presence_now(), presence_now(), false
    FROM (SELECT DISTINCT r.new_uri, r.event FROM moved_resources AS r) AS m
    ORDER BY m.new_uri, m.event
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET flagged_due = LEAST(q.flagged_due, EXCLUDED.flagged_due),
        due         = LEAST(q.due, EXCLUDED.due),
        owed_since  = COALESCE(q.owed_since, EXCLUDED.owed_since);
    UPDATE notify_queue AS q
    SET winfo_watched = true
    WHERE q.presentity_uri IN (SELECT r.new_uri FROM moved_resources AS r) AND NOT is_winfo(q.event)
      AND EXISTS (SELECT FROM active_watchers AS a WHERE a.presentity_uri = q.presentity_uri AND a.event = winfo_event(q.event));
    SELECT array_agg(m.new_uri), array_agg(m.event) INTO states, events
    FROM (SELECT DISTINCT r.new_uri, r.event FROM moved_resources AS r) AS m;
    IF states IS NOT NULL THEN
        PERFORM queue_state_changes(states, events);
        FOR moved IN SELECT DISTINCT r.new_uri FROM moved_resources AS r WHERE r.decides ORDER BY 1 LOOP
            PERFORM presence_decide(moved.new_uri);
        END LOOP;
    END IF;
    DROP TABLE moved_resources;
    RETURN total;
END
$$;
COMMENT ON FUNCTION presence_canonicalise() IS
    'Brings all rows into the canonical form that the present setting of sip_uri_match gives them, and has those told whom it concerns; returns how many rows it were. While no process runs. For presence_change_uri_match.';

CREATE FUNCTION presence_change_uri_match(match smallint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    changed    bigint;
    collisions text;
    running    text;
BEGIN
    IF match IS NULL OR match NOT IN (0, 1) THEN
        RAISE EXCEPTION 'sip_uri_match is 0 or 1' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- A process that starts waits here with its row, and finds then that it matches URIs otherwise (node.put_node).
    LOCK TABLE node IN EXCLUSIVE MODE;
    IF match <> presence_uri_match() THEN
        SELECT string_agg(format('%s %s on %s', n.kind, n.pid, n.host), ', ') INTO running
        FROM node AS n
        WHERE n.heartbeat > presence_now() - interval '30 s';
        IF running IS NOT NULL THEN
            RAISE EXCEPTION 'processes run that match URIs as it was: %', running
                USING ERRCODE = 'object_in_use', HINT = 'Stop them; one that died is forgotten after 30 s.';
        END IF;
    END IF;
    LOCK TABLE presentity, active_watchers, watchers, xcap, notify_queue IN SHARE ROW EXCLUSIVE MODE;
    IF match <> presence_uri_match() THEN
        SELECT string_agg(c, E'\n') INTO collisions FROM presence_uri_match_collisions(match) AS c;
        IF collisions IS NOT NULL THEN
            RAISE EXCEPTION E'nothing was changed, because this would become one:\n%', collisions
                USING ERRCODE = 'unique_violation', HINT = 'Remove of each pair what is not wanted any more.';
        END IF;
        EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN %s::smallint',
                       'presence_uri_match'::regproc, match);
    END IF;
    changed := presence_canonicalise();
    UPDATE cluster SET uri_match = match;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION presence_change_uri_match(smallint) IS
    'Changes sip_uri_match of this database, with all rows; returns how many rows it changed. Refuses while processes run (55006), and if rows would become one that cannot (23505). Called by pgpresence migrate.';

-- === What is there ===

-- Of two publications of one source the later one replaces the other, as it would have.
DELETE FROM presentity AS p
USING (SELECT o.id, row_number() OVER (PARTITION BY presence_canonical_uri(o.username, o.domain, 0::smallint), o.event, o.ruid
                                       ORDER BY NOT o.removed DESC, o.modified DESC, o.id DESC) AS place
       FROM presentity AS o) AS n
WHERE p.id = n.id AND n.place > 1;
SELECT presence_canonicalise();
