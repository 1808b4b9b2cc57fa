"""What must survive: runs, items, shards and results in PostgreSQL, and PostgreSQL itself."""
