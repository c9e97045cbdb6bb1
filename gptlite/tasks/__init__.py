"""The jobs that an assistant is asked to do, each with its data and its score."""
