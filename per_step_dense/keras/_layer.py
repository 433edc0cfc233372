"""The layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import keras

from .._checks import check_is_among, checked_size
from .._geometry import DATA_FORMATS, IMPLEMENTATIONS, Geometry, check_padding
from . import _compute

NAME: Final = "LocallyConnected1D"
_BATCH_SHAPES: Final = {"input_shape", "batch_input_shape"}


@keras.saving.register_keras_serializable(package="per_step_dense", name=NAME)
class LocallyConnected1D(keras.layers.Layer):  # type: ignore[misc]
    """Keras 2's layer: a convolution over steps whose weights are not shared.

    What Keras 2 computed, from the weights that it had: :meth:`set_weights` and old weights files
    of every ``implementation`` fit. On the torch backend it runs through
    :func:`per_step_dense.per_step_dense`; on others through ``keras.ops``.

    Args:
        filters: the size of the output at one step.
        kernel_size: the number of steps in a window, an int or a tuple of one.
        strides: the number of steps from one window to the next, likewise.
        padding: ``"valid"``; or ``"same"``, with implementations 2 and 3: as many windows as
            ``strides`` go into the steps of the input, the middle of the first on its first step.
        data_format: ``"channels_last"``, ``"channels_first"`` or None, which is Keras's
            configuration.
        activation: as in every Keras layer.
        use_bias: whether every window adds a bias of its own.
        kernel_initializer, bias_initializer: as in every Keras layer.
        kernel_regularizer, bias_regularizer, activity_regularizer: as in every Keras layer.
        kernel_constraint, bias_constraint: as in every Keras layer.
        implementation: 1, 2 or 3: how Keras 2 kept the kernel. All are computed alike here; 1
            needs no gathering of weights and is the fastest.
        **kwargs: of every Keras layer, such as ``name`` and ``dtype``.

    Shape:
        - input: (B, L, I); with ``"channels_first"`` (B, I, L)
        - output: (B, T, filters); with ``"channels_first"`` (B, filters, T), where T is
          (L - k) // strides + 1, or with ``"same"`` L / strides, rounded up

    Weights:
        - ``kernel``: in implementation 1 (T, k * I, filters), of rows (k, I), or (I, k) with
          ``"channels_first"``; in 2 (L, I, T, filters), or (I, L, filters, T), of which what lies
          outside of the windows is never used; in 3 those inside alone, in a row
        - ``bias``: (T, filters); with ``"channels_first"`` it is reshaped to (filters, T), not
          transposed, as Keras 2 did

    The Glorot limits of the default ``kernel_initializer`` are Keras 2's too. They take all but the
    last two dimensions of a kernel for a receptive field, T of implementation 1, so that the
    weights it starts from shrink by the root of T. Those of
    :class:`per_step_dense.LocallyConnected1d` do not.

    Raises:
        ValueError: an argument that does not fit, a kernel larger than the input.

    Example:
        >>> import keras, per_step_dense.keras  # doctest: +SKIP
        >>> layer = per_step_dense.keras.LocallyConnected1D(8, 3)
        >>> layer(keras.ops.ones((32, 12, 4))).shape
        (32, 10, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        implementation: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = _checked_int("filters", filters)
        self.kernel_size = _checked_tuple("kernel_size", kernel_size)
        self.strides = _checked_tuple("strides", strides)
        check_is_among("implementation", implementation, IMPLEMENTATIONS)
        self.implementation = implementation
        self.padding = _lower(padding)
        check_padding(self.padding, implementation)
        self.data_format = _lower(
            keras.config.image_data_format() if data_format is None else data_format
        )
        check_is_among("data_format", self.data_format, DATA_FORMATS)
        self.use_bias = use_bias
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the weights for inputs of that shape, whose steps and features are fixed."""
        self._geometry = self._geometry_of(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=self._geometry.kernel_shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self._geometry.out_steps, self.filters),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self._compute = _compute.prepare(self._geometry)
        axes = {1: input_shape[1], 2: input_shape[2]}
        self.input_spec = keras.layers.InputSpec(ndim=3, axes=axes)

    def call(self, inputs: Any) -> Any:
        """Applies every window's layer to the inputs."""
        return self._compute(inputs, self.kernel, self.bias, self.activation)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Of the output for inputs of that shape."""
        out_steps = self._geometry_of(input_shape).out_steps
        if self.data_format == "channels_first":
            return input_shape[0], self.filters, out_steps
        return input_shape[0], out_steps, self.filters

    def get_config(self) -> dict[str, Any]:
        """What a layer like this one is made of, by :meth:`from_config`."""
        config: dict[str, Any] = super().get_config()
        return {
            **config,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "implementation": self.implementation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LocallyConnected1D:
        """A layer of that config, this class's or Keras 2's."""
        # Keras 2 wrote the batch's shape into a model's first layer; Keras 3 renames it.
        own = {name: value for name, value in config.items() if name not in _BATCH_SHAPES}
        layer: LocallyConnected1D = super().from_config(own)
        for name in config.keys() & _BATCH_SHAPES:
            layer.build(tuple(config[name]))
        return layer

    def _geometry_of(self, input_shape: Sequence[int | None]) -> Geometry:
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                f"per_step_dense: the input of {self.name} must be of 3 dimensions, the last two "
                f"of fixed size, for every step has weights; got {tuple(input_shape)}"
            )
        _, in_steps, in_features = input_shape
        if self.data_format == "channels_first":
            in_steps, in_features = in_features, in_steps
        assert in_steps is not None and in_features is not None
        return Geometry(
            in_steps,
            in_features,
            self.filters,
            self.kernel_size[0],
            self.strides[0],
            self.padding,
            self.data_format,
            self.implementation,
        )


def _checked_int(name: str, value: Any) -> int:
    """As Keras has it, a ValueError whatever is wrong."""
    try:
        return checked_size(name, value)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _checked_tuple(name: str, value: Any) -> tuple[int]:
    try:
        (size,) = value if isinstance(value, (tuple, list)) else (value,)
    except ValueError:
        raise ValueError(
            f"per_step_dense: {name} must be an int of at least 1 or a tuple of one; got {value!r}"
        ) from None
    return (_checked_int(name, size),)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


# Keras 2's files call the class by this name alone.
keras.saving.get_custom_objects().setdefault(NAME, LocallyConnected1D)
