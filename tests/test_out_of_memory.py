"""Where memory ends, do torch's own errors say so, and is all else as it was before?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import scripts
import torch
from cases import Arguments, New
from torch import Tensor

import per_step_dense as psd
from per_step_dense import _ops

CPU_ERROR = "DefaultCPUAllocator: can't allocate memory"
HUGE = 2**46  # elements that no machine addresses, of whatever dtype

needs_module = pytest.mark.skipif(_ops.compiled is None, reason="needs the compiled module")


@contextlib.contextmanager
def left_alone(*tensors: Tensor) -> Iterator[None]:
    """Values, versions and gradients of these are the same afterwards."""
    before = [(tensor.detach().clone(), tensor._version) for tensor in tensors]
    yield
    for tensor, (values, version) in zip(tensors, before, strict=True):
        assert torch.equal(tensor, values)
        assert tensor._version == version
        assert tensor.grad is None


def assert_right(device: torch.device | str) -> None:
    """The next call is as right as ever."""
    new = New(torch.float64, device)
    arguments = [new(3, 4, 5), new(4, 5, 6), new(4, 6)]
    for tensor in arguments:
        tensor.requires_grad_()
    y = psd.per_step_dense(*arguments, activation="gelu")
    exact = psd.reference.per_step_dense(*arguments, activation="gelu")
    torch.testing.assert_close(y, exact)
    torch.testing.assert_close(
        torch.autograd.grad(y.sum(), arguments), torch.autograd.grad(exact.sum(), arguments)
    )


# Sizes that nobody has memory for: the arguments are expanded


Call = Callable[[Arguments], object]

CALLS: dict[str, Call] = {
    "y": lambda args: psd.per_step_dense(*args),
    "y and z": lambda args: psd.per_step_dense(*args, activation="gelu"),
    "packed": lambda args: (
        psd.per_step_dense(
            torch.nn.utils.rnn.PackedSequence(args.x[:, 0], torch.tensor([len(args.x)])), *args[1:]
        ).data
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_forward_of_sizes_beyond_all_memory(call: Call, dtype: torch.dtype) -> None:
    new = New(dtype, "cpu")
    leaves = [new(1, 1, 4).requires_grad_(), new(1, 4, 2).requires_grad_(), new(1, 2)]
    x, weight, bias = leaves
    with left_alone(*leaves), pytest.raises(RuntimeError, match=CPU_ERROR):
        call(Arguments(x.expand(HUGE, 1, 4), weight, bias))
    assert_right("cpu")


@needs_module
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("wanted", ["dx", "dweight"])
def test_backward_of_sizes_beyond_all_memory(wanted: str, dtype: torch.dtype) -> None:
    new = New(dtype, "cpu")
    dz, x, weight = new(1, 1, 2), new(1, 1, 4), new(1, 4, 2)
    with left_alone(dz, x, weight), pytest.raises(RuntimeError, match=CPU_ERROR):
        if wanted == "dx":
            torch.ops.per_step_dense.backward(dz.expand(HUGE, 1, 2), None, weight, True)
        else:
            many = dz.expand(1, HUGE, 2), x.expand(1, HUGE, 4)
            torch.ops.per_step_dense.backward(*many, None, True)
    assert_right("cpu")


@needs_module
@pytest.mark.parametrize("family", ["auto", "reference", "batch_invariant"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_nothing_is_added_where_there_is_no_memory_for_dx(dtype: torch.dtype, family: str) -> None:
    new = New(dtype, "cpu")
    dz, weight, dbias = new(3, 1, 2), new(1, 1, 2), new(1, 2)
    with left_alone(dz, weight, dbias), pytest.raises(RuntimeError, match=CPU_ERROR):
        torch.ops.per_step_dense.backward_accumulate(
            dz, None, weight.expand(1, HUGE, 2), None, dbias, family
        )


# An end of the process's memory, between a forward and its backward

LIMITED = """
import resource, torch
import per_step_dense as psd

def memory_is_limited_to(more):
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.RLIM_INFINITY))

def unlimited():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

def state():
    return [(t.detach().clone(), t._version, t.grad) for t in leaves]

