-- Sessions that are deleted, and requests that are removed: their rows are found by the time of that, for as long as they
-- are remembered. No other row is in these indexes.

ALTER TABLE flowstate.sessions ADD COLUMN emptied boolean NOT NULL DEFAULT false; -- nothing is left but ids of requests

CREATE INDEX sessions_deleted ON flowstate.sessions (emptied, delete_time) WHERE delete_time > 0;

-- A request whose status is 7, removed, is its id alone.
CREATE INDEX request_heads_removed ON flowstate.request_heads (end_time) WHERE status = 7;
