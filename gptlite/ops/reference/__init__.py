"""The operations in NumPy: the maths as one would write it on a board.

Every function writes its outputs in place, outputs first. They take any float
dtype, so that the slope test can run in float64.
"""

from gptlite.ops.reference.adamw import adamw
from gptlite.ops.reference.attention import attention_backward, attention_forward
from gptlite.ops.reference.embedding import embedding_backward, embedding_forward
from gptlite.ops.reference.gelu import (
    gelu_backward,
    gelu_exact_backward,
    gelu_exact_forward,
    gelu_forward,
)
from gptlite.ops.reference.layernorm import (
    layernorm_backward,
    layernorm_forward,
)
from gptlite.ops.reference.linear import linear_backward, linear_forward
from gptlite.ops.reference.linear_cross_entropy import (
    linear_cross_entropy_forward,
    linear_cross_entropy_forward_backward,
)
from gptlite.ops.reference.linear_log_probability import (
    linear_log_probability_backward,
    linear_log_probability_forward,
)
from gptlite.ops.reference.lora import lora_backward, lora_forward
from gptlite.ops.reference.losses import (
    cross_entropy_forward,
    cross_entropy_forward_backward,
)
from gptlite.ops.reference.matmul import matmul
from gptlite.ops.reference.muon import muon, orthogonalize
from gptlite.ops.reference.weights import Packed

__all__ = [
    "Packed",
    "adamw",
    "attention_backward",
    "attention_forward",
    "cross_entropy_forward",
    "cross_entropy_forward_backward",
    "embedding_backward",
    "embedding_forward",
    "gelu_backward",
    "gelu_exact_backward",
    "gelu_exact_forward",
    "gelu_forward",
    "layernorm_backward",
    "layernorm_forward",
    "linear_backward",
    "linear_cross_entropy_forward",
    "linear_cross_entropy_forward_backward",
    "linear_forward",
    "linear_log_probability_backward",
    "linear_log_probability_forward",
    "lora_backward",
    "lora_forward",
    "matmul",
    "muon",
    "orthogonalize",
]
