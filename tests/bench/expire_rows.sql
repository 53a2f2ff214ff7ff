-- Makes `rows` publications nobody watches and `rows` subscriptions expire now, for the sweep to find.
SET session_replication_role = replica;
UPDATE presentity
SET expires = extract(epoch FROM now())::bigint - 1, sweep_at = extract(epoch FROM now())::bigint - 1
WHERE id IN (SELECT id FROM presentity
             WHERE domain = 'large.example' AND NOT removed AND expires > extract(epoch FROM now())::bigint
             ORDER BY id DESC LIMIT :rows);
UPDATE active_watchers
SET expires = extract(epoch FROM now())::bigint - 1, sweep_at = extract(epoch FROM now())::bigint - 1
WHERE id IN (SELECT id FROM active_watchers
             WHERE watcher_domain = 'large.example' AND status = 1 AND expires > extract(epoch FROM now())::bigint
             ORDER BY id DESC LIMIT :rows);
