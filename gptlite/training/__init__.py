"""Training: the optimizer over shards, the schedule, one step, the loop."""
