"""Do the ops of ragged batches do without data, compiled, transformed, cast, and on a GPU?"""

from __future__ import annotations

import cases
import pytest
import torch
from ragged import I, O, T, packed, padded, sample_by_sample, unpacked
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.library import opcheck
from torch.nn.utils.rnn import PackedSequence
from torch.utils.flop_counter import FlopCounterMode
from transforms import assert_same

import per_step_dense as psd

LENGTHS = (2, 5, 4)
OPS = torch.ops.per_step_dense


def of_lengths(x: Tensor, weight: Tensor, bias: Tensor | None, **options) -> Tensor:
    return psd.per_step_dense(x, weight, bias, lengths=torch.tensor(LENGTHS), **options)


def of_rows(rows: Tensor, weight: Tensor, bias: Tensor | None, **options) -> Tensor:
    """Of the data of a packed sequence."""
    batch_sizes = torch.tensor([sum(length > t for length in LENGTHS) for t in range(T)])
    return psd.per_step_dense(PackedSequence(rows, batch_sizes), weight, bias, **options).data


LAYERS = {"lengths": of_lengths, "packed": of_rows}
each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def arguments(layer, dtype: torch.dtype = torch.float64, device="cpu") -> list[Tensor]:
    new = cases.New(dtype, device)
    x = padded(new, LENGTHS, T, I).nan_to_num() if layer is of_lengths else new(sum(LENGTHS), I)
    return [x, new(T, I, O), new(T, O)]


def op_arguments(layer, *, requires_grad: bool) -> list[Tensor]:
    tensors = [tensor.requires_grad_(requires_grad) for tensor in arguments(layer)]
    sizes = LENGTHS if layer is of_lengths else (3, 3, 2, 2, 1)
    return [*tensors, torch.tensor(sizes)]


@pytest.mark.parametrize("requires_grad", [False, True], ids=["no_grad", "grad"])
@each_layer
def test_opcheck(layer, requires_grad: bool) -> None:
    x, weight, bias, sizes = op_arguments(layer, requires_grad=requires_grad)
    opcheck(OPS.ragged_forward.default, (x, weight, bias, sizes, "gelu"))
    opcheck(OPS.ragged_forward.default, (x, weight, None, sizes))
    opcheck(OPS.ragged_forward_with_preactivation.default, (x, weight, bias, sizes, "silu"))
    dz = torch.randn(*x.shape[:-1], O, dtype=x.dtype, requires_grad=requires_grad)
    opcheck(OPS.ragged_backward.default, (dz, x, weight, sizes, T, True))


@each_layer
def test_backward_gives_what_is_wanted(layer) -> None:
    x, weight, _, sizes = op_arguments(layer, requires_grad=False)
    dz = torch.randn(*x.shape[:-1], O, dtype=x.dtype)
    everything = OPS.ragged_backward(dz, x, weight, sizes, T, True)
    for has_x, has_weight, wants_dbias in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 0, 0)):
        found = OPS.ragged_backward(
            dz, x if has_x else None, weight if has_weight else None, sizes, T, bool(wants_dbias)
        )
        for one, expected, is_there in zip(
            found, everything, (has_weight, has_x, wants_dbias), strict=True
        ):
            assert (one is not None) == bool(is_there)
            assert one is None or torch.equal(one, expected)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"steps": 6}, ValueError, "steps must be dz.size(1) = 5; got 6"),
        ({"sizes": torch.tensor([1, 2])}, ValueError, "lengths must be (B,) = (3,); got (2,)"),
        ({"sizes": torch.tensor([[1, 2, 3]])}, ValueError, "lengths must be 1-D; got (1, 3)"),
        ({"sizes": torch.tensor([1, 2, 3]).int()}, TypeError, "lengths must be int64; got int32"),
        ({"sizes": None}, TypeError, "lengths must be a torch.Tensor; got NoneType"),
        (
            {"sizes": torch.tensor([1, 2, 3]).to_sparse()},
            ValueError,
            "lengths must be a dense tensor; got layout sparse_coo",
        ),
        (
            {"x": torch.randn(3, T, I)},
            TypeError,
            "x must have the dtype of dz, float64; got float32",
        ),
        (
            {"weight": torch.randn(T, I, O + 1).double()},
            ValueError,
            "weight must be (T, I, O) = (5, I, 9); got (5, 7, 10)",
        ),
        (
            {"dz": torch.randn(O).double()},
            ValueError,
            "dz must be (R, O) with batch_sizes, or (B, T, O) with lengths; got (9,)",
        ),
    ],
)
def test_what_backward_refuses(changes, error: type[Exception], text: str) -> None:
    x, weight, _, sizes = op_arguments(of_lengths, requires_grad=False)
    dz = torch.randn(len(LENGTHS), T, O, dtype=x.dtype)
    given = {"dz": dz, "x": x, "weight": weight, "sizes": sizes, "steps": T, "wants_dbias": True}
    with pytest.raises(error) as refused:
        OPS.ragged_backward(**(given | changes))
    assert str(refused.value) == f"per_step_dense: {text}"


