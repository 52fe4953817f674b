-- By what live sessions are listed besides their binding: tags, and top-level keys of metadata with their values.
-- Filled by code.
CREATE TABLE session_labels (
    tenant TEXT NOT NULL,
    label BLOB NOT NULL,                 -- a digest
    ephemeral INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    session_id TEXT NOT NULL,
    log INTEGER NOT NULL,
    PRIMARY KEY (tenant, label, ephemeral, create_time, session_id, log)
) STRICT, WITHOUT ROWID;
