//! Every statement by name. A contract test walks `sql/statements` and holds this list, the paths and the headers together.

/// One statement: one file, one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    /// `area.verb_object`: the path below `statements`, the first comment of the text, the label in logs and errors.
    pub name: &'static str,
    /// The whole file. Its header travels to PostgreSQL too, and names the statement in `pg_stat_activity`.
    pub text: &'static str,
}

macro_rules! statements {
    ($($constant:ident = $area:literal $object:literal;)*) => {
        $(
            pub(crate) static $constant: Statement = Statement {
                name: concat!($area, ".", $object),
                text: include_str!(concat!("../statements/", $area, "/", $object, ".sql")),
            };
        )*
        /// All statements.
        pub static STATEMENTS: &[&Statement] = &[$(&$constant),*];
    };
}

statements! {
    PUBLICATION_CREATE_BATCH = "publication" "create_batch";
    PUBLICATION_CHANGE_BATCH = "publication" "change_batch";
    PUBLICATION_LIST_LIVE = "publication" "list_live";
    PUBLICATION_EXPIRE_BATCH = "publication" "expire_batch";
    PUBLICATION_DELETE_REMOVED = "publication" "delete_removed";
    SUBSCRIPTION_CREATE_BATCH = "subscription" "create_batch";
    SUBSCRIPTION_REFRESH_BATCH = "subscription" "refresh_batch";
    SUBSCRIPTION_TAKE = "subscription" "take";
    SUBSCRIPTION_SETTLE_BATCH = "subscription" "settle_batch";
    SUBSCRIPTION_EXPIRE_BATCH = "subscription" "expire_batch";
    SUBSCRIPTION_DELETE_ENDED = "subscription" "delete_ended";
    QUEUE_CLAIM = "queue" "claim";
    QUEUE_CLAIM_OVERDUE = "queue" "claim_overdue";
    QUEUE_RENEW = "queue" "renew";
    QUEUE_SETTLE = "queue" "settle";
    QUEUE_RING = "queue" "ring";
    QUEUE_LISTEN = "queue" "listen";
    NODE_PUT_NODE = "node" "put_node";
    NODE_PUT_HEARTBEAT = "node" "put_heartbeat";
    NODE_DELETE_NODE = "node" "delete_node";
    NODE_LIST_NODES = "node" "list_nodes";
    NODE_FIND_SECRET = "node" "find_secret";
    MAINTENANCE_DELETE_IDLE_RESOURCES = "maintenance" "delete_idle_resources";
    MAINTENANCE_DELETE_DEAD_NODES = "maintenance" "delete_dead_nodes";
    MAINTENANCE_DISCARD_PLANS = "maintenance" "discard_plans";
    MAINTENANCE_PUT_CLOCK = "maintenance" "put_clock";
}
