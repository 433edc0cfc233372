"""The faults that test_cpu_selftest.py plants in the CPU's kernels, and the tests that notice."""

from __future__ import annotations

from typing import NamedTuple

from emulator import Mutation


class Fault(NamedTuple):
    test: str
    """Of test_cpu_kernels.py."""
    mutation: Mutation


def fault(test: str, file: str, old: str, new: str, occurrence: int = 0) -> Fault:
    """One edit of a file of csrc/cpu."""
    return Fault(test, Mutation(f"csrc/cpu/{file}", old, new, occurrence))


FAULTS = {
    "the last term is left out": fault(
        "test_small_integers_are_exact", "product.h", "k < tile.k;", "k < tile.k - 1;"
    ),
    "the last rows of a block are left out": fault(
        "test_small_integers_are_exact", "product.h", "m_size > 0;", "m_size >= R::kRows;"
    ),
    "a later block of terms forgets the earlier": fault(
        "test_small_integers_are_exact", "product.h", "k0 > 0};", "false};"
    ),
    "every block of terms adds the bias": fault(
        "test_small_integers_are_exact", "product.h", "product.bias && is_last ?", "product.bias ?"
    ),
    "all panels have the bias of the first": fault(
        "test_small_integers_are_exact", "product.h", "? bias + n :", "? bias :"
    ),
    "the bias is taken for one that lies in order": fault(
        "test_every_stride", "product.h", "(n0 + n) * product.bias_stride", "n0 + n"
    ),
    "b is taken for one of whole panels": fault(
        "test_small_integers_are_exact", "packing.h", "&& n_size % kColumns == 0", ""
    ),
    "b is taken for one that lies in order": fault(
        "test_every_stride", "packing.h", "col == 1 && n_size", "n_size"
    ),
    "columns past b's last are read": fault(
        "test_nothing_is_read_out_of_bounds",
        "packing.h",
        "j < columns ? b[j * col + k * row] : 0",
        "b[j * col + k * row]",
    ),
    "columns past c's last are written": fault(
        "test_small_integers_are_exact", "product.h", "n < tile.columns;", "n < kWidth;"
    ),
    "two rows of a transposed block are exchanged": fault(
        "test_small_integers_are_exact", "packing.h", "2, 10, 3, 11, 6", "3, 10, 2, 11, 6"
    ),
    "rows past the last whole tile of a are laid out as if there were one": fault(
        "test_small_integers_are_exact", "packing.h", "m / kRows * kRows * k_size +", "m +"
    ),
    "a is taken for one that lies along its sum": fault(
        "test_small_integers_are_exact", "packing.h", "  if (col == 1) {", "  {"
    ),
    "a bias gradient leaves out the samples past the last eight": fault(
        "test_small_integers_are_exact",
        "product.h",
        "for (; k < k_size; ++k, column",
        "for (; false; ++k, column",
    ),
    "bias gradients of all blocks of columns go to the first": fault(
        "test_every_size",
        "product.h",
        "product.column_sums + n0);",
        "product.column_sums);",
    ),
    "sums of samples are one chain of float32": fault(
        "test_sums_over_a_long_batch", "product.h", "kBlockK =\n    128;", "kBlockK =\n    1 << 20;"
    ),
    "the activation meets unfinished sums": fault(
        "test_every_size", "product.h", "product.activated && is_last", "product.activated"
    ),
    "the last elements of a row have no activation": fault(
        "test_every_size", "activations.h", "if (n == columns) continue;", "continue;"
    ),
    "a whole vector is written for a row's last elements": fault(
        "test_activation_backward_of_every_length",
        "activations.h",
        "memcpy(to, &value, 4 * count);",
        "memcpy(to, &value, sizeof(V));",
    ),
    "erf is its polynomial for too long": fault(
        "test_activations_and_derivatives_everywhere", "activations.h", "t > 1.0f", "t > 2.0f"
    ),
    "exp is not bounded above": fault(
        "test_activations_and_derivatives_everywhere",
        "activations.h",
        "above > 89.0f",
        "above > 1e9f",
    ),
    "exp is one factor, which may be infinite": fault(
        "test_activations_of_what_is_not_finite", "activations.h", "half = n >> 1", "half = n >> 31"
    ),
    "a coefficient of tanh is off by a thousandth": fault(
        "test_activations_and_derivatives_everywhere", "activations.h", "0.13331491f", "0.13344822f"
    ),
    "relu makes a number of NaN": fault(
        "test_activations_of_what_is_not_finite",
        "activations.h",
        "z < 0.0f ? V{} : z",
        "z > 0.0f ? z : V{}",
    ),
    "relu has a slope at zero": fault(
        "test_activations_of_what_is_not_finite", "activations.h", "saved <= 0.0f", "saved < 0.0f"
    ),
}
