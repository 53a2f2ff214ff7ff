-- Row trigger: presentity and watcher of dialogs and decisions.

CREATE FUNCTION put_canonical_key() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
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

-- Not for what our processes insert: see put_presentity_uri.
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
