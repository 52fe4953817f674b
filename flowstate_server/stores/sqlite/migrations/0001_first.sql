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
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    tags BLOB,                           -- JSON array; NULL: none
    metadata BLOB                        -- JSON object; NULL: {}
) STRICT;

CREATE UNIQUE INDEX sessions_by_id ON sessions (tenant, session_id) WHERE replaced = 0;

-- `ephemeral` leads the sort key, so that one set of indexes lists with and without ephemeral sessions.
CREATE INDEX sessions_by_time ON sessions (tenant, ephemeral, create_time, session_id)
    WHERE replaced = 0 AND delete_time = 0;
CREATE INDEX sessions_by_flow ON sessions (tenant, flow_kind, ephemeral, create_time, session_id)
    WHERE replaced = 0 AND delete_time = 0;
CREATE INDEX sessions_by_user ON sessions (tenant, user_id, ephemeral, create_time, session_id)
    WHERE replaced = 0 AND delete_time = 0;
CREATE INDEX sessions_by_org ON sessions (tenant, org_id, ephemeral, create_time, session_id)
    WHERE replaced = 0 AND delete_time = 0 AND org_id <> '';

CREATE TABLE session_heads (
    log INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    turns INTEGER NOT NULL,
    activity_time INTEGER NOT NULL
) STRICT;

CREATE TABLE requests (
    request INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    request_id TEXT NOT NULL,
    log_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    org_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    flow_kind TEXT NOT NULL,
    action TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    scopes BLOB NOT NULL,                -- JSON array of [kind, tenant, id, flow_kind]
    input BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX requests_by_id ON requests (tenant, request_id);

CREATE TABLE request_heads (
    request INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    status INTEGER NOT NULL,             -- 0: in progress
    sequence INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    end_time INTEGER NOT NULL,
    unswept INTEGER NOT NULL,            -- 1: it has transient events
    process TEXT NOT NULL,
    cancel_reason TEXT                   -- NULL: not asked to cancel
) STRICT;

CREATE INDEX request_heads_active ON request_heads (log) WHERE status = 0;
CREATE INDEX request_heads_of_process ON request_heads (process) WHERE status = 0;
CREATE INDEX request_heads_of_turn ON request_heads (log, turn) WHERE turn > 0;
CREATE INDEX request_heads_unswept ON request_heads (end_time) WHERE unswept = 1 AND end_time > 0;

CREATE TABLE outcomes (
    request INTEGER PRIMARY KEY,
    output BLOB,
    failure BLOB                         -- JSON array of a Failure's fields
) STRICT;

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
CREATE INDEX events_transient_outside ON events (time) WHERE transient = 1 AND request IS NULL;

-- The content of an item is stored here and nowhere else; its `item.done` event is the row of `events` at the same place.
CREATE TABLE items (
    place INTEGER PRIMARY KEY,
    request INTEGER,
    item_index INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    audiences INTEGER NOT NULL,
    item_id TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;

CREATE INDEX items_by_request ON items (request) WHERE request IS NOT NULL;

CREATE TABLE processes (
    process TEXT PRIMARY KEY,
    lease INTEGER NOT NULL,
    renew_time INTEGER NOT NULL,
    fenced INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    number INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    principal TEXT NOT NULL,
    method TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    expire_time INTEGER NOT NULL,
    reply BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX idempotency_keys_by_key ON idempotency_keys (tenant, principal, method, key);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expire_time);

-- AUTOINCREMENT: a poller knows commits by their ids, which must not come again once rows are trimmed.
CREATE TABLE commits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    topics BLOB NOT NULL                 -- JSON array of [kind, tenant, id]
) STRICT;
