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
    PUBLICATION_RENEW_BATCH = "publication" "renew_batch";
    PUBLICATION_CHANGE_BATCH = "publication" "change_batch";
    PUBLICATION_LIST_LIVE = "publication" "list_live";
    PUBLICATION_LIST_CLAIMED = "publication" "list_claimed";
    PUBLICATION_LIST_MARKS = "publication" "list_marks";
    PUBLICATION_FIND_SOURCE = "publication" "find_source";
    PUBLICATION_CHANGE_SOURCE = "publication" "change_source";
    PUBLICATION_CREATE_SOURCE = "publication" "create_source";
    PUBLICATION_PUT_FEATURE = "publication" "put_feature";
    PUBLICATION_EXPIRE_BATCH = "publication" "expire_batch";
    PUBLICATION_POSTPONE_BATCH = "publication" "postpone_batch";
    PUBLICATION_HAND_ON_ENDS = "publication" "hand_on_ends";
    PUBLICATION_DELETE_REMOVED = "publication" "delete_removed";
    SUBSCRIPTION_CREATE_BATCH = "subscription" "create_batch";
    SUBSCRIPTION_RENEW_BATCH = "subscription" "renew_batch";
    SUBSCRIPTION_SUPERSEDE_BATCH = "subscription" "supersede_batch";
    SUBSCRIPTION_REFRESH_BATCH = "subscription" "refresh_batch";
    SUBSCRIPTION_LIST_CONTACTS = "subscription" "list_contacts";
    SUBSCRIPTION_TAKE = "subscription" "take";
    SUBSCRIPTION_LIST_OPEN = "subscription" "list_open";
    SUBSCRIPTION_LIST_WATCHERS = "subscription" "list_watchers";
    SUBSCRIPTION_SETTLE_BATCH = "subscription" "settle_batch";
    SUBSCRIPTION_EXPIRE_BATCH = "subscription" "expire_batch";
    SUBSCRIPTION_POSTPONE_BATCH = "subscription" "postpone_batch";
    SUBSCRIPTION_DELETE_ENDED = "subscription" "delete_ended";
    QUEUE_CLAIM = "queue" "claim";
    QUEUE_CLAIM_OVERDUE = "queue" "claim_overdue";
    QUEUE_LIST_DUE = "queue" "list_due";
    QUEUE_RENEW = "queue" "renew";
    QUEUE_SETTLE = "queue" "settle";
    QUEUE_RING = "queue" "ring";
    QUEUE_LISTEN = "queue" "listen";
    QUARANTINE_PUT_REFUSED = "quarantine" "put_refused";
    QUARANTINE_DELETE_DONE = "quarantine" "delete_done";
    NODE_PUT_NODE = "node" "put_node";
    NODE_PUT_HEARTBEAT = "node" "put_heartbeat";
    NODE_DELETE_NODE = "node" "delete_node";
    NODE_LIST_NODES = "node" "list_nodes";
    NODE_FIND_SECRET = "node" "find_secret";
    IDENTITY_LIST_CREDENTIALS = "identity" "list_credentials";
    IDENTITY_LIST_DELEGATED = "identity" "list_delegated";
    IDENTITY_PUT_SUBSCRIBER = "identity" "put_subscriber";
    IDENTITY_DELETE_SUBSCRIBER = "identity" "delete_subscriber";
    IDENTITY_LIST_SUBSCRIBERS = "identity" "list_subscribers";
    IDENTITY_LIST_DOMAINS = "identity" "list_domains";
    MAINTENANCE_DELETE_IDLE_RESOURCES = "maintenance" "delete_idle_resources";
    MAINTENANCE_DELETE_DEAD_NODES = "maintenance" "delete_dead_nodes";
    MAINTENANCE_PUT_PATIENCE = "maintenance" "put_patience";
    MAINTENANCE_DISCARD_PLANS = "maintenance" "discard_plans";
    MAINTENANCE_PUT_CLOCK = "maintenance" "put_clock";
    SCRIPT_LIST_GROUNDS = "script" "list_grounds";
    SCRIPT_FIND_SUBSCRIBERS = "script" "find_subscribers";
    SCRIPT_FIND_SUBSCRIPTION = "script" "find_subscription";
    KAMAILIO_LIST_COLUMNS = "kamailio" "list_columns";
    KAMAILIO_LIST_PUBLICATIONS = "kamailio" "list_publications";
    KAMAILIO_LIST_DIALOGS = "kamailio" "list_dialogs";
    KAMAILIO_LIST_DECISIONS = "kamailio" "list_decisions";
    KAMAILIO_LIST_DOCUMENTS = "kamailio" "list_documents";
    KAMAILIO_FIND_PUBLICATIONS = "kamailio" "find_publications";
    KAMAILIO_FIND_DIALOGS = "kamailio" "find_dialogs";
    PUBLICATION_LIST_IMPORTED = "publication" "list_imported";
    PUBLICATION_CHANGE_IMPORTED = "publication" "change_imported";
    PUBLICATION_CREATE_IMPORTED = "publication" "create_imported";
    PUBLICATION_DELETE_IMPORTED = "publication" "delete_imported";
    SUBSCRIPTION_LIST_IMPORTED = "subscription" "list_imported";
    SUBSCRIPTION_CHANGE_IMPORTED = "subscription" "change_imported";
    SUBSCRIPTION_CREATE_IMPORTED = "subscription" "create_imported";
    SUBSCRIPTION_DELETE_IMPORTED = "subscription" "delete_imported";
    WATCHER_CHANGE_IMPORTED = "watcher" "change_imported";
    WATCHER_CREATE_IMPORTED = "watcher" "create_imported";
    XCAP_CHANGE_IMPORTED = "xcap" "change_imported";
    XCAP_CREATE_IMPORTED = "xcap" "create_imported";
    XCAP_LIST_LISTS = "xcap" "list_lists";
    WATCHER_LIST_RULES = "watcher" "list_rules";
    WATCHER_LIST_UNDECIDED = "watcher" "list_undecided";
    WATCHER_LIST_DIALOGS = "watcher" "list_dialogs";
    WATCHER_LIST_PERSONS = "watcher" "list_persons";
    WATCHER_CREATE_DECIDED = "watcher" "create_decided";
    WATCHER_CHANGE_DECIDED = "watcher" "change_decided";
    WATCHER_DECIDE_BATCH = "watcher" "decide_batch";
    WATCHER_AWAIT_DECIDER = "watcher" "await_decider";
    WATCHER_PUT_WAITING = "watcher" "put_waiting";
    WATCHER_GIVE_UP = "watcher" "give_up";
    WATCHER_DELETE_WAITING = "watcher" "delete_waiting";
    OPERATOR_LIST_PRESENTITIES = "operator" "list_presentities";
    OPERATOR_LIST_WATCHERS = "operator" "list_watchers";
    OPERATOR_REFRESH_WATCHERS = "operator" "refresh_watchers";
    OPERATOR_UPDATE_WATCHERS = "operator" "update_watchers";
    OPERATOR_CLEANUP = "operator" "cleanup";
    OPERATOR_PING = "operator" "ping";
    OPERATOR_LIST_PROCESSES = "operator" "list_processes";
    OPERATOR_FIND_BACKLOG = "operator" "find_backlog";
    OPERATOR_COUNT_FAILING = "operator" "count_failing";
    OPERATOR_LIST_SET_ASIDE = "operator" "list_set_aside";
    OPERATOR_LIST_BACKLOG = "operator" "list_backlog";
    OPERATOR_LIST_SUBSCRIPTIONS = "operator" "list_subscriptions";
    OPERATOR_LIST_RESOURCE_SUBSCRIPTIONS = "operator" "list_resource_subscriptions";
    OPERATOR_LIST_EVENTS = "operator" "list_events";
}
