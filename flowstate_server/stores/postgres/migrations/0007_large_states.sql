-- The text of a large state is apart from its row: whole as of one version, and what has changed since. Those that are
-- there stay as they are until they are written.

CREATE TABLE flowstate.state_parts (
    state bigint NOT NULL,
    version bigint NOT NULL,
    text bytea NOT NULL,                 -- at states.base JSON; beyond, patches, a line each
    PRIMARY KEY (state, version)
);

ALTER TABLE flowstate.states ADD COLUMN base bigint; -- version of the text in parts; NULL: it is in the row
ALTER TABLE flowstate.states ADD COLUMN size bigint; -- bytes of the whole text, where it is in parts
