"""Faults of the family `sm90` in tfloat32, where it differs from 16 bits."""

from __future__ import annotations

from ..mutation import Mutation
from .common import Fault, fault

SM90 = "csrc/kernels/sm90/"
MAINLOOP, FRAGMENT = SM90 + "mainloop_swapped.cuh", SM90 + "weight_fragment.cuh"
OUTPUTS, EPILOGUE = SM90 + "outputs_swapped.cuh", SM90 + "epilogue.cuh"

FORWARD, LARGE = "sm90 forward of tf32", "sm90 forward of tf32 by large tiles"
SPLIT = "sm90 split forward of tf32"

AS_IT_IS = "[](float v) { uint32_t bits; __builtin_memcpy(&bits, &v, 4); return bits; }"

WEIGHT_FAULTS: dict[str, Fault] = {
    "sm90 tf32: first terms are not rounded": fault(
        FORWARD, FRAGMENT, "first = ptx::cvt_rna_tf32", "first = " + AS_IT_IS
    ),
    "sm90 tf32: second terms are not rounded": fault(
        FORWARD, FRAGMENT, "second = ptx::cvt_rna_tf32", "second = " + AS_IT_IS
    ),
    "sm90 tf32: registers of neighbouring terms are exchanged": Fault(
        FORWARD,
        (
            Mutation(FRAGMENT, "[i] = exchanges_ ? second : first", "[i] = first"),
            Mutation(FRAGMENT, "[i + 2] = exchanges_ ? first : second", "[i + 2] = second"),
        ),
    ),
    "sm90 tf32: all lanes exchange": fault(
        FORWARD, FRAGMENT, "exchanges_ = c % 2;", "exchanges_ = true;"
    ),
    "sm90 tf32: no lane reads the other term first": fault(
        FORWARD, FRAGMENT, "term = c % 2 ? c + 4 : c;", "term = c;"
    ),
    "sm90 tf32: registers of columns and terms are exchanged": Fault(
        FORWARD,
        (
            Mutation(FRAGMENT, "fragment.a[product][i] =", "fragment.a[product][2 * i] ="),
            Mutation(FRAGMENT, "fragment.a[product][i + 2] =", "fragment.a[product][2 * i + 1] ="),
        ),
    ),
    "sm90 tf32: the lower columns are the upper ones": fault(
        FORWARD, FRAGMENT, "offset_ ^ i * 8 / kColumnsOfChunk * 16", "offset_"
    ),
    "sm90 tf32: the weight is read as if it were not swizzled": fault(
        FORWARD, FRAGMENT, "n % Config::kRowElems / kColumnsOfChunk ^ term", "n % 32 / 4"
    ),
    "sm90 tf32: the other term is swizzled as the first one": fault(
        FORWARD, FRAGMENT, "4 * kRowBytes | 4 * 16", "4 * kRowBytes"
    ),
    "sm90 tf32: panels of the weight lie closer": fault(
        FORWARD, FRAGMENT, "Config::kBlockK * kRowBytes", "Config::kBlockK * kRowBytes / 2"
    ),
    "sm90 tf32: all products have the first one's weight": fault(
        FORWARD, FRAGMENT, "smem + product * kTermsOfTf32Wgmma * kRowBytes", "smem"
    ),
    "sm90 tf32: all consumers multiply the same columns": fault(
        FORWARD, MAINLOOP, "reader_(first_column<Config>(consumer))", "reader_(0)"
    ),
    "sm90 tf32: x is cut instead of rounded": fault(
        FORWARD, SM90 + "boxes.cpp", "boxes.a.dtype = problem.dtype;", ""
    ),
    "sm90 tf32: maps of tfloat32 are those of float32": fault(
        FORWARD,
        SM90 + "tensor_map.cu",
        "return CU_TENSOR_MAP_DATA_TYPE_TFLOAT32",
        "return CU_TENSOR_MAP_DATA_TYPE_FLOAT32",
    ),
}

