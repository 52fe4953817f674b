-- Sessions that are deleted, and requests that are removed: their rows are found by the time of that, for as long as they
-- are remembered. No other row is in these indexes.

ALTER TABLE sessions ADD COLUMN emptied INTEGER NOT NULL DEFAULT 0; -- 1: nothing of it is left but the ids of its requests

CREATE INDEX sessions_deleted ON sessions (emptied, delete_time) WHERE delete_time > 0;

-- A request whose status is 7, removed, is its id alone.
CREATE INDEX request_heads_removed ON request_heads (end_time) WHERE status = 7;
