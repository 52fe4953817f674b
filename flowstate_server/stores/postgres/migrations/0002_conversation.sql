-- Requests are listed newest first, by session, by user and by tenant. The session's number is kept with the request for
-- that: request_heads has it too, but is rewritten too often for an index more.

ALTER TABLE flowstate.requests ADD COLUMN log bigint NOT NULL DEFAULT 0;
UPDATE flowstate.requests SET log = coalesce((SELECT h.log FROM flowstate.request_heads h WHERE h.request = requests.request), 0);

CREATE INDEX requests_by_session ON flowstate.requests (log, create_time);

-- All requests have a create time. Only a list names it, and so no look for one request by tenant and id can be planned over
-- all those of the tenant, as Postgres does while it knows little of the table.
CREATE INDEX requests_by_time ON flowstate.requests (tenant, create_time) WHERE create_time > 0;
CREATE INDEX requests_by_user ON flowstate.requests (tenant, user_id, create_time) WHERE create_time > 0;
