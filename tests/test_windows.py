"""Are windows a view, with every derivative right and the gradient a deterministic fold?"""

from __future__ import annotations

import pytest
import torch
from functorch.compile import make_boxed_func
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch.autograd import gradcheck, gradgradcheck

from per_step_dense import _windows
from per_step_dense._windows import windows_of

# (L, k, s): overlapping, side by side, apart; with steps left over and without; one window
GEOMETRIES = [(9, 3, 1), (9, 3, 2), (10, 3, 2), (9, 3, 3), (11, 4, 3), (9, 2, 3), (13, 2, 5)]
GEOMETRIES += [(5, 5, 1), (7, 1, 1), (7, 1, 3), (1, 1, 1)]
geometries = pytest.mark.parametrize(
    "geometry", GEOMETRIES, ids=lambda sizes: "L{}-k{}-s{}".format(*sizes)
)


@pytest.fixture(params=["own gradient", "gradient of unfold"])
def whose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to a gradient, whatever the size."""
    monkeypatch.setattr(_windows, "_SMALL", 0 if request.param == "own gradient" else 2**60)
    return request.param


def stacked(x: Tensor, kernel_size: int, stride: int) -> Tensor:
    """The same by copies."""
    steps = range(0, x.size(-2) - kernel_size + 1, stride)
    return torch.stack([x[..., t : t + kernel_size, :].flatten(-2) for t in steps], -2)


def folded(windows: Tensor, in_steps: int, kernel_size: int, stride: int) -> Tensor:
    """k strided adds."""
    *leading, out_steps, size = windows.shape
    x = windows.new_zeros(*leading, in_steps, size // kernel_size)
    for j, part in enumerate(windows.chunk(kernel_size, -1)):
        x[..., j : j + (out_steps - 1) * stride + 1 : stride, :] += part
    return x


@geometries
@pytest.mark.parametrize("leading", [(), (2,), (2, 3), (0,)])
def test_windows_are_a_view(geometry: tuple[int, int, int], leading: tuple[int, ...]) -> None:
    in_steps, kernel_size, stride = geometry
    x = torch.randn(*leading, in_steps, 3)
    windows = windows_of(x, kernel_size, stride)
    assert torch.equal(windows, stacked(x, kernel_size, stride))
    assert windows.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    "cut",
    [
        lambda x: x[:, 2:11],  # a stretch of steps
        lambda x: x[::2, :9],
        lambda x: x[:1, :9].expand(4, 9, 6),
        lambda x: x[:, :9, :1],
    ],
    ids=["steps", "every other", "expanded", "one feature"],
)
def test_windows_of_a_view_are_a_view(cut: object) -> None:
    x = cut(torch.randn(4, 13, 6))
    windows = windows_of(x, 3, 2)
    assert torch.equal(windows, stacked(x, 3, 2))
    assert windows.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    "cut",
    [
        lambda x: x[:, :9, 1:4],
        lambda x: x[:, 0:9:2],
        lambda x: x.mT,
        lambda x: x[:, :1].expand(4, 9, 6),
    ],
    ids=["features", "every other step", "channels first", "one step"],
)
def test_of_another_layout_x_is_copied_and_not_its_windows(cut: object) -> None:
    x = cut(torch.randn(4, 13, 6))
    windows = windows_of(x, 3, 1)
    assert torch.equal(windows, stacked(x, 3, 1))
    assert windows.untyped_storage().nbytes() == x.numel() * x.element_size()


@geometries
def test_every_derivative(geometry: tuple[int, int, int], whose: str) -> None:
    in_steps, kernel_size, stride = geometry
    x = torch.randn(2, in_steps, 3, dtype=torch.float64, requires_grad=True)

    def function(x: Tensor) -> Tensor:
        return windows_of(x, kernel_size, stride)

    batched = whose == "own gradient"  # torch warns that unfold's gradient is not
    assert gradcheck(function, x, check_forward_ad=True, check_batched_grad=batched)
    assert gradgradcheck(function, x, check_fwd_over_rev=True, check_batched_grad=batched)


@geometries
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_gradient_is_a_fold_of_strided_adds(
    geometry: tuple[int, int, int], dtype: torch.dtype, whose: str, device: torch.device
) -> None:
    in_steps, kernel_size, stride = geometry
    x = torch.randn(4, in_steps, 3, dtype=dtype, device=device, requires_grad=True)
    windows = windows_of(x, kernel_size, stride)
    dwindows = torch.randn_like(windows)
    (dx,) = torch.autograd.grad(windows, x, dwindows, retain_graph=True)
    torchs = folded(dwindows, in_steps, kernel_size, stride)
    truth = folded(dwindows.double(), in_steps, kernel_size, stride)
    assert_as_close_as_torch(dx, torchs, truth)
    if whose == "own gradient":
        assert torch.equal(dx, torchs)


def test_the_gradient_is_the_same_every_time_and_allowed_to_be(device: torch.device) -> None:
    x = torch.randn(64, 130, 32, device=device, requires_grad=True)
    assert x.numel() >= _windows._SMALL
    torch.use_deterministic_algorithms(True)
    try:
        windows = windows_of(x, 5, 1)
        dwindows = torch.randn_like(windows)
        first, *others = (
            torch.autograd.grad(windows, x, dwindows, retain_graph=True)[0] for _ in range(4)
        )
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first, other) for other in others)


@geometries
@pytest.mark.parametrize("transform", ["grad", "jacrev", "jacfwd", "hessian"])
def test_transforms_of_torch_func(geometry: tuple[int, int, int], transform: str) -> None:
    in_steps, kernel_size, stride = geometry
    xs = torch.randn(4, in_steps, 3, dtype=torch.float64)
    c = torch.randn_like(stacked(xs[0], kernel_size, stride))

    def through(windows: object) -> object:
        def function(x: Tensor) -> Tensor:
            values = windows(x, kernel_size, stride).sin() * c
            return values if transform in ("jacrev", "jacfwd") else values.sum()

        return getattr(torch.func, transform)(function)

    actual, expected = through(windows_of), through(stacked)
    torch.testing.assert_close(actual(xs[0]), expected(xs[0]))
    torch.testing.assert_close(torch.func.vmap(actual)(xs), torch.func.vmap(expected)(xs))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_the_gradient_is_the_fold_too(backend: str) -> None:
    def function(x: Tensor) -> Tensor:
        return windows_of(x, 3, 2).sin()

    compiled = torch.compile(function, backend=backend, fullgraph=True)
    for batch in (2, 5, 7):
        x = torch.randn(batch, 10, 3, requires_grad=True)
        y, expected = compiled(x), function(x)
        dy = torch.randn_like(y)
        torch.testing.assert_close(y, expected)
        dx, expected_dx = (torch.autograd.grad(each, x, dy)[0] for each in (y, expected))
        torch.testing.assert_close(dx, expected_dx)


def test_compiled_the_backward_has_no_scatter() -> None:
    graphs: list[str] = []

    def keep(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph.code)
        return make_boxed_func(graph.forward)

    backend = aot_autograd(fw_compiler=keep, bw_compiler=keep)
    compiled = torch.compile(lambda x: windows_of(x, 3, 2).sin(), backend=backend, fullgraph=True)
    compiled(torch.randn(2, 10, 3, requires_grad=True)).sum().backward()
    assert len(graphs) == 2
    assert "unfold" in graphs[0]
    assert "index_put" not in graphs[1] and "unfold_backward" not in graphs[1]


def test_autocast_casts_x_and_not_its_windows() -> None:
    x = torch.randn(4, 12, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        windows = windows_of(x, 3, 1)
        assert windows_of(x.double(), 3, 1).dtype == torch.float64
    assert windows.dtype == torch.bfloat16
    assert windows.untyped_storage().nbytes() == x.numel() * 2
    windows.sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.float32
