#include <cstring>
#include <iterator>
#include <vector>

#include "bridge.h"
#include "kernels/behaviours.cuh"
#include "kernels/launch.cuh"
#include "kernels/matrix_behaviours.cuh"

namespace per_step_dense::example {
namespace {

using Kernel = void (*)(BehaviourParams);

struct Behaviour {
  const char* name;
  Kernel kernel;
  unsigned threads;
  unsigned blocks = 1;
  size_t smem_bytes = sizeof(BehaviourStorage);
};

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
    {"setmaxnreg_in_one_warp", setmaxnreg_in_one_warp, 128},
    {"race_without_consequence", race_without_consequence, 32},
    {"launch_of_33_threads", copy_rows, 33},
    {"launch_of_no_block", copy_rows, 32, 0},
    {"launch_with_too_much_shared", copy_rows, 32, 1, 228 * 1024},
};

// What behaviours read and write: floats, with rows that leave gaps.
class Buffers {
 public:
  Buffers() {
    for (size_t i = 0; i < sizeof input_ / sizeof(float); ++i) input_[i] = static_cast<float>(i);
  }

  BehaviourParams params() {
    BehaviourParams params{};
    params.input = input_;
    params.output = output_;
    params.workspace = workspace_;
    encode_rows_of_18(params.map);
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
    };
  }

 private:
  // bfloat16, 36 bytes in rows that are 48 bytes apart.
  void encode_rows_of_18(CUtensorMap& map) {
    const cuuint64_t extents[] = {18, 2, 1};
    const cuuint64_t strides[] = {48, 96};
    const cuuint32_t box[] = {24, 2, 1};
    const cuuint32_t element_strides[] = {1, 1, 1};
    cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, rows_, extents, strides, box,
                           element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
                           CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                           CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }

  // Apart, so that what runs past the end of one does not end up in another.
  alignas(512) float input_[8 * 6];
  alignas(512) float output_[8 * 6];
  alignas(512) float workspace_[32];
  alignas(512) uint16_t rows_[2 * 24];
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
                                              behaviour.smem_bytes};
      return per_step_dense::launch(behaviour.kernel, shape, buffers.params(), nullptr);
    });
  }
}
