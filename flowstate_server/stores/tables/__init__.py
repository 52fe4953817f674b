"""What the stores with tables, SQLite and Postgres, share: columns, rows, what is written, simple queries and reads."""