def test_what_has_no_values_cannot_be_computed_step_by_step() -> None:
    x, weight, bias, sizes = (t.to("meta") for t in op_arguments(of_rows, requires_grad=False))
    with pytest.raises(ValueError) as refused:
        OPS.ragged_forward(x, weight, bias, sizes, "none", "reference")
    text = "per_step_dense: batch_sizes and lengths must have values here; got meta"
    assert str(refused.value) == text


META_CHANGES = {
    "x": ({"x": torch.empty(3, T)}, "x must have the sizes of dz but the last, of (3, 5, 9)"),
    "lengths_2d": ({"sizes": torch.tensor([[1, 2]])}, "lengths must be 1-D; got (1, 2)"),
    "lengths_too_few": ({"sizes": torch.tensor([1])}, "lengths must be (B,) = (3,); got (1,)"),
    "steps": ({"steps": T + 1}, "steps must be dz.size(1) = 5; got 6"),
    "family": ({"family": "mine"}, "kernel must be one of auto, reference,"),
}


@pytest.mark.parametrize("case", META_CHANGES)
def test_what_backward_refuses_without_data(case: str) -> None:
    changes, text = META_CHANGES[case]
    x, weight, _, sizes = op_arguments(of_lengths, requires_grad=False)
    dz = torch.empty(len(LENGTHS), T, O, dtype=x.dtype)
    given = {"dz": dz, "x": x, "weight": weight, "sizes": sizes, "steps": T, "wants_dbias": True}
    given |= changes
    on_meta = {
        name: value.to("meta", dtype=x.dtype if name != "sizes" else None)
        if isinstance(value, Tensor)
        else value
        for name, value in given.items()
    }
    with pytest.raises(ValueError) as refused:
        OPS.ragged_backward(**on_meta)
    assert str(refused.value).startswith(f"per_step_dense: {text}")


def test_what_forward_refuses_without_data() -> None:
    x, weight, bias, sizes = (t.to("meta") for t in op_arguments(of_lengths, requires_grad=False))
    for wrong, text in (
        ((x, weight, bias, sizes[:-1]), "lengths must be (B,) = (3,); got (2,)"),
        ((x, weight, bias, sizes, "mine"), "activation must be one of none, relu,"),
        ((x, weight, bias, sizes, "none", "mine"), "kernel must be one of auto, reference,"),
    ):
        with pytest.raises(ValueError) as refused:
            OPS.ragged_forward(*wrong)
        assert str(refused.value).startswith(f"per_step_dense: {text}")


@pytest.mark.parametrize("place", ["cpu", "meta"])
@pytest.mark.parametrize("shape", [(I,), (2, 3, T, I)], ids=str)
def test_forward_refuses_other_ranks_with_and_without_data(
    shape: tuple[int, ...], place: str
) -> None:
    _, weight, bias, sizes = op_arguments(of_lengths, requires_grad=False)
    x = torch.randn(shape, dtype=weight.dtype)
    with pytest.raises(ValueError) as refused:
        OPS.ragged_forward(*(tensor.to(place) for tensor in (x, weight, bias)), sizes)
    assert str(refused.value) == (
        f"per_step_dense: x must be (R, I) with batch_sizes, or (B, T, I) with lengths; got {shape}"
    )


@each_layer
def test_compiles_as_one_graph(layer) -> None:
    args = [tensor.requires_grad_() for tensor in arguments(layer)]
    sizes = op_arguments(layer, requires_grad=False)[-1]

    def run(*given: Tensor) -> Tensor:
        return OPS.ragged_forward(*given[:3], given[3], "tanh").square()

    compiled = torch.compile(run, fullgraph=True, dynamic=True)
    for shorter in (0, 1):
        if layer is of_lengths:
            given_sizes, given = sizes - shorter, args
        else:
            given_sizes = sizes[: len(sizes) - shorter]
            given = [args[0].detach()[: given_sizes.sum()].requires_grad_(), *args[1:]]
        expected, found = run(*given, given_sizes), compiled(*given, given_sizes)
        assert_same(found, expected)
        gradients = [torch.autograd.grad(y.sum(), given) for y in (found, expected)]
        assert_same(*gradients)


def test_the_function_compiles_with_lengths() -> None:
    layer = psd.PerStepDense(T, I, O, activation="relu").double()
    x = arguments(of_lengths)[0]
    compiled = torch.compile(layer, fullgraph=True)
    for lengths in (LENGTHS, (5, 5, 1)):
        expected = sample_by_sample(x, layer.weight, layer.bias, lengths, "relu")
        assert_same(compiled(x, torch.tensor(lengths)), expected)


