-- What the sweep and the notifiers have not yet dealt with, of what expire_rows.sql made expire.
SELECT (SELECT count(*) FROM presentity
        WHERE domain = 'large.example' AND NOT removed AND expires BETWEEN 0 AND extract(epoch FROM now())::bigint)
     + (SELECT count(*) FROM active_watchers
        WHERE watcher_domain = 'large.example' AND NOT ended AND expires BETWEEN 0 AND extract(epoch FROM now())::bigint);
