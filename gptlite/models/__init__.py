"""Models: the GPT, how it generates, how it is stored."""
