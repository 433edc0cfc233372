"""What the layers share: a matrix and a vector for every step, and how they begin."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ._checks import check_activation, check_is_bool, checked_dtype
from ._conversion import Parameters
from ._types import Activation


class Layer(nn.Module):
    """Holds the parameters; a subclass says what they are applied to.

    Args:
        weight_shape: (*steps, I, O).
        bias: whether there is one, of shape (*steps, O).
        activation, device, dtype: as in the subclasses.
    """

    out_features: int
    activation: Activation | None
    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        weight_shape: tuple[int, ...],
        bias: bool,
        activation: Activation | None,
        device: torch.device | str | int | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        check_is_bool("bias", bias)  # catches an activation given where Dense takes it
        check_activation(activation)
        dtype = checked_dtype(dtype)
        *steps, _, self.out_features = weight_shape
        self.activation = activation
        self.weight = nn.Parameter(torch.empty(weight_shape, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(
                torch.empty(*steps, self.out_features, device=device, dtype=dtype)
            )
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draws weight and bias anew, uniform in :math:`\pm 1 / \sqrt{n}`.

        :math:`n` is the number of inputs that an output is a sum over, ``weight.size(-2)``.
        """
        bound = 1 / math.sqrt(self.weight.size(-2))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def _take(self, parameters: Parameters) -> None:
        """Has these for its own; they are copied."""
        self.weight = as_parameter(parameters.weight, parameters.is_weight_trained)
        if parameters.bias is not None:
            self.bias = as_parameter(parameters.bias, parameters.is_bias_trained)


def as_parameter(values: Tensor, requires_grad: bool) -> nn.Parameter:
    """A parameter with a contiguous copy of the values."""
    return nn.Parameter(values.detach().clone(memory_format=torch.contiguous_format), requires_grad)
