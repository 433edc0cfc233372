#include "cpu/products.h"

#include <ATen/Version.h>
#include <c10/core/CPUAllocator.h>

#include "cpu/parallel.h"

namespace per_step_dense::cpu {
namespace {

// Less is not worth waking a thread for, in multiply-adds.
constexpr double kLeastWorkToShare = 1 << 17;

constexpr int64_t kTasksAThread = 4;

const Kernels* find_kernels() {
#if defined(__x86_64__)
  const std::string vectors = at::get_cpu_capability();
  if (vectors == "AVX2" || vectors == "AVX512") return &kAvx2Kernels;
#endif
  return nullptr;
}

const Kernels& kernels() { return *kernels_or_null(); }

int64_t threads_to_use() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

// `size` in at most `parts`, of a multiple of `granule`.
int64_t size_of_part(int64_t size, int64_t granule, int64_t parts) {
  const int64_t granules = std::max<int64_t>(divide_up(size, granule), 1);
  return divide_up(granules, std::min(parts, granules)) * granule;
}

// One task a step keeps most in the cache; there are more where steps are too few for the threads.
// What follows from that for the bits is nothing: an element is the same sum in every part.
void cut_for_the_threads(Products& products, int64_t steps) {
  const int64_t threads = threads_to_use();
  const int64_t wanted =
      threads == 1 ? 1 : divide_up(kTasksAThread * threads, std::max<int64_t>(steps, 1));
  if (wanted == 1 || products.tasks_a_step() == 0) return;
  products.rows = size_of_part(products.first.m, 4 * kernels().rows, wanted);
  const int64_t wanted_in_a_row = divide_up(wanted, products.row_parts());
  products.columns = size_of_part(products.first.n, 4 * kernels().columns, wanted_in_a_row);
}

// A thread takes neighbours, of which the first have the most rows: so they are dealt out.
std::vector<Products> dealt_out(const std::vector<Products>& all, int64_t threads) {
  std::vector<Products> dealt;
  dealt.reserve(all.size());
  for (int64_t hand = 0; hand < threads; ++hand) {
    for (size_t n = size_t(hand); n < all.size(); n += size_t(threads)) dealt.push_back(all[n]);
  }
  return dealt;
}

}  // namespace

const Kernels* kernels_or_null() {
  static const Kernels* const found = find_kernels();
  return found;
}

bool has_torchs_vectors() {
  static const bool has = at::get_cpu_capability() == "AVX2";
  return has;
}

int64_t Products::workspace_bytes() const {
  return kernels().workspace_bytes(std::min(rows, first.m), std::min(columns, first.n),
                                   std::min(terms, first.k));
}

void Products::compute(int64_t step, int64_t task, void* workspace) const {
  const int64_t row = task % row_parts() * rows, sum = task / row_parts() % parts_of_sum,
                column = task / row_parts() / parts_of_sum * columns;
  Product part = first;
  part.m = std::min(rows, part.m - row);
  part.n = std::min(columns, part.n - column);
  part.k = std::min(terms, part.k - sum * terms);
  if (part.k > 0) {  // else there may be no memory
    part.a += step * a_step + row * part.a_row + sum * terms * part.a_col;
    part.b += step * b_step + sum * terms * part.b_row + column * part.b_col;
  }
  const int64_t to = step * c_step + sum * c_part + row * part.c_row + column;
  part.c += to;
  if (part.activated) part.activated += to;
  if (part.bias) part.bias += step * bias_step + column * part.bias_stride;
  if (part.column_sums && row == 0) {
    part.column_sums += step * first.n + sum * sums_part + column;
  } else {  // all rows of parts would find the same
    part.column_sums = nullptr;
  }
  kernels().multiply(part, workspace);
}

void compute(int64_t steps, c10::SmallVector<Products, 2> all) {
  int64_t tasks_a_step = 0, bytes = 0;
  double work = 0;
  for (Products& products : all) {
    work += double(steps) * products.multiply_adds();
    cut_for_the_threads(products, steps);
    tasks_a_step += products.tasks_a_step();
    bytes = std::max(bytes, products.workspace_bytes());
  }
  const auto run = [&](int64_t begin, int64_t end) {
    const auto workspace = c10::GetCPUAllocator()->allocate(bytes);
    for (; begin < end; ++begin) {
      int64_t task = begin % tasks_a_step;
      const Products* products = all.data();
      for (; task >= products->tasks_a_step(); ++products) task -= products->tasks_a_step();
      products->compute(begin / tasks_a_step, task, workspace.get());
    }
  };
  const int64_t tasks = steps * tasks_a_step;
  work < kLeastWorkToShare ? run(0, tasks) : run_in_parallel(tasks, run);
}

void compute_each(std::vector<Products> all) {
  int64_t bytes = 0;
  double work = 0;
  for (const Products& products : all) work += products.multiply_adds();
  const bool is_shared = work >= kLeastWorkToShare && threads_to_use() > 1;
  if (is_shared) all = dealt_out(all, threads_to_use());
  std::vector<int64_t> first_task{0};
  for (Products& products : all) {
    if (is_shared) cut_for_the_threads(products, int64_t(all.size()));
    first_task.push_back(first_task.back() + products.tasks_a_step());
    bytes = std::max(bytes, products.workspace_bytes());
  }
  const auto run = [&](int64_t begin, int64_t end) {
    const auto workspace = c10::GetCPUAllocator()->allocate(bytes);
    auto next = std::upper_bound(first_task.begin(), first_task.end(), begin);
    for (; begin < end; ++begin) {
      while (*next <= begin) ++next;
      const auto n = size_t(next - first_task.begin()) - 1;
      all[n].compute(/*step=*/0, begin - first_task[n], workspace.get());
    }
  };
  is_shared ? run_in_parallel(first_task.back(), run) : run(0, first_task.back());
}

}  // namespace per_step_dense::cpu
