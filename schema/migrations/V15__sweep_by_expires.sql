-- Row trigger: a refresh leaves sweep_at alone, so that it changes no index; only what ends earlier than the sweep would look moves it.

CREATE FUNCTION sweep_by_expires() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    NEW.sweep_at := NEW.expires;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION sweep_by_expires() IS
    'Row trigger: a row that would outlive its expires is swept then. Its WHEN clause keeps it away from all other writes.';

CREATE TRIGGER presentity_sweep_by_expires
    BEFORE INSERT OR UPDATE ON presentity
    FOR EACH ROW
    WHEN (NOT NEW.removed AND NEW.expires <> -1 AND NEW.expires < NEW.sweep_at)
    EXECUTE FUNCTION sweep_by_expires();
CREATE TRIGGER active_watchers_sweep_by_expires
    BEFORE INSERT OR UPDATE ON active_watchers
    FOR EACH ROW
    WHEN (NEW.status <> 3 AND NEW.expires <> -1 AND NEW.expires < NEW.sweep_at)
    EXECUTE FUNCTION sweep_by_expires();
