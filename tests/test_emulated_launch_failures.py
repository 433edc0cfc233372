"""Where a launch fails, does host code stop there, say what it was about, and work on afterwards?

The emulated runtime fails the launch that it is told to.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import cases
import emulator
import pytest
import torch
from emulator import EmulatorError

OUT_OF_RESOURCES = 701

Call = Callable[[], object]


def calls_of(family: str) -> dict[str, tuple[Call, int]]:
    """By what it is: a call, and how many launches it takes."""
    dtype = torch.float32 if family in ("simt", "tiny") else torch.bfloat16
    x, weight, bias = cases.of_sizes(300, 2, 304, 8, dtype, "cpu")
    dz = cases.New(dtype, "cpu")(300, 2, 8)
    expanded = cases.New(dtype, "cpu")(1, 1, 1).expand(300, 2, 8)  # TMA cannot describe it
    of_family = {"kernel": family}
    calls: dict[str, tuple[Call, int]] = {
        "forward": (lambda: emulator.forward(x, weight, bias, **of_family, splits=(1, 1)), 1),
        "split forward": (lambda: emulator.forward(x, weight, **of_family, splits=(3, 1)), 2),
        "backward": (lambda: emulator.backward(dz, x, weight, **of_family, splits=(1, 1)), 1),
        "split backward": (lambda: emulator.backward(dz, x, weight, **of_family, splits=(1, 3)), 2),
    }
    if family == "sm90":
        calls["backward of a copy"] = (
            lambda: emulator.backward(expanded, x, weight, **of_family, splits=(1, 3)),
            3,
        )
    return calls


CALLS = [
    (family, what, launch)
    for family in ("simt", "tiny", "sm80", "sm90")
    for what, (_, launches) in calls_of(family).items()
    for launch in range(launches)
]


@pytest.mark.parametrize(("family", "what", "launch"), CALLS)
def test_the_call_ends_there_with_an_error_that_names_the_problem(
    family: str, what: str, launch: int
) -> None:
    call, launches = calls_of(family)[what]
    library = emulator.default_library()
    with library.failing_launch(launch, OUT_OF_RESOURCES), pytest.raises(EmulatorError) as caught:
        call()
    assert caught.value.kind == "host"
    assert library.counters.launches == launch + 1  # and none after it
    kind = "forward" if "forward" in what else "backward"
    assert re.fullmatch(
        rf"the {kind} of B, T, I, O = 300, 2, 304, 8 in b?float\d\d by {family} \S.* "
        rf"\(.*\) cannot be launched: CUDA error {OUT_OF_RESOURCES}",
        caught.value.message,
    )
    call()
    assert library.counters.launches == launches  # nothing is remembered of it


def test_activations_gradient() -> None:
    dy, y = torch.randn(3, 4, 5), torch.rand(3, 4, 5)
    library = emulator.default_library()
    with library.failing_launch(0, OUT_OF_RESOURCES), pytest.raises(EmulatorError) as caught:
        library.activation_backward(dy, y, "sigmoid")
    assert caught.value.kind == "host"
    assert caught.value.message == f"the host code returned CUDA error {OUT_OF_RESOURCES}"
    torch.testing.assert_close(
        library.activation_backward(dy, y, "sigmoid"), dy * y * (1 - y), rtol=1e-5, atol=1e-6
    )
