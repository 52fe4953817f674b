-- By what live sessions are listed besides their binding: tags, and top-level keys of metadata with their values.
-- Filled by code.
CREATE TABLE flowstate.session_labels (
    create_time bigint NOT NULL,
    log bigint NOT NULL,
    ephemeral boolean NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    label bytea NOT NULL,                -- a digest
    PRIMARY KEY (tenant, label, ephemeral, create_time, session_id, log)
);
