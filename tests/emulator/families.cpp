#include "families.h"

#include <cstdio>
#include <string>

#include "choose_kernel.h"
#include "kernels/simt/simt.h"
#include "kernels/simt/tiles.h"
#include "kernels/tiny/tiles.h"
#include "kernels/tiny/tiny.h"

namespace emulator {
namespace {

namespace simt = per_step_dense::simt;
namespace tiny = per_step_dense::tiny;

template <class Problem>
Choice choose_for(const Problem& problem, const KernelRequest& request) {
  char name[16];
  std::snprintf(name, sizeof name, "sm_%d", request.architecture);
  per_step_dense::Architecture architecture;
  if (!per_step_dense::find_architecture(name, architecture)) return {};
  const per_step_dense::Constraint constraint{
      request.family, request.tile, {request.splits[0], request.splits[1]}};
  return per_step_dense::choose_kernel(problem, architecture, constraint);
}

}  // namespace

Choice choose(const ForwardProblem& problem, const KernelRequest& request) {
  return choose_for(problem, request);
}
Choice choose(const BackwardProblem& problem, const KernelRequest& request) {
  return choose_for(problem, request);
}

cudaError_t launch(const ForwardProblem& problem, const Choice& choice, void* workspace,
                   cudaStream_t stream) {
  return choice.family == KernelFamily::kTiny ? tiny::forward(problem, choice, workspace, stream)
                                              : simt::forward(problem, choice, workspace, stream);
}
cudaError_t launch(const BackwardProblem& problem, const Choice& choice, void* workspace,
                   cudaStream_t stream) {
  return choice.family == KernelFamily::kTiny ? tiny::backward(problem, choice, workspace, stream)
                                              : simt::backward(problem, choice, workspace, stream);
}

bool tile_facts(KernelFamily family, DType dtype, int index, TileFacts& facts) {
  const bool is_ours = family == KernelFamily::kSimt || family == KernelFamily::kTiny;
  if (!is_ours || index >= per_step_dense::tile_count(family)) return false;
  const auto bytes = static_cast<int32_t>(per_step_dense::bytes_of(dtype));
  if (family == KernelFamily::kSimt) {
    const simt::TileInfo info = simt::tile_info(index, dtype);
    const int32_t block_k = simt::kBlockKBytes / bytes;
    facts = {info.block_m, info.block_n, block_k, info.threads, info.blocks_per_sm, ""};
  } else {
    const tiny::TileInfo info = tiny::tile_info(index, dtype);
    facts = {info.rows, info.columns, info.chunk, info.threads, info.blocks_per_sm, ""};
  }
  const std::string name = per_step_dense::tile_name(family, index, dtype);
  std::snprintf(facts.name, sizeof facts.name, "%s", name.c_str());
  return true;
}

}  // namespace emulator
