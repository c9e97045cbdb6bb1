"""Pictures, large enough for the last row. The only part that imports matplotlib.

Every function draws on `ax` (a new one if `None`) and returns it.
"""

from gptlite.plots.curves import (
    gradient_sizes,
    learning_curve,
    mean_curves,
    scaling,
    task_scores,
)
from gptlite.plots.messages import gantt, ring_steps
from gptlite.plots.rewards import (
    calibration_curve,
    learning_from_ratings,
    over_optimisation,
    rounds,
)
from gptlite.plots.style import BLUE, GREY, ORANGE, STYLE, new_axes, png, save, styled
from gptlite.plots.words import attention_map, corpus_picture, token_mask, word_map

__all__ = [
    "BLUE", "GREY", "ORANGE", "STYLE", "attention_map", "calibration_curve",
    "corpus_picture", "gantt", "gradient_sizes", "learning_curve",
    "learning_from_ratings", "mean_curves", "new_axes", "over_optimisation", "png",
    "ring_steps", "rounds", "save", "scaling", "styled", "task_scores", "token_mask",
    "word_map",
]  # fmt: skip
