"""The operations as Numba kernels: the same names and signatures as `reference`.

Each public function checks what the loop trusts, reshapes to rows, and calls the loop.
Kernels run serially and without the GIL: the pool of workers is the parallelism.
They take C-contiguous float32 arrays and integer ids, so that each compiles once.
"""

from gptlite.ops.kernels.adamw import adamw
from gptlite.ops.kernels.attention import attention_backward, attention_forward
from gptlite.ops.kernels.embedding import embedding_backward, embedding_forward
from gptlite.ops.kernels.gelu import (
    gelu_backward,
    gelu_exact_backward,
    gelu_exact_forward,
    gelu_forward,
)
from gptlite.ops.kernels.layernorm import (
    layernorm_backward,
    layernorm_forward,
)
from gptlite.ops.kernels.linear import linear_backward, linear_forward
from gptlite.ops.kernels.linear_cross_entropy import (
    linear_cross_entropy_forward,
    linear_cross_entropy_forward_backward,
)
from gptlite.ops.kernels.linear_log_probability import (
    linear_log_probability_backward,
    linear_log_probability_forward,
)
from gptlite.ops.kernels.lora import lora_backward, lora_forward
from gptlite.ops.kernels.losses import (
    cross_entropy_forward,
    cross_entropy_forward_backward,
)
from gptlite.ops.kernels.matmul import matmul
from gptlite.ops.kernels.muon import muon, orthogonalize
from gptlite.ops.kernels.weights import Packed

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
