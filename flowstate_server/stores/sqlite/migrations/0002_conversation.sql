-- Requests are listed newest first, by session, by user and by tenant. The session's number is kept with the request for
-- that: request_heads has it too, but is rewritten too often for an index more.

ALTER TABLE requests ADD COLUMN log INTEGER NOT NULL DEFAULT 0;
UPDATE requests SET log = coalesce((SELECT h.log FROM request_heads h WHERE h.request = requests.request), 0);

CREATE INDEX requests_by_time ON requests (tenant, create_time);
CREATE INDEX requests_by_session ON requests (log, create_time);
CREATE INDEX requests_by_user ON requests (tenant, user_id, create_time);
