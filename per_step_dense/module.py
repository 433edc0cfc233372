"""The layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ._checks import (
    check_ends_with,
    check_has_no_lengths,
    check_is_dense_tensor,
    checked_size,
    is_dtensor,
)
from ._conversion import Parameters, einsum_dense, keras_layers, torch_layers
from ._layer import Layer, as_parameter
from ._steps import checked_steps, checked_steps_of
from ._types import Activation
from .functional import per_step_dense


class PerStepDense(Layer):
    r"""A different dense layer at every time step, as one layer.

    .. math:: y_{b,t,:} = \mathrm{activation}(x_{b,t,:} W_t + b_t)

    With a tuple of steps, every cell of a grid has its own dense layer: ``steps=(6, 7)`` is one for
    each of 42 positions.

    Args:
        steps: the number of time steps, or the extents of a grid of them.
        in_features: the size of the input at one step.
        out_features: the size of the output at one step.
        bias: whether every step adds a bias of its own.
        activation: None, ``"relu"``, ``"gelu"`` (exact, by erf), ``"gelu_tanh"``, ``"silu"``,
            ``"tanh"`` or ``"sigmoid"``.
        device: where the parameters are created.
        dtype: float32, float64, float16 or bfloat16; None is torch's default dtype. On CUDA
            float32's products follow ``torch.backends.cuda.matmul.fp32_precision``.

    Shape:
        - input: :math:`(*, *\text{steps}, \text{in\_features})`
        - output: :math:`(*, *\text{steps}, \text{out\_features})`, where the leading dimensions are
          those of the input: any number, also none
        - or, with an int of steps, a packed sequence of at most so many, and a packed sequence

    Attributes:
        weight: the matrices, of shape :math:`(*\text{steps}, \text{in\_features},
            \text{out\_features})`. One step's is the transpose of that of :class:`torch.nn.Linear`.
        bias: the biases, of shape :math:`(*\text{steps}, \text{out\_features})`, or None.
        steps, in_features, out_features, activation: as given.

    Every step starts as a :class:`torch.nn.Linear` of its own would: weight and bias are uniform in
    :math:`\pm 1 / \sqrt{\text{in\_features}}`. The number of steps does not shrink that bound: an
    output sums over ``in_features`` terms however many steps there are. (That of Keras
    2's ``LocallyConnected1D`` did shrink, by the root of T: its Glorot limits took T for a
    receptive field.)

    Raises:
        ValueError: a size below 1, an empty tuple of steps, an unknown activation; when called, an
            input whose shape or device does not fit.
        TypeError: an argument of another type, an unsupported dtype; when called, an input that is
            no tensor or has another dtype than the parameters.

    Example:
        >>> layer = PerStepDense(10, 4, 8, activation="relu")
        >>> layer(torch.randn(32, 10, 4)).shape
        torch.Size([32, 10, 8])
        >>> sum(parameter.numel() for parameter in layer.parameters())
        400
    """

    steps: int | tuple[int, ...]
    in_features: int

    def __init__(
        self,
        steps: int | tuple[int, ...],
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: Activation | None = None,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        steps = checked_steps(steps)
        in_features = checked_size("in_features", in_features)
        out_features = checked_size("out_features", out_features)
        weight_shape = (*_shape_of(steps), in_features, out_features)
        super().__init__(weight_shape, bias, activation, device, dtype)
        self.steps = steps
        self.in_features = in_features

    @overload
    def forward(self, input: Tensor, lengths: Tensor | None = None) -> Tensor: ...
    @overload
    def forward(self, input: PackedSequence) -> PackedSequence: ...
    def forward(
        self, input: Tensor | PackedSequence, lengths: Tensor | None = None
    ) -> Tensor | PackedSequence:
        """Applies every step's layer to the input's step; shapes and errors as in the class.

        Args:
            input: a tensor, or with an int of steps a :class:`torch.nn.utils.rnn.PackedSequence`
                of at most so many.
            lengths: how many steps each sample has, as in :func:`per_step_dense`; with an int of
                steps only.
        """
        if isinstance(input, PackedSequence):
            return self._of_packed(input, lengths)
        check_is_dense_tensor("input", input)
        steps_shape = _shape_of(self.steps)
        expected = (*steps_shape, self.in_features)
        check_ends_with("input", input, expected, "(*, *steps, in_features)")
        if len(steps_shape) == 1:
            return per_step_dense(
                input, self.weight, self.bias, activation=self.activation, lengths=lengths
            )

        if lengths is not None:
            raise ValueError(
                "per_step_dense: lengths must be None where steps is a tuple, "
                f"{self.steps}; got {type(lengths).__name__}"
            )
        x = input.flatten(-len(expected), -2)  # (*, T, I) with T = prod(steps)
        weight = self.weight.flatten(0, -3)  # (T, I, O)
        bias = None if self.bias is None else self.bias.flatten(0, -2)  # (T, O)
        y = per_step_dense(x, weight, bias, activation=self.activation)  # (*, T, O)
        return y.reshape(*x.shape[:-2], *steps_shape, self.out_features)

    def _of_packed(self, input: PackedSequence, lengths: Tensor | None) -> PackedSequence:
        if not isinstance(self.steps, int):
            raise TypeError(
                "per_step_dense: input must be a torch.Tensor where steps is a tuple, "
                f"{self.steps}; got PackedSequence"
            )
        check_has_no_lengths(lengths)
        check_is_dense_tensor("input.data", input.data)
        check_ends_with("input.data", input.data, (self.in_features,), "(*, in_features)")
        return per_step_dense(input, self.weight, self.bias, activation=self.activation)

    def step(self, x_t: Tensor, t: int | slice | tuple[int, ...]) -> Tensor:
        """Applies the layer of one step, or of a slice of steps: for streams, a step at a time.

        Differentiable as :meth:`forward` is; the gradient of a parameter is zero at other steps.

        Args:
            x_t: the input at that step, :math:`(*, I)`; for a slice of n steps :math:`(*, n, I)`.
            t: the step, an int; negative ones count from the end. A slice of steps, whose own step
                is positive. Of a grid, a cell: a tuple of ints, as many as there are extents.

        Returns:
            ``layer(x)[..., t, :]`` where ``x_t`` is ``x[..., t, :]``.

        Raises:
            ValueError: there is no such step; a shape or device that does not fit; parameters that
                are sharded over the steps, which would have to be gathered.
            TypeError: ``t`` is of another type; ``x_t`` is no tensor or has another dtype than the
                parameters.

        Example:
            >>> layer, x = PerStepDense(10, 4, 8), torch.randn(32, 10, 4)
            >>> torch.allclose(layer.step(x[:, 3], 3), layer(x)[:, 3], atol=1e-6)
            True
        """
        check_is_dense_tensor("x_t", x_t)
        self._check_has_all_steps("step")
        index, steps = checked_steps_of(t, _shape_of(self.steps))
        bias = None if self.bias is None else self.bias[index]
        if steps is None:
            check_ends_with("x_t", x_t, (self.in_features,), "(*, in_features)")
            weight = self.weight[index].unsqueeze(0)  # (1, I, O)
            bias = None if bias is None else bias.unsqueeze(0)
            x = x_t.unsqueeze(-2)  # (*, 1, I)
            return per_step_dense(x, weight, bias, activation=self.activation).squeeze(-2)
        check_ends_with("x_t", x_t, (steps, self.in_features), "(*, n, in_features)")
        return per_step_dense(x_t, self.weight[index], bias, activation=self.activation)

    def extra_repr(self) -> str:
        """What ``repr`` shows between the parentheses."""
        text = (
            f"steps={self.steps}, in_features={self.in_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
        return text if self.activation is None else f"{text}, activation={self.activation!r}"

    @classmethod
    def from_linears(cls, linears: Iterable[nn.Linear]) -> PerStepDense:
        """Builds a layer from one :class:`torch.nn.Linear` per step, copying their parameters.

        The layer has their dtype, device and ``requires_grad``, and no activation: set
        ``layer.activation`` if one followed each of them.

        Args:
            linears: at least one module, all alike in sizes, bias, dtype, device and
                ``requires_grad``: a list, an ``nn.ModuleList`` or any other iterable.

        Returns:
            A layer whose step ``t`` computes what ``linears[t]`` does.

        Raises:
            ValueError: there are none, or they differ; the text names the first that differs.
            TypeError: something else than an initialised ``nn.Linear``, or dtypes that differ or
                are unsupported.

        Example:
            >>> linears = nn.ModuleList(nn.Linear(4, 8) for _ in range(10))
            >>> PerStepDense.from_linears(linears)
            PerStepDense(steps=10, in_features=4, out_features=8, bias=True)
        """
        return cls._with(torch_layers.from_linears(linears))

    @classmethod
    def from_grouped_conv1d(cls, conv: nn.Conv1d) -> PerStepDense:
        """Builds a layer from a :class:`torch.nn.Conv1d` with a group for each step, copying it.

        Where ``conv(x.reshape(B, T * I, 1)).reshape(B, T, O)`` was written, the layer takes ``x``,
        (B, T, I), and gives (B, T, O). It has the convolution's dtype, device and
        ``requires_grad``, and no activation.

        Args:
            conv: ``nn.Conv1d(T * I, T * O, 1, groups=T)``, with or without a bias.

        Returns:
            A layer of T steps.

        Raises:
            ValueError: a kernel_size or stride other than 1, or padding.
            TypeError: something else than an initialised ``nn.Conv1d``.

        Example:
            >>> PerStepDense.from_grouped_conv1d(nn.Conv1d(10 * 4, 10 * 8, 1, groups=10))
            PerStepDense(steps=10, in_features=4, out_features=8, bias=True)
        """
        return cls._with(torch_layers.from_grouped_conv1d(conv))

    @classmethod
    def from_keras(
        cls, weights_or_layer: Sequence[Any] | Any, *, activation: Activation | None = None
    ) -> PerStepDense:
        """Builds a layer from Keras 2's ``LocallyConnected1D(filters, 1)``, or from its weights.

        Args:
            weights_or_layer: what ``get_weights()`` gives, ``[kernel, bias]`` or ``[kernel]``, of
                shapes (T, I, O) and (T, O), as NumPy arrays or tensors; or a built layer, of
                tf_keras (Keras 2) or of :mod:`per_step_dense.keras`, with a kernel_size and
                strides of 1, in any implementation and data format.
            activation: the layer's, by its name here; of a layer its own is taken over.

        Returns:
            A layer with copies of the weights, in their dtype, on the CPU or where the tensors
            were; trainable as the Keras layer was.

        Raises:
            ValueError: weights of other shapes; a layer whose windows are longer than a step
                (:meth:`LocallyConnected1d.from_keras` takes it) or leave steps out; an activation
                that this layer has not.
            TypeError: something else than weights or such a layer.

        Example:
            >>> PerStepDense.from_keras([torch.randn(10, 4, 8), torch.randn(10, 8)])
            PerStepDense(steps=10, in_features=4, out_features=8, bias=True)
        """
        read = keras_layers.read_windows_of_one_step(weights_or_layer, activation)
        return cls._with(read.parameters, read.activation)

    @classmethod
    def from_einsum_dense(cls, layer: Any) -> PerStepDense:
        """Builds a layer from Keras's ``EinsumDense``, whose activation is taken over.

        Args:
            layer: a built layer, of Keras 3 or tf_keras, with an equation like ``"bti,tio->bto"``:
                any letters, any number of batch dimensions or an ellipsis, the kernel's dimensions
                in any order, and several dimensions of steps for a grid.

        Returns:
            A layer with copies of the weights, on the CPU or where the tensors were; trainable as
            the Keras layer was. A bias that steps or outputs share (``bias_axes="o"``) is copied
            to each of them, and will be trained for each.

        Raises:
            ValueError: another equation, an activation that this layer has not.
            TypeError: something else than an ``EinsumDense``; quantized weights.

        Example:
            >>> import keras  # doctest: +SKIP
            >>> layer = keras.layers.EinsumDense("bti,tio->bto", (10, 8), bias_axes="to")
            >>> layer.build((None, 10, 4))
            >>> PerStepDense.from_einsum_dense(layer)
            PerStepDense(steps=10, in_features=4, out_features=8, bias=True)
        """
        return cls._with(*einsum_dense.read_einsum_dense(layer))

    def to_linears(self) -> nn.ModuleList:
        """Copies every step into a :class:`torch.nn.Linear` of its own.

        An ``nn.Linear`` cannot carry an activation, and dropping it would change what the modules
        compute, so a layer that has one is refused. Set ``layer.activation = None`` and apply the
        activation after each module to convert such a layer.

        Returns:
            The modules in the order of the steps (of a grid: the last extent runs fastest), with
            the layer's dtype, device and ``requires_grad``.

        Raises:
            ValueError: the layer has an activation, or is sharded over the steps.

        Example:
            >>> PerStepDense(10, 4, 8).to_linears()
            ModuleList(
              (0-9): 10 x Linear(in_features=4, out_features=8, bias=True)
            )
        """
        if self.activation is not None:
            raise ValueError(
                "per_step_dense: activation must be None for to_linears, since nn.Linear has none "
                "(set it to None and apply it after each nn.Linear); "
                f"got {self.activation!r}"
            )
        self._check_has_all_steps("to_linears")
        weights = self.weight.flatten(0, -3)  # (T, I, O)
        biases = None if self.bias is None else self.bias.flatten(0, -2)  # (T, O)
        linears = nn.ModuleList()
        for t in range(weights.size(0)):
            linear = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
            linear.weight = as_parameter(weights[t].t(), self.weight.requires_grad)
            if self.bias is not None and biases is not None:
                linear.bias = as_parameter(biases[t], self.bias.requires_grad)
            linears.append(linear)
        return linears

    @classmethod
    def _with(cls, parameters: Parameters, activation: Activation | None = None) -> PerStepDense:
        *steps, in_features, out_features = parameters.weight.shape
        layer = cls(
            steps[0] if len(steps) == 1 else tuple(steps),
            in_features,
            out_features,
            bias=parameters.bias is not None,
            activation=activation,
            device="meta",  # drawing values to overwrite would move the random state
            dtype=parameters.weight.dtype,
        )
        layer._take(parameters)
        return layer

    def _check_has_all_steps(self, method: str) -> None:
        weight: Tensor = self.weight
        if not is_dtensor(weight):
            return
        of_features = weight.ndim - 2
        if any(getattr(each, "dim", of_features) < of_features for each in weight.placements):
            raise ValueError(
                f"per_step_dense: {method} needs a weight that is not sharded over the steps, for "
                "nothing is gathered silently (weight.full_tensor() gathers; in a layer under "
                "fully_shard, torch.distributed.fsdp.register_fsdp_forward_method does); "
                f"got {weight.placements}"
            )


def _shape_of(steps: int | tuple[int, ...]) -> tuple[int, ...]:
    return (steps,) if isinstance(steps, int) else steps
