"""Batches whose samples differ in length, and what a layer makes of them, sample by sample."""

from __future__ import annotations

import cases
import pytest
import torch
import truth
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import per_step_dense as psd

T, I, O = 5, 7, 9  # noqa: E741
LAYERS = {"function": psd.per_step_dense, "reference": psd.reference.per_step_dense}

each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES, ids=cases.dtype_id)

LENGTHS = {
    "sorted": (5, 5, 4, 2, 1),
    "any_order": (2, 5, 1, 4, 5),
    "rising": (1, 2, 3, 4, 5),
    "one_sample": (3,),
    "all_full": (5, 5, 5),
    "all_of_one_length": (3, 3, 3),
    "nobody_reaches_the_end": (1, 3, 2),
    "some_empty": (0, 4, 0, 5, 2),
    "all_empty": (0, 0),
    "no_sample": (),
    "many": tuple(b * 7 % 6 for b in range(200)),
}
"""Of at most 5 steps."""

PACKABLE = {name: lengths for name, lengths in LENGTHS.items() if lengths and 0 not in lengths}
"""Those that torch packs."""


def padded(new, lengths: tuple[int, ...], t: int, i: int) -> Tensor:
    """(B, T, I), NaN where a sample has no step."""
    x = new(len(lengths), t, i)
    for b, length in enumerate(lengths):
        x[b, length:] = torch.nan
    return x


def packed(x: Tensor, lengths: tuple[int, ...]) -> PackedSequence:
    """Of padded samples in any order."""
    return pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)


def unpacked(sequence: PackedSequence, t: int) -> Tensor:
    """(B, T, F), zero where a sample has no step."""
    return pad_packed_sequence(sequence, batch_first=True, total_length=t)[0]


def sample_by_sample(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    lengths: tuple[int, ...],
    activation: str | None = None,
) -> Tensor:
    """From the formula, each sample by itself: (B, T, O), zero where a sample has no step."""
    rows = []
    for b, length in enumerate(lengths):
        of_steps = None if bias is None else bias[:length]
        own = truth.per_step_dense(x[b, :length], weight[:length], of_steps, activation=activation)
        rows.append(torch.cat([own, own.new_zeros(x.size(1) - length, weight.size(2))]))
    return torch.stack(rows) if rows else truth.per_step_dense(x, weight, bias)


def torchs_own(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    lengths: tuple[int, ...],
    activation: str | None = None,
) -> Tensor:
    """Torch's padding, einsum and activation, in the dtype of the arguments."""
    has_step = torch.arange(x.size(1)) < torch.tensor(lengths).reshape(-1, 1)
    mask = has_step.unsqueeze(2).to(x.device)
    x = torch.where(mask, x, 0)
    y = psd.reference.per_step_dense(x, weight, bias, activation=activation)
    return torch.where(mask, y, 0)


def assert_values_and_gradients(
    y: Tensor, args: list[Tensor], lengths: tuple[int, ...], activation: str | None
) -> None:
    """Of y, (B, T, O), and of the arguments (x, weight, bias) that it was computed from."""
    exact_args = [truth.in_fp64(tensor) for tensor in args]
    exact = sample_by_sample(*exact_args, lengths, activation)
    torchs = torchs_own(*args, lengths, activation)
    assert_as_close_as_torch(y, torchs, exact)
    dy = torch.randn_like(exact)
    results = [
        torch.autograd.grad(own, of, dy.to(own.dtype))
        for own, of in ((y, args), (torchs, args), (exact, exact_args))
    ]
    for gradients in zip(*results, strict=True):
        assert_as_close_as_torch(*gradients)
