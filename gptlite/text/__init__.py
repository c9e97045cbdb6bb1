"""Text: tokenizers, and datasets of tokens."""