def test_the_function_compiles_with_packed_sequences() -> None:
    layer = psd.PerStepDense(T, I, O, activation="relu").double()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for lengths in (LENGTHS, (5, 3, 3, 1)):
        x = cases.New(torch.float64, "cpu")(len(lengths), T, I)
        sequence = packed(x, lengths)
        rows = sequence.data.requires_grad_()
        y, expected = compiled(sequence), layer(sequence)
        assert_same(tuple(y), tuple(expected))
        of_samples = sample_by_sample(x, layer.weight, layer.bias, lengths, "relu")
        assert_same(unpacked(y, T), of_samples)
        gradients = [torch.autograd.grad(z.data.sum(), (rows, layer.weight)) for z in (y, expected)]
        assert_same(*gradients)


@each_layer
def test_shapes_without_data_also_where_sizes_are_on_another_device(layer) -> None:
    with FakeTensorMode():
        *tensors, sizes = map(torch.empty_like, op_arguments(layer, requires_grad=False))
        x, weight, bias = (torch.empty_like(tensor, device="cuda") for tensor in tensors)
        y, z = OPS.ragged_forward_with_preactivation(x, weight, bias, sizes, "gelu")
        dx, dweight, dbias = OPS.ragged_backward(y, x, weight, sizes, T, True)
    assert y.shape == z.shape == (*x.shape[:-1], O)
    assert [found.shape for found in (dx, dweight, dbias)] == [x.shape, weight.shape, bias.shape]
    for result in (y, z, dx, dweight, dbias):
        assert result.device.type == "cuda" and result.dtype == x.dtype


@each_layer
def test_meta_tensors(layer) -> None:
    x, weight, bias = (tensor.to("meta") for tensor in arguments(layer))
    y = layer(x, weight, bias, activation="tanh")
    assert y.device.type == "meta" and y.shape == (*x.shape[:-1], O)


@each_layer
def test_torch_func_transforms(layer) -> None:
    args = arguments(layer)

    def loss(*given: Tensor) -> Tensor:
        return layer(*given, activation="silu").square().sum()

    tensors = [tensor.requires_grad_() for tensor in args]
    expected = torch.autograd.grad(loss(*tensors), tensors)
    args = [tensor.detach() for tensor in args]
    assert_same(torch.func.grad(loss, argnums=(0, 1, 2))(*args), expected)

    tangents = tuple(torch.randn_like(tensor) for tensor in args)
    _, moved = torch.func.jvp(loss, tuple(args), tangents)
    along = sum((own * way).sum() for own, way in zip(expected, tangents, strict=True))
    assert_same(moved, along)

    one_row = lambda bias: layer(args[0], args[1], bias, activation="silu")  # noqa: E731
    jacobian = torch.func.jacrev(one_row)(args[2])
    assert_same(torch.func.jacfwd(one_row)(args[2]), jacobian)


@pytest.mark.parametrize("maps", ["x", "weight", "bias", "x_and_weight"])
@each_layer
def test_vmap(layer, maps: str) -> None:
    names = ("x", "weight", "bias")
    in_dims = tuple(0 if name in maps.split("_and_") else None for name in names)
    args = [
        torch.stack([tensor, 2 * tensor, -tensor]) if dim == 0 else tensor
        for tensor, dim in zip(arguments(layer), in_dims, strict=True)
    ]

    def run(*given: Tensor) -> Tensor:
        return layer(*given, activation="gelu")

    each = [
        run(*(tensor[n] if dim == 0 else tensor for tensor, dim in zip(args, in_dims, strict=True)))
        for n in range(3)
    ]
    assert_same(torch.vmap(run, in_dims)(*args), torch.stack(each))

    def gradient(*given: Tensor) -> Tensor:
        return torch.func.grad(lambda *own: run(*own).square().sum(), argnums=1)(*given)

    each = [
        gradient(*(t[n] if dim == 0 else t for t, dim in zip(args, in_dims, strict=True)))
        for n in range(3)
    ]
    assert_same(torch.vmap(gradient, in_dims)(*args), torch.stack(each))


def test_lengths_inside_a_transform() -> None:
    """As an argument, which torch.func wraps although it has no gradient."""
    x, weight, bias = arguments(of_lengths)

    def loss(bias: Tensor, lengths: Tensor) -> Tensor:
        return psd.per_step_dense(x, weight, bias, lengths=lengths).sum()

    expected = torch.tensor([sum(length > t for length in LENGTHS) for t in range(T)])
    found = torch.func.grad(loss)(bias, torch.tensor(LENGTHS))
    assert_same(found, expected.double().unsqueeze(1).expand(T, O))
    with pytest.raises(ValueError, match="must not be mapped over by vmap"):
        torch.vmap(loss, (None, 0))(bias, torch.tensor([LENGTHS, LENGTHS]))


