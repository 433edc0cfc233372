"""Does each small kernel of emulator/kernels/*behaviours.cuh lead to what it must?"""

from __future__ import annotations

import emulator
import pytest
from emulator import EmulatorError
from test_emulator_selftest import LIBRARY, plants_faults

LEGAL_BEHAVIOURS = (
    "copy_rows",
    "write_workspace_twice",
    "shared_starts_poisoned",
    "locals_start_poisoned",
    "exited_threads_do_not_count",
    "producer_arrives_consumer_syncs",
    "shuffles",
    "half_warps_meet_apart",
    "one_lane_is_elected",
    "copies_of_every_size",
    "ldmatrix_loads_rows",
    "ldmatrix_loads_columns",
    "mma_of_bf16",
    "mma_of_f16",
    "mma_of_tf32",
    "mma_cuts_operands_to_tf32",
    "wgmma_of_f16",
    "wgmma_of_f16_transposed_a",
    "wgmma_of_f16_transposed_b",
    "wgmma_of_bf16",
    "wgmma_of_bf16_transposed",
    "wgmma_of_tf32",
    "wgmma_of_tf32_in_24_columns",
    "wgmma_of_tf32_in_shared_memory",
    "wgmma_cuts_operands_to_tf32",
    "load_rounds_to_tf32",
    "refill_what_was_read",
    "registers_for_all",
    "multicast_ring",
    "load_overlapping_rows",
    "ranks_follow_blocks",
    "exited_threads_leave_the_cluster",
    "prefetch_a_map",
    "race_without_consequence",
)

