"""Beyond one GPU, on ``torch.distributed``: the layer, the function and the ops on DTensors.

Parameters may be sharded over steps, outputs or inputs, and x over the batch, and nothing is
gathered. Data parallelism (DDP, FSDP2) needs nothing of this package. Importing this registers the
ops' sharding rules; the function and the layer do so by themselves.
"""

from . import _call as _call
from ._parallelize import parallelize
from ._styles import InParallel, OutParallel, StepsParallel

__all__ = ["InParallel", "OutParallel", "StepsParallel", "parallelize"]
