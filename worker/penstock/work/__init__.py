"""What a worker does: claim shards, pass the gate, make calls, decide on failures, checkpoint."""
