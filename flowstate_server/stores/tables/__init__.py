"""What the stores with tables, SQLite and Postgres, share: their rows, and the numbers they keep for kinds."""
