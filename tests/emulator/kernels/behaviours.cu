#include <cstring>
#include <iterator>
#include <vector>

#include "bridge.h"
#include "kernels/cluster_behaviours.cuh"
#include "kernels/launch.cuh"
#include "kernels/tf32_behaviours.cuh"
#include "kernels/wgmma_behaviours.cuh"

namespace per_step_dense::example {
namespace {

using Kernel = void (*)(BehaviourParams);

struct Behaviour {
  const char* name;
  Kernel kernel;
  unsigned threads;
  unsigned blocks = 1;
  size_t smem_bytes = sizeof(BehaviourStorage);
  unsigned cluster = 1;
};

constexpr Behaviour of_two_blocks(const char* name, Kernel kernel, unsigned threads = 32) {
  return {name, kernel, threads, 2, sizeof(ClusterStorage), 2};
}
constexpr Behaviour of_warpgroup(const char* name, Kernel kernel) {
  return {name, kernel, 128, 1, sizeof(WgmmaOperands)};
}

const Behaviour kBehaviours[] = {
    {"copy_rows", copy_rows, 32},
    {"read_past_end", read_past_end, 32},
    {"read_before_start", read_before_start, 32},
    {"read_gap", read_gap, 32},
    {"read_output", read_output, 32},
    {"write_input", write_input, 32},
    {"write_gap", write_gap, 32},
    {"write_twice", write_twice, 32},
    {"leave_one_unwritten", leave_one_unwritten, 32},
    {"read_fresh_workspace", read_fresh_workspace, 32},
    {"write_workspace_twice", write_workspace_twice, 32},
    {"read_what_the_launch_writes", read_what_the_launch_writes, 32},
    {"read_misaligned_vector", read_misaligned_vector, 32},
    {"shared_starts_poisoned", shared_starts_poisoned, 32},
    {"locals_start_poisoned", locals_start_poisoned, 32},
    {"write_shared_past_end", write_shared_past_end, 32},
    {"write_shared_before_start", write_shared_before_start, 32},
    {"copy_outside_shared", copy_outside_shared, 32},
    {"declare_too_much_shared", declare_too_much_shared, 32},
    {"barrier_nobody_else_reaches", barrier_nobody_else_reaches, 64},
    {"mbarrier_nobody_arrives_at", mbarrier_nobody_arrives_at, 64},
    {"two_different_syncthreads", two_different_syncthreads, 64},
    {"exited_threads_do_not_count", exited_threads_do_not_count, 64},
    {"producer_arrives_consumer_syncs", producer_arrives_consumer_syncs, 64},
    {"counts_of_a_barrier_differ", counts_of_a_barrier_differ, 64},
    {"shuffles", shuffles, 32},
    {"half_warps_meet_apart", half_warps_meet_apart, 32},
    {"one_lane_is_elected", one_lane_is_elected, 32},
    {"lanes_execute_different_instructions", lanes_execute_different_instructions, 32},
    {"shuffle_from_an_absent_lane", shuffle_from_an_absent_lane, 32},
    {"one_lane_skips_the_warp_barrier", one_lane_skips_the_warp_barrier, 32},
    {"copies_of_every_size", copies_of_every_size, 32},
    {"copy_from_the_gap", copy_from_the_gap, 32},
    {"exit_with_a_copy_in_flight", exit_with_a_copy_in_flight, 32},
    {"store_beyond_the_inner_extent", store_beyond_the_inner_extent, 32},
    {"ldmatrix_loads_rows", ldmatrix_loads_rows, 32},
    {"ldmatrix_loads_columns", ldmatrix_loads_columns, 32},
    {"ldmatrix_of_misaligned_rows", ldmatrix_of_misaligned_rows, 32},
    {"ldmatrix_outside_shared", ldmatrix_outside_shared, 32},
    {"mma_of_bf16", mma_of_bf16, 32},
    {"mma_of_f16", mma_of_f16, 32},
    {"mma_of_tf32", mma_of_tf32, 32},
    {"mma_cuts_operands_to_tf32", mma_cuts_operands_to_tf32, 32},
    {"one_lane_skips_mma_of_f16", one_lane_skips_mma_of_f16, 32},
    {"one_lane_skips_mma_of_tf32", one_lane_skips_mma_of_tf32, 32},
    {"lanes_multiply_different_types", lanes_multiply_different_types, 32},
    of_warpgroup("wgmma_of_f16", check_wgmma<WgmmaOfF16, 256, false, false>),
    of_warpgroup("wgmma_of_f16_transposed_a", check_wgmma<WgmmaOfF16, 64, true, false>),
    of_warpgroup("wgmma_of_f16_transposed_b", check_wgmma<WgmmaOfF16, 24, false, true>),
    of_warpgroup("wgmma_of_bf16", check_wgmma<WgmmaOfBf16, 8, false, false>),
    of_warpgroup("wgmma_of_bf16_transposed", check_wgmma<WgmmaOfBf16, 128, true, true>),
    of_warpgroup("wgmma_of_tf32", wgmma_of_tf32<256>),
    of_warpgroup("wgmma_of_tf32_in_24_columns", wgmma_of_tf32<24>),
    of_warpgroup("wgmma_of_tf32_in_shared_memory", wgmma_of_tf32_in_shared_memory<128>),
    of_warpgroup("wgmma_cuts_operands_to_tf32", wgmma_cuts_operands_to_tf32),
    of_warpgroup("wgmma_of_registers_without_a_fence", wgmma_of_registers_without_a_fence),
    of_warpgroup("write_a_while_a_wgmma_has_it", write_a_while_a_wgmma_has_it),
    {"load_rounds_to_tf32", load_rounds_to_tf32, 32, 1, sizeof(FloatStorage)},
    {"refill_what_was_read", refill_what_was_read<true>, 32, 1, sizeof(FloatStorage)},
    {"refill_what_was_read_without_a_fence", refill_what_was_read<false>, 32, 1,
     sizeof(FloatStorage)},
    {"setmaxnreg_in_one_warp", setmaxnreg_in_one_warp, 128},
    {"registers_for_all", registers_for_all, 384},
    {"more_registers_than_there_are", more_registers_than_there_are, 384},
    of_two_blocks("multicast_ring", multicast_ring, 64),
    of_two_blocks("ranks_follow_blocks", ranks_follow_blocks),
    of_two_blocks("exited_threads_leave_the_cluster", exited_threads_leave_the_cluster),
    of_two_blocks("arrive_at_the_cluster_twice", arrive_at_the_cluster_twice),
    of_two_blocks("wait_for_the_cluster_alone", wait_for_the_cluster_alone),
    of_two_blocks("exit_without_waiting_for_the_cluster", exit_without_waiting_for_the_cluster),
    of_two_blocks("one_thread_skips_the_cluster_barrier", one_thread_skips_the_cluster_barrier),
    of_two_blocks("arrive_beyond_the_cluster", arrive_beyond_the_cluster),
    of_two_blocks("arrive_at_an_exited_block", arrive_at_an_exited_block),
    of_two_blocks("arrive_at_an_unpublished_barrier", arrive_at_an_unpublished_barrier),
    of_two_blocks("multicast_to_nobody", multicast_to_nobody),
    of_two_blocks("multicast_beyond_the_cluster", multicast_beyond_the_cluster),
    of_two_blocks("multicast_to_an_exited_block", multicast_to_an_exited_block),
    of_two_blocks("load_with_a_made_up_policy", load_with_a_made_up_policy),
    of_two_blocks("announce_too_many_bytes", announce_too_many_bytes),
    of_two_blocks("load_overlapping_rows", load_overlapping_rows),
    of_two_blocks("prefetch_a_map", prefetch_a_map),
    of_two_blocks("use_a_misaligned_map", use_a_misaligned_map),
    of_two_blocks("use_a_map_in_shared_memory", use_a_map_in_shared_memory),
    of_two_blocks("use_a_map_that_was_never_encoded", use_a_map_that_was_never_encoded),
    {"race_without_consequence", race_without_consequence, 32},
    {"launch_of_33_threads", copy_rows, 33},
    {"launch_of_no_block", copy_rows, 32, 0},
    {"launch_with_too_much_shared", copy_rows, 32, 1, 228 * 1024},
    {"launch_of_half_a_cluster", copy_rows, 32, 3, sizeof(BehaviourStorage), 2},
    {"launch_of_a_cluster_of_9", copy_rows, 32, 9, sizeof(BehaviourStorage), 9},
};

// What behaviours read and write: floats, with rows that leave gaps.
class Buffers {
 public:
  Buffers() {
    for (size_t i = 0; i < sizeof input_ / sizeof(float); ++i) input_[i] = static_cast<float>(i);
    for (size_t i = 0; i < std::size(numbers_); ++i) numbers_[i] = static_cast<uint16_t>(i);
    for (auto& row : floats_) {
      for (int i = 0; i < 32; ++i) row[i] = 1 + static_cast<float>(i) * 0x1p-12f;
    }
  }

