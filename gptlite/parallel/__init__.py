"""Workers that stand for GPUs, and what they say to one another."""
