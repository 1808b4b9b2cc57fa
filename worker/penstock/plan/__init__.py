"""From a source to a run in the database: items, what is skipped and why, shards."""