  BehaviourParams params() {
    BehaviourParams params{};
    params.input = input_;
    params.output = output_;
    params.workspace = workspace_;
    encode(params.map, rows_, {18, 2, 1}, {48, 96}, {24, 2, 1});
    encode(params.boxes, numbers_, {64, 16, 4}, {128, 2048}, {64, 8, 1});
    encode(params.windows, numbers_, {64, 16, 4}, {16, 32}, {64, 8, 1});
    encode(params.floats, floats_, {32, 2, 1}, {128, 256}, {32, 2, 1},
           CU_TENSOR_MAP_DATA_TYPE_FLOAT32);
    encode(params.floats_to_round, floats_, {32, 2, 1}, {128, 256}, {32, 2, 1},
           CU_TENSOR_MAP_DATA_TYPE_TFLOAT32);
    return params;
  }

  std::vector<emulator::TensorView> views() {
    using emulator::BufferRole;
    return {
        {"input", BufferRole::kInput, input_, 4, {1, 8, 4}, {0, 6, 1}},
        // Another view of the same memory, and one that repeats a row: both are legal.
        {"alias", BufferRole::kInput, input_, 4, {1, 4, 4}, {0, 12, 1}},
        {"expanded", BufferRole::kInput, input_, 4, {5, 3, 4}, {0, 0, 1}},
        {"empty", BufferRole::kInput, nullptr, 4, {1, 0, 4}, {0, 6, 1}},
        {"output", BufferRole::kOutput, output_, 4, {1, 8, 4}, {0, 6, 1}},
        {"workspace", BufferRole::kWorkspace, workspace_, 4, {1, 1, 32}, {0, 0, 1}},
        {"rows_of_18", BufferRole::kWorkspace, rows_, 2, {1, 2, 18}, {0, 24, 1}},
        {"numbers", BufferRole::kInput, numbers_, 2, {4, 16, 64}, {1024, 64, 1}},
        {"floats", BufferRole::kInput, floats_, 4, {1, 2, 32}, {0, 32, 1}},
    };
  }

