-- delete_same_subs: what makes two subscriptions one phone's.
--
-- A phone that rebooted subscribes anew and knows nothing of the dialog that it had, which lives on, and is notified in vain, until it
-- expires. What makes two subscriptions one phone's is in the new column; the newest of them stays.

ALTER TABLE active_watchers ADD COLUMN subscriber_key text COLLATE "C";
COMMENT ON COLUMN active_watchers.subscriber_key IS 'What makes a later subscription of the same watcher to the same resource take the place of this one: the Call-ID, or the phone (its +sip.instance, or where its Contact leads); null = nothing does. By delete_same_subs. Written once, by servers.';

-- Serves subscription.supersede_batch. Partial: empty as long as delete_same_subs is 0. Not WHERE status <> 3 as well: then each change of
-- status would touch it, and a phone has few rows, which go 32 s after their end.
CREATE INDEX active_watchers_subscriber_idx ON active_watchers (presentity_uri, subscriber_key) WHERE subscriber_key IS NOT NULL;