LOOP_FAULTS: dict[str, Fault] = {
    "sm90 tf32: a stage is refilled without a proxy fence": fault(
        FORWARD, MAINLOOP, "    ptx::fence_proxy_async();\n", ""
    ),
    "sm90 tf32: a stage is given back before the warp has read it": fault(
        FORWARD, MAINLOOP, "    __syncwarp();\n", ""
    ),
    "sm90 tf32: one thread fences for its warp": fault(
        FORWARD,
        MAINLOOP,
        "    ptx::fence_proxy_async();\n",
        "    if (threadIdx.x % 32 == 0) ptx::fence_proxy_async();\n",
    ),
    "sm90 tf32: a stage is given back while it is multiplied": fault(
        FORWARD, MAINLOOP, "if (!is_first) release_read(previous);", "release_read(stage);"
    ),
    "sm90 tf32: a tile's last stage is not given back": fault(
        FORWARD, MAINLOOP, "    release_read(last_stage);\n", ""
    ),
    "sm90 tf32: registers are overwritten while they are multiplied": fault(
        FORWARD, MAINLOOP, "ring, odd, accum", "ring, even, accum"
    ),
    "sm90 tf32: products are not waited for": fault(
        FORWARD, MAINLOOP, "    ptx::wgmma_wait_group<1>();\n", ""
    ),
    "sm90 tf32: a tile's last products are not waited for": fault(
        FORWARD, MAINLOOP, "ptx::wgmma_wait_group<0>();", "ptx::wgmma_wait_group<1>();"
    ),
    "sm90 tf32: consumers do not wait for a stage to be full": fault(
        FORWARD, MAINLOOP, "wait(smem_.full[stage], ring.parity);", ""
    ),
    "sm90 tf32: no fence before the products": fault(
        FORWARD, MAINLOOP, "    ptx::wgmma_fence();\n", ""
    ),
    "sm90 tf32: products are not committed": fault(
        FORWARD, MAINLOOP, "    ptx::wgmma_commit_group();\n", ""
    ),
    "sm90 tf32: a tile begins with the sums of the one before": fault(
        FORWARD, MAINLOOP, "!is_first || product > 0", "true"
    ),
    "sm90 tf32: every stage begins its sums anew": fault(
        FORWARD, MAINLOOP, "!is_first || product > 0", "product > 0"
    ),
    "sm90 tf32: steps along x are too short": fault(
        FORWARD, MAINLOOP, "x + product * kTermsOfTf32Wgmma", "x + product * kTermsOfTf32Wgmma / 2"
    ),
    "sm90 tf32: an odd number of stages does not end": fault(
        LARGE, MAINLOOP, "if (++k_block == k_blocks) break;", "++k_block;", occurrence=1
    ),
    "sm90 tf32: an even number of stages does not end": fault(
        FORWARD, MAINLOOP, "if (++k_block == k_blocks) break;", "++k_block;", occurrence=2
    ),
}

OUTPUT_FAULTS: dict[str, Fault] = {
    "sm90 tf32: outputs are not swizzled": fault(
        FORWARD, OUTPUTS, "/ kElemsOfChunk ^ row;", "/ kElemsOfChunk;"
    ),
    "sm90 tf32: outputs are transposed": fault(
        FORWARD, OUTPUTS, "smem + (row + i / 4 * 8) * kRowBytes", "smem + (i / 4 * 8) * kRowBytes"
    ),
    "sm90 tf32: rows and columns of a pair are exchanged": Fault(
        FORWARD,
        (
            Mutation(OUTPUTS, "thread_.column + i % 2;  // and", "thread_.column + i / 2 % 2;  //"),
            Mutation(OUTPUTS, "(column + i / 2 % 2 * 8)", "(column + i % 2 * 8)"),
        ),
    ),
    "sm90 tf32: the second panel is the first": fault(
        FORWARD, OUTPUTS, ".panel[thread_.row / kRowElems]", ".panel[0]"
    ),
    "sm90 tf32: all rows are the first 64": fault(
        LARGE, OUTPUTS, "[panel * kRowsOfPanel];\n", "[0];\n"
    ),
    "sm90 tf32: a thread's columns have one bias": fault(
        FORWARD, OUTPUTS, "smem_bias_[thread_.row + 8]", "smem_bias_[thread_.row]"
    ),
    "sm90 tf32: the bias goes along the rows": fault(
        FORWARD, OUTPUTS, "+= bias[i / 2 % 2]", "+= bias[i % 2]"
    ),
    "sm90 tf32: all consumers have the first one's bias": fault(
        FORWARD, SM90 + "bias.cuh", "at.n0 + first_column<Config>(consumer) +", "at.n0 +"
    ),
    "sm90 tf32: all consumers store the same columns": fault(
        FORWARD, EPILOGUE, "at.n0 + first_column<Config>(consumer_) +", "at.n0 +"
    ),
    "sm90 tf32: all consumers leave parts of the same columns": fault(
        SPLIT, OUTPUTS, "first_column_(first_column<Config>(consumer))", "first_column_(0)"
    ),
    "sm90 tf32: parts are those of the first 64 rows": fault(
        SPLIT, OUTPUTS, "at.m0 + panel * kRowsOfPanel + thread_", "at.m0 + thread_"
    ),
    "sm90 tf32: all splits leave the same parts": fault(
        SPLIT, OUTPUTS, " + at.split * params.part_elems", ""
    ),
    "sm90 tf32: rows that are not there leave parts": fault(
        SPLIT, OUTPUTS, " || m + row >= gemm.m) continue;", ") continue;"
    ),
    "sm90 tf32: columns that are not there leave parts": fault(
        SPLIT, OUTPUTS, "n + column >= gemm.n || ", ""
    ),
}

SM90_TF32_FAULTS = {**WEIGHT_FAULTS, **LOOP_FAULTS, **OUTPUT_FAULTS}
