"""Jobs on a cluster, by its API: handed over, watched, changed, and their results."""
