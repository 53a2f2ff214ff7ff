-- The presence tables as Kamailio 5.4 to 5.8 has them on PostgreSQL: table versions presentity 5, active_watchers 12, watchers 3,
-- xcap 4. For tests.

CREATE TABLE version (
    id            serial PRIMARY KEY NOT NULL,
    table_name    varchar(32) NOT NULL UNIQUE,
    table_version integer DEFAULT 0 NOT NULL
);
INSERT INTO version (table_name, table_version)
VALUES ('presentity', 5), ('active_watchers', 12), ('watchers', 3), ('xcap', 4);

CREATE TABLE presentity (
    id            serial PRIMARY KEY NOT NULL,
    username      varchar(64) NOT NULL,
    domain        varchar(64) NOT NULL,
    event         varchar(64) NOT NULL,
    etag          varchar(128) NOT NULL,
    expires       integer NOT NULL,
    received_time integer NOT NULL,
    body          bytea NOT NULL,
    sender        varchar(255) NOT NULL,
    priority      integer DEFAULT 0 NOT NULL,
    ruid          varchar(64) UNIQUE,
    UNIQUE (username, domain, event, etag)
);

CREATE TABLE active_watchers (
    id               serial PRIMARY KEY NOT NULL,
    presentity_uri   varchar(255) NOT NULL,
    watcher_username varchar(64) NOT NULL,
    watcher_domain   varchar(64) NOT NULL,
    to_user          varchar(64) NOT NULL,
    to_domain        varchar(64) NOT NULL,
    event            varchar(64) DEFAULT 'presence' NOT NULL,
    event_id         varchar(64),
    to_tag           varchar(128) NOT NULL,
    from_tag         varchar(128) NOT NULL,
    callid           varchar(255) NOT NULL,
    local_cseq       integer NOT NULL,
    remote_cseq      integer NOT NULL,
    contact          varchar(255) NOT NULL,
    record_route     text,
    expires          integer NOT NULL,
    status           integer DEFAULT 2 NOT NULL,
    reason           varchar(64),
    version          integer DEFAULT 0 NOT NULL,
    socket_info      varchar(64) NOT NULL,
    local_contact    varchar(255) NOT NULL,
    from_user        varchar(64) NOT NULL,
    from_domain      varchar(64) NOT NULL,
    updated          integer NOT NULL,
    updated_winfo    integer NOT NULL,
    flags            integer DEFAULT 0 NOT NULL,
    user_agent       varchar(255) DEFAULT '',
    UNIQUE (callid, to_tag, from_tag)
);

CREATE TABLE watchers (
    id               serial PRIMARY KEY NOT NULL,
    presentity_uri   varchar(255) NOT NULL,
    watcher_username varchar(64) NOT NULL,
    watcher_domain   varchar(64) NOT NULL,
    event            varchar(64) DEFAULT 'presence' NOT NULL,
    status           integer NOT NULL,
    reason           varchar(64),
    inserted_time    integer NOT NULL,
    UNIQUE (presentity_uri, watcher_username, watcher_domain, event)
);

CREATE TABLE xcap (
    id       serial PRIMARY KEY NOT NULL,
    username varchar(64) NOT NULL,
    domain   varchar(64) NOT NULL,
    doc      bytea NOT NULL,
    doc_type integer NOT NULL,
    etag     varchar(128) NOT NULL,
    source   integer NOT NULL,
    doc_uri  varchar(255) NOT NULL UNIQUE,
    port     integer NOT NULL
);
