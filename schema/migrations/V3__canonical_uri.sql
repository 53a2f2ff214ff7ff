-- One canonical form of a presentity's address and of a watcher's, made here and nowhere else in SQL; lib/sip/src/aor.rs makes the same
-- in the processes, and a test compares both. Whether users are compared by case (sip_uri_match) is known to the database, so that
-- rows by hand, functions and views mean the same people as SIP requests do.

-- The setting is a constant that presence_change_uri_match replaces: a function that read a table would cost each row of a PUBLISH or
-- SUBSCRIBE several us. The table cluster shows it, and a constraint keeps both the same.
CREATE FUNCTION presence_uri_match() RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 0::smallint;
COMMENT ON FUNCTION presence_uri_match() IS
    'sip_uri_match of this database: 0 = users are compared by case, 1 = not. A constant, which presence_change_uri_match replaces.';

-- === What callers use ===

CREATE FUNCTION presence_uri(uri text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
DECLARE
    parts record;
BEGIN
    SELECT s.username, s.domain INTO parts FROM presence_split_uri(uri) AS s;
    RETURN presence_join_uri(parts.username, parts.domain);
END
$$;
COMMENT ON FUNCTION presence_uri(text) IS 'The canonical form of a URI, as the column presentity_uri has it. Error 22023 if it is none.';

CREATE FUNCTION presence_split_uri(uri text, OUT username text, OUT domain text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT
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

CREATE FUNCTION presence_join_uri(username text, domain text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Nearly always it is canonical already.
    IF username || domain !~ '[^a-z0-9_.!~*''()+-]' AND username <> '' AND domain <> '' AND right(domain, 1) <> '.' THEN
        RETURN 'sip:' || username || '@' || domain;
    END IF;
    RETURN presence_canonical_uri(username, domain, presence_uri_match());
END
$$;
COMMENT ON FUNCTION presence_join_uri(text, text) IS 'The canonical URI of a user and a domain, as the column presentity_uri has it.';

CREATE FUNCTION presence_uri_under(uri text, match smallint) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT
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

CREATE FUNCTION presence_is_plain(uri text, username text, domain text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substr(uri, 5) || username || domain !~ '[^a-z0-9_.!~*''()+@-]' AND left(uri, 4) = 'sip:' AND right(uri, 1) <> '.'
       AND strpos(username || domain, '@') = 0 AND right(domain, 1) NOT IN ('', '.');
COMMENT ON FUNCTION presence_is_plain(text, text, text) IS
    'Whether a URI of a presentity, and user and domain of a watcher, are canonical at a glance: in every setting, without anything special. Most are.';

-- === How it is done ===

CREATE FUNCTION presence_parse_uri(uri text, match smallint, OUT username text, OUT domain text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT
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

CREATE FUNCTION presence_canonical_uri(username text, domain text, match smallint) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT
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

CREATE FUNCTION presence_canonical(INOUT username text, INOUT domain text, IN match smallint)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT
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

CREATE FUNCTION presence_escape(text text, folds boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path FROM CURRENT
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
SET search_path FROM CURRENT
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
