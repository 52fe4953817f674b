-- Content is kept as it is: most of it is compressed already, and to look for more takes three times as long as to keep
-- it. Pieces that are there stay as they are.

ALTER TABLE flowstate.blob_pieces ALTER COLUMN piece SET STORAGE EXTERNAL;
