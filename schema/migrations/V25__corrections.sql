-- What earlier migrations said of their own that is not so.

-- They catch an error, for which PostgreSQL begins a subtransaction, and a parallel worker cannot: on a large table a plan with workers
-- made the views fail ("cannot start subtransactions during a parallel operation").
ALTER FUNCTION presence_text(bytea) PARALLEL UNSAFE;
ALTER FUNCTION presence_says(text, bytea) PARALLEL UNSAFE;

COMMENT ON COLUMN active_watchers.subscriber_key IS 'What makes a later subscription to the same resource take the place of this one: the Call-ID, whoever watches; or, of the same watcher, the phone (its +sip.instance, or where its Contact leads); null = nothing does. By delete_same_subs. Written once, by servers.';