@each_layer
def test_autocast(layer) -> None:
    args = arguments(layer, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(*args, activation="relu")
        in_fp64 = layer(*(tensor.double() for tensor in args))
    assert y.dtype == torch.bfloat16 and in_fp64.dtype == torch.float64
    assert torch.equal(y, layer(*(tensor.bfloat16() for tensor in args), activation="relu"))


@each_layer
def test_the_flop_counter_counts_the_rows_that_there_are(layer) -> None:
    args = [tensor.requires_grad_() for tensor in arguments(layer)]
    with FlopCounterMode(display=False) as counter:
        y = layer(*args, activation="gelu")
    assert counter.get_total_flops() == 2 * sum(LENGTHS) * I * O
    with FlopCounterMode(display=False) as counter:
        torch.autograd.grad(y.sum(), args)
    assert counter.get_total_flops() == 2 * 2 * sum(LENGTHS) * I * O


def test_batch_sizes_that_change_before_the_backward_are_noticed() -> None:
    rows, weight, bias = (tensor.requires_grad_() for tensor in arguments(of_rows))
    batch_sizes = torch.tensor([3, 3, 2, 2, 1])
    y = psd.per_step_dense(PackedSequence(rows, batch_sizes), weight, bias).data
    batch_sizes[0], batch_sizes[1] = 4, 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_no_dtensor_is_taken(two) -> None:
    two.run(_assert_dtensors_are_refused)


def _assert_dtensors_are_refused() -> None:
    from torch.distributed.tensor import Replicate, distribute_tensor, init_device_mesh

    mesh = init_device_mesh("cpu", (2,))
    x, weight, bias = (tensor for tensor in arguments(of_lengths))
    sharded = [distribute_tensor(tensor, mesh, [Replicate()]) for tensor in (weight, bias)]
    for layer, rows in ((of_lengths, x), (of_rows, arguments(of_rows)[0])):
        with pytest.raises(ValueError, match="weight must be no DTensor where samples differ"):
            layer(rows, *sharded)


@pytest.mark.parametrize("family", ["auto", "simt", "tiny", "sm80", "sm90"])
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=cases.dtype_id)
def test_every_family_computes_both(gpu: torch.device, dtype: torch.dtype, family: str) -> None:
    t, i, o = 6, 40, 48
    if family in ("sm80", "sm90") and dtype in (torch.float32, torch.float64):
        pytest.skip("tensor cores take 16 bits, or float32 that may be rounded")
    if family == "sm90" and torch.cuda.get_device_capability(gpu) != (9, 0):
        pytest.skip("sm90 needs compute capability 9.0")
    lengths = tuple((7 * b + 3) % (t + 1) for b in range(77))
    new = cases.New(dtype, gpu)
    x = padded(new, lengths, t, i).requires_grad_()
    weight, bias = new(t, i, o).requires_grad_(), new(t, o).requires_grad_()
    exact = [tensor.detach().double().nan_to_num().requires_grad_() for tensor in (x, weight, bias)]
    expected = sample_by_sample(*exact, lengths, "gelu")
    of_expected = torch.autograd.grad(expected.square().sum(), exact)
    close = 1e-4 if x.element_size() > 2 else 0.05
    tolerance = {"rtol": close, "atol": close}
    with psd.use_kernel(family):
        y = psd.per_step_dense(x, weight, bias, activation="gelu", lengths=torch.tensor(lengths))
        gradients = torch.autograd.grad(y.square().sum(), (x, weight, bias))
    torch.testing.assert_close(y.double(), expected, **tolerance)
    for gradient, exact_own in zip(gradients, of_expected, strict=True):
        scale = exact_own.abs().max()
        torch.testing.assert_close(gradient.double() / scale, exact_own / scale, **tolerance)

    present = [b for b, length in enumerate(lengths) if length > 0]
    some = tuple(lengths[b] for b in present)
    with psd.use_kernel(family):
        sequence = psd.per_step_dense(
            packed(x[present].nan_to_num(), some), weight, bias, activation="gelu"
        )
    torch.testing.assert_close(unpacked(sequence, t), y[present], **tolerance)


def test_cuda_graphs_refuse_what_the_host_has_to_read(gpu: torch.device) -> None:
    args = arguments(of_lengths, torch.float32, gpu)
    of_lengths(*args)
    torch.cuda.synchronize()
    with (
        pytest.raises(RuntimeError, match="cannot be captured into a CUDA graph"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        of_lengths(*args)
