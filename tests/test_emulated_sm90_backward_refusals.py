"""What Hopper's gradients cannot take is refused, with the reason, or left to another family."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cases
import emulator
import pytest
import torch
from emulated import assert_gradients_match_fp64
from emulator import EmulatorError
from emulator.library import NO_ENCODER
from test_emulated_sm90_backward import (
    BIAS,
    BRAIN,
    HALF,
    INPUT,
    SMALL,
    WEIGHT,
    Mask,
    Operands,
    operands,
)
from torch import Tensor

New = cases.New

# What is refused.


class Refusal(NamedTuple):
    make: Callable[[New], Operands]
    reason: str
    mask: Mask = (True, True, True)


def given(new: New, b: int = 4, t: int = 3, i: int = 16, o: int = 8, **changed: Tensor) -> Operands:
    return Operands(new(b, t, o), new(b, t, i), new(t, i, o))._replace(**changed)


REFUSALS: dict[str, Refusal] = {
    "odd_i": Refusal(
        lambda new: given(new, i=131, x=new.like(new.nan(4, 3, 136)[..., :131])),
        "I = 131 is not a multiple of 8: TMA stores whole 16 bytes",
    ),
    "odd_rows_of_x": Refusal(
        lambda new: given(new, i=131),
        "I = 131 is not a multiple of 8: TMA needs 16-byte strides",
        WEIGHT,
    ),
    "odd_o": Refusal(
        lambda new: given(new, o=12), "O = 12 is not a multiple of 8: TMA stores whole 16 bytes"
    ),
    "no_rows": Refusal(lambda new: given(new, b=0), "sm90 needs terms to add up: B = 0"),
    "no_columns": Refusal(lambda new: given(new, o=0), "sm90 needs terms to add up: O = 0", INPUT),
    "strided_features": Refusal(
        lambda new: given(new, x=new(4, 3, 32)[..., ::2]),
        "x.stride(2) = 2 is not 1: TMA needs contiguous rows",
    ),
    "transposed_weight": Refusal(
        lambda new: given(new, weight=new(3, 8, 16).mT),
        "weight.stride(2) = 16 is not 1: TMA needs contiguous rows",
    ),
    "odd_windows": Refusal(
        lambda new: given(new, x=new(4, 16 + 12 * 2).unfold(1, 16, 12)),
        "x.stride(1) = 12 is not a multiple of 8: TMA needs 16-byte strides",
    ),
    "odd_rows_of_weight": Refusal(
        lambda new: given(new, weight=new(3, 16, 12)[..., :8]),
        "weight.stride(1) = 12 is not a multiple of 8: TMA needs 16-byte strides",
    ),
    "expanded_batch": Refusal(
        lambda new: given(new, x=new(1, 3, 16).expand(4, 3, 16)),
        "x.stride(0) = 0: TMA needs strides above 0",
    ),
    "expanded_rows_of_weight": Refusal(
        lambda new: given(new, weight=new(3, 1, 8).expand(3, 16, 8)),
        "weight.stride(1) = 0: TMA needs strides above 0",
    ),
    "misaligned_x": Refusal(
        lambda new: given(new, x=new(4, 3, 16, offset=4)),
        "x begins 8 bytes after a multiple of 16: TMA needs 16-byte addresses",
    ),
    "misaligned_weight": Refusal(
        lambda new: given(new, weight=new(3, 16, 8, offset=1)),
        "weight begins 2 bytes after a multiple of 16: TMA needs 16-byte addresses",
    ),
}


def family_of_last_run() -> str:
    library = emulator.default_library()
    return library.families[library.choice.family]


def reason_against(*arguments: object, **options: object) -> str:
    with pytest.raises(EmulatorError) as caught:
        emulator.backward(*arguments, kernel="sm90", **options)
    assert caught.value.kind == "choice"
    return caught.value.message.removeprefix("no kernel does what is asked for: ")


@pytest.mark.parametrize("case", REFUSALS)
def test_what_tma_cannot_describe_is_refused_with_the_reason(case: str) -> None:
    make, reason, mask = REFUSALS[case]
    refused = make(New(HALF, "cpu"))
    assert reason_against(*refused, mask) == reason
    emulator.backward(*refused, mask)  # something else takes it
    assert family_of_last_run() != "sm90"


def test_the_gradient_of_the_bias_alone_is_refused_for_the_same_reasons() -> None:
    new = New(HALF, "cpu")
    for name in "odd_o", "no_rows":
        assert reason_against(*REFUSALS[name].make(new), BIAS) == REFUSALS[name].reason


@pytest.mark.parametrize("outputs", ["strided", "transposed"])
def test_outputs_that_tma_cannot_store_are_refused(outputs: str) -> None:
    arguments = operands((4, 3, 16, 8))
    for mask, name in (INPUT, "dx"), (WEIGHT, "dweight"):
        reason = reason_against(*arguments, mask, outputs=outputs)
        assert reason.startswith(f"{name}.stride(2) = ")
        assert reason.endswith(" is not 1: TMA needs contiguous rows")


def test_what_a_product_does_not_read_is_not_asked_about() -> None:
    new = New(HALF, "cpu")
    misaligned = given(new, x=new(4, 3, 16, offset=1), weight=new(3, 16, 8))
    assert_gradients_match_fp64(SMALL, *misaligned, INPUT)
    transposed = given(new, weight=new(3, 8, 16).mT)
    assert_gradients_match_fp64(SMALL, *transposed, (False, True, True))
    neither = given(new, i=131, x=new(4, 3, 131, offset=1), weight=new(3, 8, 131).mT)
    assert_gradients_match_fp64(SMALL, *neither, BIAS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=cases.dtype_id)
def test_other_dtypes_are_refused(dtype: torch.dtype) -> None:
    assert reason_against(*operands((4, 3, 16, 8), dtype)).startswith(
        "sm90 needs float16, bfloat16"
    )


def test_other_architectures_are_refused() -> None:
    arguments = operands((4, 3, 16, 8))
    for arch in 80, 86, 89, 100, 120:
        assert f"this is sm_{arch}" in reason_against(*arguments, arch=arch)


# What the driver refuses.


def test_without_an_encoder_of_tensor_maps_sm90_is_refused() -> None:
    library, arguments = emulator.default_library(), operands((40, 4, 256, 256))
    with library.driver(NO_ENCODER):
        library.backward(*arguments)
        assert family_of_last_run() == "sm80"
        with pytest.raises(EmulatorError, match="sm90 needs a driver that encodes tensor maps"):
            library.backward(*arguments, kernel="sm90")


def test_tensors_that_the_driver_cannot_describe_are_left_to_another_family() -> None:
    library, arguments = emulator.default_library(), operands((41, 4, 256, 256))
    with library.driver(1):
        gradients = library.backward(*arguments)
        assert family_of_last_run() == "sm80"
    again = library.backward(*arguments, kernel="sm90")
    for own, others in zip(gradients, again, strict=True):
        torch.testing.assert_close(own, others, rtol=2e-3, atol=2e-2)


@pytest.mark.parametrize("mask", [INPUT, WEIGHT, BIAS], ids=["dx", "dweight", "dbias"])
def test_a_map_that_the_driver_refuses_is_an_error_that_names_the_problem(mask: Mask) -> None:
    library, arguments = emulator.default_library(), operands((37, 5, 88, 104), BRAIN)
    with library.driver(719), pytest.raises(EmulatorError) as caught:
        library.backward(*arguments, mask, kernel="sm90", tile=7)
    assert caught.value.kind == "host"
    message = caught.value.message
    assert message.startswith(
        "the backward of B, T, I, O = 37, 5, 88, 104 in bfloat16 by sm90 64x64"
    )
    assert message.endswith(") cannot be launched: CUDA error 719")
    assert library.counters.launches == 0
    library.backward(*arguments, mask, kernel="sm90", tile=7)  # nothing is remembered of it