torch.set_num_threads(2)
base, weight, bias = (torch.randn(shape) for shape in ((1, 1, 4096), (1, 4096, 2), (1, 2)))
leaves = [tensor.requires_grad_() for tensor in (base, weight, bias)]
# Of x alone the gradient is large: 256 MB.
y = psd.per_step_dense(base.expand(1 << 14, 1, 4096), weight, bias, activation=ACTIVATION)
loss = y.square().mean()
loss.backward(retain_graph=True)  # whatever torch allocates once, it has by now
gradients = [tensor.grad for tensor in leaves]
for tensor in leaves:
    tensor.grad = None
before = state()
memory_is_limited_to(64 << 20)
try:
    loss.backward(retain_graph=True)
except RuntimeError as error:
    unlimited()
    print(str(error).splitlines()[0])
for (values, version, grad), (old, old_version, old_grad) in zip(state(), before):
    assert torch.equal(values, old) and version == old_version
    assert grad is None and old_grad is None
loss.backward()
for tensor, gradient in zip(leaves, gradients):
    assert torch.equal(tensor.grad, gradient)
"""


@pytest.mark.parametrize("activation", [None, "gelu"])
def test_backward_after_memory_has_ended(activation: str | None) -> None:
    """The graph is still there, and gives the gradients once there is memory again."""
    printed = scripts.run(LIMITED.replace("ACTIVATION", repr(activation)))
    assert CPU_ERROR in printed


# On a GPU


def test_forward_without_memory_on_a_gpu(gpu: torch.device) -> None:
    new = New(torch.bfloat16, gpu)
    x, weight = new(1, 1, 8).requires_grad_(), new(1, 8, 8).requires_grad_()
    for kernel in ("auto", "simt", "sm80"):
        with (
            left_alone(x, weight),
            psd.use_kernel(kernel),
            pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"),
        ):
            psd.per_step_dense(x.expand(2**38, 1, 8), weight, activation="gelu")
    assert_right(gpu)


@pytest.fixture
def no_more_memory(gpu: torch.device) -> Iterator[Callable[[], None]]:
    """From the call on, until the test ends, torch gets no more of the GPU than it has."""
    torch.cuda.empty_cache()

    def end() -> None:
        torch.cuda.empty_cache()
        held = torch.cuda.memory_reserved(gpu)
        torch.cuda.set_per_process_memory_fraction(
            held / torch.cuda.get_device_properties(gpu).total_memory, gpu
        )

    yield end
    torch.cuda.set_per_process_memory_fraction(1.0, gpu)


def test_backward_without_memory_on_a_gpu(
    gpu: torch.device, no_more_memory: Callable[[], None]
) -> None:
    new = New(torch.float32, gpu)
    base, weight = new(1, 1, 4096).requires_grad_(), new(1, 4096, 2).requires_grad_()
    y = psd.per_step_dense(base.expand(2**14, 1, 4096), weight, activation="gelu")
    loss = y.square().mean()
    no_more_memory()
    with left_alone(base, weight), pytest.raises(torch.OutOfMemoryError):
        loss.backward(retain_graph=True)
    torch.cuda.set_per_process_memory_fraction(1.0, gpu)
    loss.backward()
    assert torch.isfinite(base.grad).all() and torch.isfinite(weight.grad).all()
    assert_right(gpu)


@needs_module
def test_workspace_without_memory_on_a_gpu(
    gpu: torch.device, no_more_memory: Callable[[], None]
) -> None:
    """Outputs that were allocated before it are given back."""
    new = New(torch.float32, gpu)
    x, weight = new(1024, 1, 4096), new(1, 4096, 1024)
    before = _ops.compiled.force_tile(-1, 64)  # parts of 64 times 4 MB
    try:
        with psd.use_kernel("simt"):
            expected = psd.per_step_dense(x, weight)
            del expected
            room = torch.empty(64 << 20, device=gpu, dtype=torch.uint8)
            no_more_memory()
            del room  # enough for y, but not for the parts
            allocated = torch.cuda.memory_allocated(gpu)
            with left_alone(x, weight), pytest.raises(torch.OutOfMemoryError):
                psd.per_step_dense(x, weight)
            assert torch.cuda.memory_allocated(gpu) == allocated
    finally:
        _ops.compiled.force_tile(*before)
    assert_right(gpu)
