-- Requests that wait for their turn begin later than they are made.

ALTER TABLE flowstate.request_heads ADD COLUMN start_time bigint NOT NULL DEFAULT 0; -- 0: when it was made, or not yet
