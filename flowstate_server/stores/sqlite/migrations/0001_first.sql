-- The README beside this folder tells what each table is for.
--
-- Two integers keep long keys out of the narrow rows and their indexes: `log` stands for one incarnation of a session
-- (tenant, session_id, log_id), `request` for one request (tenant, request_id). Every query starts from the tenant's own
-- key. `place` is log * 2^32 + session_sequence: one event's place among all logs.

PRAGMA application_id = 0x464C5354;

CREATE TABLE sessions (
    log INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    log_id TEXT NOT NULL,
    replaced INTEGER NOT NULL DEFAULT 0, -- 1: an earlier incarnation, its session was made anew
    ephemeral INTEGER NOT NULL,
    flow_kind TEXT NOT NULL,
    user_id TEXT NOT NULL,
    org_id TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    delete_time INTEGER NOT NULL,        -- over 0: a tombstone
    version INTEGER NOT NULL,            -- of the metadata, which is all that follows
    title BLOB NOT NULL,
    description BLOB NOT NULL,
    tags BLOB,                           -- JSON array; NULL: none
    metadata BLOB                        -- JSON object; NULL: {}
) STRICT;

CREATE UNIQUE INDEX sessions_by_id ON sessions (tenant, session_id) WHERE NOT replaced;

-- `ephemeral` leads the sort key, so that one set of indexes lists with and without ephemeral sessions.
CREATE INDEX sessions_by_time ON sessions (tenant, ephemeral, create_time, session_id)
    WHERE NOT replaced AND delete_time = 0;
CREATE INDEX sessions_by_flow ON sessions (tenant, flow_kind, ephemeral, create_time, session_id)
    WHERE NOT replaced AND delete_time = 0;
CREATE INDEX sessions_by_user ON sessions (tenant, user_id, ephemeral, create_time, session_id)
    WHERE NOT replaced AND delete_time = 0;
CREATE INDEX sessions_by_org ON sessions (tenant, org_id, ephemeral, create_time, session_id)
    WHERE NOT replaced AND delete_time = 0 AND org_id <> '';

CREATE TABLE session_heads (
    log INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    turns INTEGER NOT NULL,              -- the number of the newest turn
    activity_time INTEGER NOT NULL,
    floor INTEGER NOT NULL               -- the newest durable event that retention has removed
) STRICT;

CREATE TABLE requests (
    request INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    request_id TEXT NOT NULL,
    log_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    org_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    flow_kind TEXT NOT NULL,
    action TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    scopes BLOB NOT NULL,                -- JSON array of [kind, tenant, id, flow_kind]
    gate BLOB NOT NULL,                  -- of its concurrency policy; empty: none
    timeout INTEGER NOT NULL,            -- microseconds; 0: none
    trace BLOB NOT NULL,
    correlation_id BLOB NOT NULL,
    input BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX requests_by_id ON requests (tenant, request_id);

CREATE TABLE request_heads (
    request INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    status INTEGER NOT NULL,             -- 0: in progress
    open INTEGER NOT NULL,               -- 1: queued, in progress or suspended
    attempt INTEGER NOT NULL,            -- how often it was started
    sequence INTEGER NOT NULL,
    end_time INTEGER NOT NULL,
    unswept INTEGER NOT NULL,            -- 1: it has transient events
    process TEXT NOT NULL,               -- empty while it is queued
    cancel_reason BLOB                   -- NULL: not asked to cancel
) STRICT;

CREATE INDEX request_heads_open ON request_heads (log) WHERE open;
CREATE INDEX request_heads_of_process ON request_heads (process) WHERE status = 0;
CREATE INDEX request_heads_unswept ON request_heads (end_time) WHERE unswept AND end_time > 0;

CREATE TABLE outcomes (
    request INTEGER PRIMARY KEY,
    output BLOB,
    failure BLOB,                        -- JSON array of a Failure's fields
    reason BLOB                          -- why it was aborted or interrupted
) STRICT;

-- A completed request, or what one append from outside has added: then `request` is NULL, and the items lie from `first` to
-- `last` in the session's log.
CREATE TABLE turns (
    log INTEGER NOT NULL,
    number INTEGER NOT NULL,
    request INTEGER,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (log, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE states (
    state INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    flow_kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    present INTEGER NOT NULL,            -- 0: a tombstone
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    generations BLOB,                    -- JSON array of [flow kind, generation]; NULL: []
    schema_hash TEXT NOT NULL,           -- of the schema that it was last written by
    text BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX states_by_key ON states (kind, tenant, id, flow_kind);

CREATE TABLE events (
    place INTEGER PRIMARY KEY,
    request INTEGER,                     -- NULL: outside a request
    sequence INTEGER NOT NULL,
    type INTEGER NOT NULL,
    audiences INTEGER NOT NULL,          -- a bit each: client, internal, history
    transient INTEGER NOT NULL,
    time INTEGER NOT NULL,
    block_path BLOB,                     -- JSON array; NULL: []
    payload BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_by_request ON events (request, sequence) WHERE request IS NOT NULL;
CREATE INDEX events_transient_outside ON events (time) WHERE transient AND request IS NULL;

-- The content of an item is stored here and nowhere else; its `item.done` event is the row of `events` at the same place.
CREATE TABLE items (
    place INTEGER PRIMARY KEY,
    request INTEGER,
    time INTEGER NOT NULL,
    item_index INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    audiences INTEGER NOT NULL,
    removed INTEGER NOT NULL,            -- 1: its content is blanked
    item_id BLOB NOT NULL,
    role BLOB NOT NULL,
    name BLOB NOT NULL,
    content BLOB NOT NULL
) STRICT;

CREATE INDEX items_by_request ON items (request) WHERE request IS NOT NULL;

CREATE TABLE processes (
    process TEXT PRIMARY KEY,
    lease INTEGER NOT NULL,
    renew_time INTEGER NOT NULL,
    fenced INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Everything small that has no table of its own. `key` is made of owner, kind and name, and sorts like them.
CREATE TABLE documents (
    document INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    version INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    present INTEGER NOT NULL,            -- 0: a tombstone
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,        -- 0: never
    text BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX documents_by_key ON documents (key);
CREATE INDEX documents_by_expiry ON documents (expire_time) WHERE expire_time > 0;

-- Pieces of large content, which take no part in the commits of records.
CREATE TABLE blob_pieces (
    blob TEXT NOT NULL,
    number INTEGER NOT NULL,
    piece BLOB NOT NULL,
    PRIMARY KEY (blob, number)
) STRICT;

-- AUTOINCREMENT: a poller knows commits by their ids, which must not come again once rows are trimmed.
CREATE TABLE commits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    topics BLOB NOT NULL                 -- JSON array of [kind, tenant, id]
) STRICT;
