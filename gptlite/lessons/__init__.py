"""Experiments for the lecture: what the rest of the library avoids, made visible."""
