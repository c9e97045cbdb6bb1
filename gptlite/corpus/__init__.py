"""From texts as they come to shards of tokens: clean, no repeats, split, counted."""
