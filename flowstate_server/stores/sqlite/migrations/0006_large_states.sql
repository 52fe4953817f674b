-- The text of a large state is apart from its row: whole as of one version, and what has changed since. Those that are
-- there stay as they are until they are written.

CREATE TABLE state_parts (
    state INTEGER NOT NULL,
    version INTEGER NOT NULL,
    text BLOB NOT NULL,                  -- at states.base JSON; beyond, patches, a line each
    PRIMARY KEY (state, version)
) STRICT;

ALTER TABLE states ADD COLUMN base INTEGER; -- version of the text in parts; NULL: it is in the row
ALTER TABLE states ADD COLUMN size INTEGER; -- bytes of the whole text, where it is in parts