 private:
  static void encode(CUtensorMap& map, void* data, const cuuint64_t (&extents)[3],
                     const cuuint64_t (&strides)[2], const cuuint32_t (&box)[3],
                     CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16) {
    const cuuint32_t element_strides[] = {1, 1, 1};
    cuTensorMapEncodeTiled(&map, type, 3, data, extents, strides, box, element_strides,
                           CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                           CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }

  // Apart, so that what runs past the end of one does not end up in another.
  alignas(512) float input_[8 * 6];
  alignas(512) float output_[8 * 6];
  alignas(512) float workspace_[32];
  alignas(512) uint16_t rows_[2 * 24];
  alignas(512) uint16_t numbers_[4 * 16 * 64];
  alignas(512) float floats_[2][32];
};

}  // namespace
}  // namespace per_step_dense::example

const char* emulator_behaviour_name(int index) {
  using per_step_dense::example::kBehaviours;
  const int count = static_cast<int>(std::size(kBehaviours));
  return index < count ? kBehaviours[index].name : nullptr;
}

void emulator_behaviour(const char* name, size_t schedule, emulator::Report* report) {
  using namespace per_step_dense::example;
  for (const Behaviour& behaviour : kBehaviours) {
    if (std::strcmp(behaviour.name, name) != 0) continue;
    Buffers buffers;
    emulator::run_in_session(emulator::schedule_at(schedule), buffers.views(), *report, [&] {
      const per_step_dense::LaunchShape shape{behaviour.blocks, behaviour.threads,
                                              behaviour.smem_bytes, behaviour.cluster};
      return per_step_dense::launch(behaviour.kernel, shape, buffers.params(), nullptr);
    });
  }
}
