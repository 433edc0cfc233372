"""Faults in what the families share: split sums, products, the activation's gradient."""

from __future__ import annotations

from ..mutation import Mutation
from .common import ONE_BLOCK, Fault, fault

KERNELS = "csrc/kernels/"
SPLIT_SUM = KERNELS + "split_sum.cuh"
WORKSPACE = KERNELS + "split_workspace.h"
ACTIVATION_BACKWARD = KERNELS + "activation_backward.cuh"


SHARED_FAULTS: dict[str, Fault] = {
    "split sum: the first part is left out": fault(
        "split forward",
        SPLIT_SUM,
        "(part, sum.splits, outputs",
        "(part + outputs, sum.splits - 1, outputs",
    ),
    "split sum: the last part is left out": fault(
        "split forward", SPLIT_SUM, "left = parts; left > 0;", "left = parts - 1; left > 0;"
    ),
    "split sum: a part too many": fault(
        "split forward", SPLIT_SUM, "left = parts; left > 0;", "left = parts + 1; left > 0;"
    ),
    "split sum: parts that are not there are read": fault(
        "split forward",
        SPLIT_SUM,
        "i < left ? ptx::ld_global_nc(part + i * stride) : Accum{}",
        "ptx::ld_global_nc(part + i * stride)",
    ),
    "split sum: after some parts the first are added again": fault(
        "forward split into many parts", SPLIT_SUM, ", part += kAtATime * stride", ""
    ),
    "split sum: the parts are as far apart as the column sums'": fault(
        "split backward",
        SPLIT_SUM,
        "part, sum.splits, outputs,",
        "part, sum.splits, sum.gemm.t * sum.gemm.n,",
    ),
    "split sum: no bias": fault(
        "split forward", SPLIT_SUM, "total + bias_at<Scalar>(sum.gemm, t, n)", "total"
    ),
    "split sum: the row is not wrapped into its step": fault(
        "split forward", SPLIT_SUM, "m = row % sum.gemm.m", "m = row"
    ),
    "split sum: the step is counted by columns": fault(
        "split forward", SPLIT_SUM, "t = row / sum.gemm.m", "t = row / sum.gemm.n"
    ),
    "workspace: the activation is applied to each part": fault(
        "split forward", WORKSPACE, "    gemm.activation = Activation::kNone;\n", ""
    ),
    "workspace: the bias is added to each part": fault(
        "split forward", WORKSPACE, "    gemm.bias = {};\n", ""
    ),
    "split sum: a part of the column sums is left out": fault(
        "split backward", SPLIT_SUM, "sum.splits, column_sums", "sum.splits - 1, column_sums"
    ),
    "split sum: the column sums are read from the outputs' parts": fault(
        "split backward", SPLIT_SUM, "(sum.column_sum_parts)", "(sum.parts)"
    ),
    "split sum: the second product is counted from the first's": fault(
        "split backward", SPLIT_SUM, "product ? element - first : element", "element"
    ),
    "split sum: the column sums are counted from the outputs": fault(
        "split backward", SPLIT_SUM, "index - outputs, work", "index, work"
    ),
    "split sum: the elements of the second product are forgotten": fault(
        "split backward", SPLIT_SUM, "+ work.outputs[1] + work.column_sums[1]", ""
    ),
    "split sum: one element too many": fault(
        "split backward", SPLIT_SUM, "element < elements", "element <= elements"
    ),
    "split sum: a thread does not go on to its next element": Fault(
        "split forward",
        (
            ONE_BLOCK,
            Mutation(SPLIT_SUM, "element += step", "element += elements"),
        ),
    ),
    "split sum: not launched": fault(
        "split forward", KERNELS + "split_sum.cu", "if (elements == 0)", "if (elements != 0)"
    ),
    "output: z is what comes after the activation": fault(
        "split forward",
        KERNELS + "output.cuh",
        "from_accum<Scalar>(z)",
        "from_accum<Scalar>(activate<Scalar>(gemm.activation, z))",
    ),
    "output: the activation is forgotten": fault(
        "split forward", KERNELS + "output.cuh", "activate<Scalar>(gemm.activation, z)", "z"
    ),
    "workspace: the column sums' parts lie on the products'": fault(
        "split backward",
        WORKSPACE,
        "bytes_ += static_cast<size_t>(",
        "bytes_ = static_cast<size_t>(",
    ),
    "workspace: as large as one part": fault(
        "split forward", WORKSPACE, "take(splits * part_elems(gemm))", "take(part_elems(gemm))"
    ),
    "workspace: every part writes z": fault("split forward", WORKSPACE, "    gemm.z = {};\n", ""),
    "products: the strides of x are swapped": fault(
        "forward", KERNELS + "gemm.cpp", "/*row=*/0, /*k=*/2", "/*row=*/2, /*k=*/0", 1
    ),
    "products: grad-input's weight is not transposed": fault(
        "backward", KERNELS + "gemm.cpp", "/*row=*/1, /*k=*/2", "/*row=*/2, /*k=*/1", 1
    ),
    "products: the bias is that of step 0": fault(
        "forward of vectors",
        KERNELS + "gemm.cpp",
        "return {view.data, view.stride[0], view.stride[1]};",
        "return {view.data, view.stride[1], view.stride[0]};",
    ),
    "activation's gradient: one element too many": fault(
        "activation_backward", ACTIVATION_BACKWARD, "element < elements", "element <= elements"
    ),
    "activation's gradient: the step's index is not wrapped": fault(
        "activation_backward", ACTIVATION_BACKWARD, "row % t", "row / t"
    ),
}