FAULTY_BEHAVIOURS = {
    "read_past_end": ("gmem-oob", "thread 28: a 4-byte read of no tensor's element, at byte 192"),
    "read_before_start": ("gmem-oob", "thread 0: a 4-byte read of no tensor's element, at byte -4"),
    "read_gap": ("gmem-oob", "thread 4: a 4-byte read of no tensor's element, at byte 16 of input"),
    "read_output": ("gmem-read", "thread 0: a 4-byte read of an output, at byte 0 of output"),
    "write_input": ("gmem-write", "thread 0: a 4-byte write to an input, at byte 0 of input"),
    "write_gap": ("gmem-oob", "thread 4: a 4-byte write to no tensor's element, at byte 16 of out"),
    "write_twice": ("gmem-double-write", "thread 1: a second 4-byte write in one launch at byte 0"),
    "leave_one_unwritten": ("gmem-unwritten", "output[0, 4, 1] was never written"),
    "read_fresh_workspace": ("gmem-read", "of a workspace before it was written"),
    "read_what_the_launch_writes": (
        "gmem-race",
        "read of what the same launch writes, at byte 0 of",
    ),
    "read_misaligned_vector": ("gmem-misaligned", "a 8-byte read at byte 4 of input"),
    "write_shared_past_end": ("smem-oob", "offset 1024 of the block's 1024 bytes of shared memory"),
    "write_shared_before_start": ("smem-oob", "offset -1 of the block's 1024 bytes of shared"),
    "copy_outside_shared": ("smem-oob", "cp.async touches 4 bytes at shared address 0x800"),
    "declare_too_much_shared": ("smem-oob", "SharedStorage of 1028 bytes exceeds the 1024 bytes"),
    "barrier_nobody_else_reaches": ("deadlock", "32 threads from 0 to 31 wait for bar.sync 3"),
    "mbarrier_nobody_arrives_at": ("deadlock", "64 threads from 0 to 63 wait for the mbarrier at"),
    "two_different_syncthreads": ("barrier", "while others wait at that of tests/emulator/kernels"),
    "counts_of_a_barrier_differ": ("barrier", "barrier 1: thread 32 expects 96 threads, others ex"),
    "lanes_execute_different_instructions": ("divergence", "executes __shfl_sync while others wai"),
    "shuffle_from_an_absent_lane": ("divergence", "lane 0 shuffles from lane 20"),
    "one_lane_skips_the_warp_barrier": ("deadlock", "31 threads from 0 to 31 wait for __syncwarp"),
    "copy_from_the_gap": ("gmem-oob", "a 8-byte read of no tensor's element, at byte 16 of input"),
    "exit_with_a_copy_in_flight": ("cp.async", "exits with a cp.async that was not waited for"),
    "store_beyond_the_inner_extent": ("gmem-oob", "at byte 36 of rows_of_18"),
    "ldmatrix_of_misaligned_rows": ("ldmatrix", "row address 0x408 is not 16-byte aligned"),
    "ldmatrix_outside_shared": ("smem-oob", "ldmatrix touches 16 bytes at shared address 0x800"),
    "one_lane_skips_mma_of_f16": ("deadlock", "31 threads from 0 to 31 wait for mma.sync.m16n8k16"),
    "one_lane_skips_mma_of_tf32": ("deadlock", "31 threads from 0 to 31 wait for mma.sync.m16n8k8"),
    "lanes_multiply_different_types": (
        "divergence",
        "executes mma.sync.m16n8k16 of bf16 while others wait in mma.sync.m16n8k16 of f16",
    ),
    "wgmma_of_registers_without_a_fence": ("wgmma", "no wgmma.fence since the registers of A were"),
    "write_a_while_a_wgmma_has_it": ("wgmma", "thread 5 wrote registers of A while a wgmma had"),
    "refill_what_was_read_without_a_fence": (
        "tma",
        "it overwrites what thread 5 has read, without a proxy fence since",
    ),
    "setmaxnreg_in_one_warp": ("setmaxnreg", "the four warps of a warpgroup did not execute it"),
    "more_registers_than_there_are": ("setmaxnreg", "the warpgroups ask for 66560 registers"),
    "arrive_at_the_cluster_twice": ("cluster", "barrier.cluster.arrive: a second one without"),
    "wait_for_the_cluster_alone": ("cluster", "barrier.cluster.wait without a barrier.cluster.arr"),
    "exit_without_waiting_for_the_cluster": ("cluster", "exits between barrier.cluster.arrive and"),
    "one_thread_skips_the_cluster_barrier": (
        "deadlock",
        "31 threads of rank 1 from 1 to 31 wait for barrier.cluster, which not all",
    ),
    "arrive_beyond_the_cluster": ("cluster", "there is no rank 2 in a cluster of 2 blocks"),
    "arrive_at_an_exited_block": ("cluster", "distributed shared memory of a block that has exite"),
    "arrive_at_an_unpublished_barrier": ("mbarrier", "which no fence published after its init"),
    "multicast_to_nobody": ("tma", "TMA load: block mask 0x0 in a cluster of 2 blocks"),
    "multicast_beyond_the_cluster": ("tma", "TMA load: block mask 0x5 in a cluster of 2 blocks"),
    "multicast_to_an_exited_block": ("cluster", "TMA load: distributed shared memory of a block"),
    "load_with_a_made_up_policy": ("tma", "no createpolicy made the cache policy 0x1"),
    "announce_too_many_bytes": ("deadlock", "0 arrivals and 1024 bytes missing"),
    "use_a_misaligned_map": ("tma", "the tensor map is not 64-byte aligned"),
    "use_a_map_in_shared_memory": ("tma", "the tensor map lies in shared memory"),
    "use_a_map_that_was_never_encoded": ("tma", "the tensor map was never encoded"),
    "launch_of_half_a_cluster": ("launch", "3 blocks in clusters of 2, of which 1 .. 8 are legal"),
    "launch_of_a_cluster_of_9": ("launch", "9 blocks in clusters of 9, of which 1 .. 8 are legal"),
    "launch_of_33_threads": ("launch", "a block of 33 threads"),
    "launch_of_no_block": ("launch", "a grid of 0 x 1 x 1 blocks"),
    "launch_with_too_much_shared": ("launch", "233472 bytes of shared memory: more than 232448"),
}


def test_every_behaviour_is_expected_here() -> None:
    assert sorted(LIBRARY().behaviours) == sorted((*LEGAL_BEHAVIOURS, *FAULTY_BEHAVIOURS))


@pytest.mark.parametrize("name", LEGAL_BEHAVIOURS)
def test_legal_behaviour_is_silent_under_every_schedule(name: str) -> None:
    for schedule in emulator.schedules():
        LIBRARY().behaviour(name, schedule=schedule)


@plants_faults
@pytest.mark.parametrize("name", FAULTY_BEHAVIOURS)
def test_fault_is_reported_under_every_schedule(name: str) -> None:
    kind, message = FAULTY_BEHAVIOURS[name]
    for schedule in emulator.schedules():
        with pytest.raises(EmulatorError) as caught:
            LIBRARY().behaviour(name, schedule=schedule)
        assert caught.value.kind == kind
    with pytest.raises(EmulatorError) as caught:
        LIBRARY().behaviour(name, schedule=0)
    assert message in caught.value.message
