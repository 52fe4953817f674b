-- Requests that wait for their turn begin later than they are made.

ALTER TABLE request_heads ADD COLUMN start_time INTEGER NOT NULL DEFAULT 0; -- 0: when it was made, or not yet
