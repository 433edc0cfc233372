"""Faults in the behaviours of clusters and of wgmma: each with the kinds of failure it may show
as."""

from __future__ import annotations

from typing import NamedTuple

from .common import Fault, fault

CLUSTER = "tests/emulator/kernels/cluster_behaviours.cuh"
BEHAVIOURS = "tests/emulator/kernels/behaviours.cu"
WGMMA = "tests/emulator/kernels/wgmma_behaviours.cuh"
FIRST_SYNC = "  sync_cluster();  // or a peer would find no barriers\n"
LAST_SYNC = "  sync_cluster();  // or a peer would find no block\n"
ANNOUNCED = "(barriers.full, 2 * kBoxBytes)"
RELEASE = "    if (lane < 2) ptx::mbarrier_arrive_cluster(barriers.empty, lane);\n"


class KnownFault(NamedTuple):
    fault: Fault
    kinds: set[str]


def ring(old: str, new: str, *kinds: str) -> KnownFault:
    return KnownFault(fault("multicast_ring", CLUSTER, old, new), set(kinds))


def wgmma(behaviour: str, old: str, new: str, *kinds: str) -> KnownFault:
    return KnownFault(fault(behaviour, WGMMA, old, new), set(kinds or {"expectation"}))


CLUSTER_FAULTS: dict[str, KnownFault] = {
    "no cluster barrier at the start": ring(FIRST_SYNC, "__syncthreads();", "mbarrier"),
    "no cluster barrier at the end": ring(LAST_SYNC, "", "cluster"),
    "the cluster is arrived at and not waited for": ring(
        LAST_SYNC, "ptx::barrier_cluster_arrive();", "cluster"
    ),
    "one warp skips the cluster's barrier": ring(
        FIRST_SYNC, "if (threadIdx.x < 32) sync_cluster();", "mbarrier", "deadlock"
    ),
    "barriers are not published": ring("    ptx::fence_mbarrier_init();\n", "", "mbarrier"),
    "boxes go to the own block alone": ring(
        "full, round, kBothBlocks);\n  }\n}",
        "full, round, uint16_t(1 << ptx::cluster_ctarank()));\n  }\n}",
        "deadlock",
    ),
    "boxes go to the peer alone": ring(
        "full, round, kBothBlocks);\n  }\n}",
        "full, round, uint16_t(2 >> ptx::cluster_ctarank()));\n  }\n}",
        "deadlock",
    ),
    "boxes go to a third block": ring(
        "full, round, kBothBlocks);\n  }\n}", "full, round, 0b111);\n  }\n}", "tma"
    ),
    "the peer's bytes are not announced": ring(
        ANNOUNCED, "(barriers.full, kBoxBytes)", "expectation"
    ),
    "more bytes are announced than come": ring(
        ANNOUNCED, "(barriers.full, 2 * kBoxBytes + 16)", "deadlock"
    ),
    "boxes are loaded twice": ring(
        "    load_box(params, smem, barriers.full, round, kBothBlocks);\n",
        "    load_box(params, smem, barriers.full, round, kBothBlocks);\n"
        "    load_box(params, smem, barriers.full, round, kBothBlocks);\n",
        "expectation",
    ),
    "a stage is refilled before it is empty": ring(
        "    wait_for(barriers.empty, round % 2 ^ 1);\n", "", "mbarrier"
    ),
    "a stage is released in the own block alone": ring(
        RELEASE,
        "if (lane < 2) ptx::mbarrier_arrive_cluster(barriers.empty, ptx::cluster_ctarank());",
        "expectation",
    ),
    "a stage is released in the peer alone": ring(
        RELEASE,
        "if (lane < 2) ptx::mbarrier_arrive_cluster(barriers.empty, 1 - ptx::cluster_ctarank());",
        "expectation",
    ),
    "a stage is released in one block": ring(
        RELEASE, "if (lane < 1) ptx::mbarrier_arrive_cluster(barriers.empty, lane);", "deadlock"
    ),
    "a stage is released before all lanes have read it": ring(
        "    __syncwarp();\n" + RELEASE,
        RELEASE,
        "expectation",
    ),
    "the last boxes are not waited for": ring(
        "round < kRingRounds; ++round) {\n    wait_for(barriers.full",
        "round < kRingRounds - 1; ++round) {\n    wait_for(barriers.full",
        "cluster",
    ),
    "the blocks are no cluster": KnownFault(
        fault("multicast_ring", BEHAVIOURS, "2, sizeof(ClusterStorage), 2}", "2, 2304}"), {"tma"}
    ),
    "wgmma: LBO and SBO are swapped": wgmma(
        "wgmma_of_f16",
        "kCoreBytesAlongK = 128, kCoreBytesAlongMn = 256",
        "kCoreBytesAlongK = 256, kCoreBytesAlongMn = 128",
    ),
    "wgmma: LBO and SBO are swapped, transposed": wgmma(
        "wgmma_of_bf16_transposed",
        "kCoreBytesAlongK = 128, kCoreBytesAlongMn = 256",
        "kCoreBytesAlongK = 256, kCoreBytesAlongMn = 128",
    ),
    "wgmma: a is not transposed": wgmma(
        "wgmma_of_f16_transposed_a", "smem.a[core_index<kTransA>", "smem.a[core_index<false>"
    ),
    "wgmma: b is transposed": wgmma(
        "wgmma_of_f16", "smem.b[core_index<kTransB>", "smem.b[core_index<true>"
    ),
    "wgmma: bfloat16 is read as float16": wgmma(
        "wgmma_of_bf16", "ptx::wgmma_m64k16_bf16<", "ptx::wgmma_m64k16_f16<"
    ),
    "wgmma: float16 is read as bfloat16": wgmma(
        "wgmma_of_f16", "ptx::wgmma_m64k16_f16<", "ptx::wgmma_m64k16_bf16<"
    ),
    "wgmma: operands are not published": wgmma(
        "wgmma_of_f16_transposed_b", "  ptx::fence_proxy_async();\n", ""
    ),
    "wgmma: warps multiply different types": wgmma(
        "wgmma_of_f16",
        "    ptx::wgmma_m64k16_f16<kN, kTransA, kTransB>(accum, a, b, true);",
        "    if (threadIdx.x < 32) ptx::wgmma_m64k16_bf16<kN, kTransA, kTransB>(accum, a, b, true);"
        " else ptx::wgmma_m64k16_f16<kN, kTransA, kTransB>(accum, a, b, true);",
        "wgmma",
        "expectation",
    ),
    "wgmma: lanes multiply different types": wgmma(
        "wgmma_of_f16",
        "    ptx::wgmma_m64k16_f16<kN, kTransA, kTransB>(accum, a, b, true);",
        "    if (threadIdx.x % 2) ptx::wgmma_m64k16_bf16<kN, kTransA, kTransB>(accum, a, b, true);"
        " else ptx::wgmma_m64k16_f16<kN, kTransA, kTransB>(accum, a, b, true);",
        "wgmma",
    ),
}
