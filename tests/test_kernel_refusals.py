"""What can a family of kernels not take, and what does it say? By meta tensors, without a GPU."""

from __future__ import annotations

import pytest
import torch

import per_step_dense as psd
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)


def test_tiny_refuses_large_sizes() -> None:
    x, weight = (torch.empty(shape, device="meta") for shape in ((64, 2, 512), (2, 512, 512)))
    with pytest.raises(ValueError) as refusal, psd.use_kernel("tiny"):
        psd.explain(x, weight, arch="sm_90")
    text = str(refusal.value)
    assert text.startswith("per_step_dense: use_kernel('tiny') cannot take this call: ")
    assert "4096" in text and "512" in text


@pytest.mark.parametrize(
    ("dtype", "told"),
    [(torch.float32, "float32 in IEEE precision"), (torch.float64, "float64")],
    ids=["ieee", "fp64"],
)
def test_sm80_refuses_what_tensor_cores_would_round(dtype: torch.dtype, told: str) -> None:
    args = [torch.empty(shape, dtype=dtype, device="meta") for shape in ((3, 4, 5), (4, 5, 6))]
    with pytest.raises(ValueError) as refusal, psd.use_kernel("sm80"):
        psd.explain(*args, arch="sm_90")
    assert str(refusal.value) == (
        "per_step_dense: use_kernel('sm80') cannot take this call: sm80 needs float16, bfloat16, "
        "or float32 where torch.backends.cuda.matmul.fp32_precision is 'tf32'; got " + told
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_sm80_takes_any_sizes_and_strides(dtype: torch.dtype) -> None:
    x = torch.empty(5, 77, 3, dtype=dtype, device="meta").transpose(1, 2)
    weight = torch.empty(77, 2 * 33, dtype=dtype, device="meta")[:, 1::2].expand(3, 77, 33)
    with psd.use_kernel("sm80"):
        plan = psd.explain(x, weight, arch="sm_90")
    assert (plan.kernel, plan.backward.kernel) == ("sm80", "sm80")


@pytest.mark.parametrize(
    ("i", "o", "told"),
    [
        (131, 80, "I = 131 is not a multiple of 8: TMA needs 16-byte strides"),
        (128, 77, "O = 77 is not a multiple of 8: TMA stores whole 16 bytes"),
    ],
)
def test_sm90_refuses_what_tma_cannot_describe(i: int, o: int, told: str) -> None:
    args = [
        torch.empty(shape, dtype=torch.bfloat16, device="meta") for shape in ((9, 4, i), (4, i, o))
    ]
    with pytest.raises(ValueError) as refusal, psd.use_kernel("sm90"):
        psd.explain(*args, arch="sm_90")
    assert str(refusal.value) == f"per_step_dense: use_kernel('sm90') cannot take this call: {told}"


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ((2**31, 1, 8, 8), "B = 2147483648: TMA's coordinates have 32 bits"),
        ((2, 2**20, 2**19, 8), "x.stride(0) = 549755813888: TMA needs strides under 2^40 bytes"),
        ((2**18, 2**16, 64, 320), "sm90 needs fewer tiles: more than 2^30"),
    ],
    ids=["coordinates", "strides", "tiles"],
)
def test_sm90_refuses_what_leaves_the_bits_it_counts_with(
    sizes: tuple[int, int, int, int], told: str
) -> None:
    b, t, i, o = sizes
    args = [
        torch.empty(shape, dtype=torch.bfloat16, device="meta") for shape in ((b, t, i), (t, i, o))
    ]
    with pytest.raises(ValueError) as refusal, psd.use_kernel("sm90"):
        psd.explain(*args, arch="sm_90")
    assert str(refusal.value) == f"per_step_dense: use_kernel('sm90') cannot take this call: {told}"


def test_sm90_refuses_other_architectures() -> None:
    args = [
        torch.empty(shape, dtype=torch.bfloat16, device="meta")
        for shape in ((9, 4, 16), (4, 16, 8))
    ]
    with (
        psd.use_kernel("sm90"),
        pytest.raises(ValueError, match=r"compute capability 9\.0; this is sm_80"),
    ):
        psd.explain(*args, arch="sm_80")


@pytest.mark.parametrize(
    ("built", "capability", "has_tensor_maps", "told"),
    [
        ("8.0+PTX;9.0a", 90, True, ""),
        ("9.0a", 90, True, ""),
        ("8.0+PTX", 90, True, "sm90 needs a module built for 9.0a"),
        ("9.0", 90, True, "sm90 needs a module built for 9.0a"),
        ("8.0;10.0a", 90, True, "sm90 needs a module built for 9.0a"),
        (
            "9.0a",
            90,
            False,
            "sm90 needs a driver that encodes tensor maps (of CUDA 12.0 or later)",
        ),
        ("8.0+PTX;9.0a", 100, True, "sm90 needs compute capability 9.0; this is sm_100"),
        ("8.0+PTX;9.0a", 80, False, "sm90 needs compute capability 9.0; this is sm_80"),
    ],
)
def test_where_hoppers_kernels_run(
    built: str, capability: int, has_tensor_maps: bool, told: str
) -> None:
    assert _ops.compiled.why_no_sm90(capability, built, has_tensor_maps) == told
