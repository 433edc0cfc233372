"""Faults where gradients are added to what is there."""

from __future__ import annotations

from .common import Fault, fault

KERNELS = "csrc/kernels/"
SPLIT_SUM = KERNELS + "split_sum.cuh"
TINY_EPILOGUE = KERNELS + "tiny/epilogue.cuh"
ADDS = "!= Accumulation::kOverwrite"

ACCUMULATION_FAULTS: dict[str, Fault] = {
    "accumulation: simt overwrites": fault(
        "accumulation",
        KERNELS + "simt/epilogue.cuh",
        f"if (gemm.accumulation {ADDS})",
        "if (false)",
    ),
    "accumulation: sm80 overwrites": fault(
        "sm80 accumulation",
        KERNELS + "sm80/epilogue.cuh",
        f"if (gemm.accumulation {ADDS})",
        "if (false)",
    ),
    "accumulation: tiny overwrites": fault(
        "tiny accumulation", TINY_EPILOGUE, f"if (item.gemm.accumulation {ADDS})", "if (false)"
    ),
    "accumulation: every slice of tiny adds to every row": fault(
        "tiny accumulation by warps",
        TINY_EPILOGUE,
        "if (!is_own || place.m + row >= place.m_end) continue;",
        "if (place.m + row >= place.m_end) continue;",
    ),
    "accumulation: tiny reads past the last row": fault(
        "tiny accumulation of odd rows",
        TINY_EPILOGUE,
        "if (!is_own || place.m + row >= place.m_end) continue;",
        "if (!is_own) continue;",
    ),
    "accumulation: tiny overwrites the column sums": fault(
        "tiny accumulation",
        TINY_EPILOGUE,
        "accumulation = item.gemm.accumulation;",
        "accumulation = Accumulation::kOverwrite;",
    ),
    "accumulation: tiny takes float32 for the elements' type": fault(
        "tiny accumulation",
        KERNELS + "tiny/work.cpp",
        "item.stores_accum = gemm.accumulation == Accumulation::kAddFloat32;",
        "",
    ),
    "accumulation: tiles take float32 for the elements' type": fault(
        "accumulation of 16 bits in float32",
        KERNELS + "tiled/tiler.cpp",
        "tiled.stores_accum = gemm.accumulation == Accumulation::kAddFloat32;",
        "",
    ),
    "accumulation: tiles overwrite the column sums": fault(
        "sm80 accumulation",
        KERNELS + "tiled/column_sums.cuh",
        "store_element(tiled.gemm.accumulation, static_cast<Accum*>(to.data)",
        "store_element(Accumulation::kOverwrite, static_cast<Accum*>(to.data)",
    ),
    "accumulation: a sum of parts overwrites": fault(
        "split accumulation",
        SPLIT_SUM,
        "store_output<Scalar>(sum.gemm, t, m, n, total + bias_at<Scalar>(sum.gemm, t, n));",
        "ptx::st_global(element_at<AccumOf<Scalar>>(sum.gemm.c, t, m, n), total);",
    ),
    "accumulation: a sum of parts is rounded before it is added": fault(
        "split accumulation",
        SPLIT_SUM,
        "total.total(), t, n",
        "to_accum(from_accum<Scalar>(total.total())), t, n",
    ),
    "accumulation: a sum of parts is added twice": fault(
        "sm80 split accumulation",
        SPLIT_SUM,
        "store_result<Scalar>(sum.gemm, sum.gemm.column_sums, total.total(), t, n);",
        "for (int i = 0; i < 2; ++i)"
        " store_result<Scalar>(sum.gemm, sum.gemm.column_sums, total.total(), t, n);",
    ),
    "accumulation: every part is added": fault(
        "tiny split accumulation",
        KERNELS + "tiny/work.cpp",
        "leave_parts(item.gemm, item.splits);",
        "leave_parts(item.gemm, item.splits); item.gemm.accumulation = gemm.accumulation;",
    ),
    "accumulation: read by the read-only path": fault(
        "sm80 split accumulation",
        SPLIT_SUM,
        "store_result<Scalar>(sum.gemm, sum.gemm.column_sums, total.total(), t, n);",
        "Scalar* const gmem = element_at<Scalar>(sum.gemm.column_sums, t, n);"
        " const auto old = to_accum(ptx::ld_global_nc(gmem));"
        " ptx::st_global(gmem, from_accum<Scalar>(old + total.total()));",
    ),
}
