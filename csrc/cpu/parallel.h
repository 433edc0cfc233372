// at::parallel_for for a module that is not compiled with OpenMP.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/ops/empty.h>

namespace per_step_dense::cpu {

// Runs function(begin, end) over parts of [0, tasks), on the threads that torch.set_num_threads
// allows; on this one alone where it is one of a parallel region's.
//
// at::parallel_for is inline, and parallel only where the flags of its caller are those of torch's
// build (OpenMP of the right library, or none). TensorIterator::for_each is the same inside torch.
template <class Function>
void run_in_parallel(int64_t tasks, const Function& function) {
  if (tasks <= 1 || at::get_num_threads() == 1 || at::in_parallel_region()) {
    return function(0, tasks);
  }
  const at::Tensor bytes = at::empty({tasks}, at::kByte);  // a byte a task, never touched
  const auto* const first = static_cast<const char*>(bytes.const_data_ptr());
  auto iterator = at::TensorIterator::borrowing_nullary_op(bytes);
  iterator.for_each(
      [&](char** data, const int64_t* /*strides*/, int64_t size0, int64_t size1) {
        const int64_t begin = data[0] - first;
        function(begin, begin + size0 * size1);  // they are one dimension of neighbours
      },
      /*grain_size=*/1);
}

// The same of tasks that move so many bytes in all: few are not worth waking a thread for.
template <class Function>
void move_in_parallel(int64_t tasks, int64_t bytes, const Function& function) {
  constexpr int64_t kLeastBytesToShare = 1 << 17;
  bytes < kLeastBytesToShare ? function(0, tasks) : run_in_parallel(tasks, function);
}

}  // namespace per_step_dense::cpu
