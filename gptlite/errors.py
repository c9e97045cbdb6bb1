"""Errors that a user can act on: what was wanted, what was got, what to do."""


class GptliteError(Exception):
    """Base of all errors that the command line prints as one clear line."""


class ConfigError(GptliteError, ValueError):
    """A configuration that cannot work."""


class DataError(GptliteError, ValueError):
    """A text, a token or a prompt that cannot be used."""


class CheckpointError(GptliteError):
    """A checkpoint that is missing, damaged, foreign, or cannot be written."""


class TrainingError(GptliteError):
    """A training run that had to stop, such as at a loss that is not a number."""


class WorkerError(GptliteError):
    """A worker that was lost, or a message between workers that cannot be used."""
