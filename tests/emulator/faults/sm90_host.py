"""Faults of what the host tells the kernels of `sm90`: maps, extents, strides."""

from __future__ import annotations

from ..mutation import Mutation
from .common import Fault, fault

SM90 = "csrc/kernels/sm90/"
PRODUCER, PLAN, BOXES = SM90 + "producer.cuh", SM90 + "plan.cpp", SM90 + "boxes.cpp"
HOST, MAPS = SM90 + "sm90.cu", SM90 + "tensor_map.cu"

FORWARD, SPLIT = "sm90 forward", "sm90 split forward"
STRIDES, REPEATED = "sm90 forward of strides", "sm90 forward of repeated steps"

SM90_HOST_FAULTS: dict[str, Fault] = {
    "sm90: boxes of x are fetched from one step": fault(
        FORWARD, PRODUCER, "params.a_has_steps ? at.t : 0", "0"
    ),
    "sm90: repeated steps of x are stepped along": fault(
        REPEATED, PRODUCER, "params.a_has_steps ? at.t : 0", "at.t"
    ),
    "sm90: boxes of the weight are fetched from one step": fault(
        FORWARD, PRODUCER, "params.b_has_steps ? at.t : 0", "0"
    ),
    "sm90: repeated steps of the weight are stepped along": fault(
        REPEATED, PRODUCER, "params.b_has_steps ? at.t : 0", "at.t"
    ),
    "sm90: a stride of 0 is encoded as it is": fault(
        REPEATED,
        BOXES,
        "steps = has_steps(view.stride[1]) ? problem_.t : 1;",
        "steps = problem_.t;",
    ),
    "sm90: strides of x are those of contiguous rows": fault(
        STRIDES,
        BOXES,
        "stride_bytes(steps, view.stride[1], columns)",
        "columns * bytes_of(problem_.dtype)",
    ),
    "sm90: strides count elements": fault(
        FORWARD, BOXES, "extent > 1 ? stride * element_bytes", "extent > 1 ? stride"
    ),
    "sm90: x ends a row early": fault(
        FORWARD, BOXES, "{columns, steps, problem_.b}", "{columns, steps, problem_.b - 1}"
    ),
    "sm90: the weight has a row more": fault(
        "sm90 forward of bfloat16",
        BOXES,
        "{problem_.o, problem_.i, steps}",
        "{problem_.o, problem_.i + 1, steps}",
    ),
    "sm90: rows of the weight are longer": fault(
        FORWARD,
        BOXES,
        "{problem_.o, problem_.i, steps}",
        "{problem_.o + 8, problem_.i, steps}",
    ),
    "sm90: maps are encoded without a swizzle": fault(
        FORWARD, MAPS, "CU_TENSOR_MAP_SWIZZLE_128B", "CU_TENSOR_MAP_SWIZZLE_NONE"
    ),
    # All of them in one slot: else it depends on addresses which of them meet.
    "sm90: a remembered map is taken for every tensor": Fault(
        FORWARD,
        (
            Mutation("csrc/direct_mapped_cache.h", "|| entry.key != key", ""),
            Mutation("csrc/direct_mapped_cache.h", "return hash >> 32;", "return hash * 0;"),
        ),
    ),
    "sm90: the map of z is that of y": fault(
        FORWARD, HOST, "Wanted{boxes.z, params.z,", "Wanted{boxes.c, params.z,"
    ),
    "sm90: parts are stored as outputs": fault(
        SPLIT, HOST, "(params) = product;", "(params) = product; params.is_split = false;"
    ),
    "sm90: the sum of the last terms is left out": fault(
        FORWARD,
        PLAN,
        "const int64_t k_blocks = ceil_div(gemm.k, tile.block_k);",
        "const int64_t k_blocks = gemm.k / tile.block_k;",
    ),
    "sm90: the last columns are left out": fault(
        FORWARD, PLAN, "int32_t(ceil_div(gemm.n, tile.block_n))", "int32_t(gemm.n / tile.block_n)"
    ),
}
