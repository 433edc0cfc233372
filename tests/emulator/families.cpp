#include "families.h"

#include <cstdio>
#include <string>

#include "choose_kernel_cuda.h"
#include "kernels/simt/simt.h"
#include "kernels/simt/tiles.h"
#include "kernels/sm80/sm80.h"
#include "kernels/sm80/tiles.h"
#include "kernels/sm90/sm90.h"
#include "kernels/sm90/tensor_map.h"
#include "kernels/sm90/tiles.h"
#include "kernels/tiny/tiles.h"
#include "kernels/tiny/tiny.h"

namespace emulator {
namespace {

namespace simt = per_step_dense::simt;
namespace sm80 = per_step_dense::sm80;
namespace sm90 = per_step_dense::sm90;
namespace tiny = per_step_dense::tiny;

// False where the architecture is not known.
bool find_architecture(const KernelRequest& request, per_step_dense::Architecture& architecture) {
  const std::string name = "sm_" + std::to_string(request.architecture);
  if (!per_step_dense::find_architecture(name, architecture)) return false;
  if (request.sms > 0) architecture.sms = request.sms;
  // As csrc/device_cuda.cpp asks the driver.
  architecture.sm90 = per_step_dense::sm90_support(architecture.capability, "8.0+PTX;9.0a",
                                                   sm90::can_encode_tensor_maps());
  return true;
}

template <class Problem>
std::string reason_against(const Problem& problem, const KernelRequest& request) {
  per_step_dense::Architecture architecture;
  if (!find_architecture(request, architecture)) return "the architecture is not known";
  return per_step_dense::why_not(problem, request.family, architecture);
}

template <class Problem>
Choice choose_for(const Problem& problem, const KernelRequest& request) {
  per_step_dense::Architecture architecture;
  if (!find_architecture(request, architecture)) return {};
  const per_step_dense::Constraint constraint{
      request.family, request.tile, {request.splits[0], request.splits[1]}};
  return per_step_dense::choose_kernel_on_device(problem, architecture, constraint).choice;
}

TileFacts facts_of(const simt::TileInfo& info, int32_t element_bytes) {
  TileFacts facts{};
  facts.block_m = facts.weight_m = info.block_m;
  facts.block_n = facts.weight_n = info.block_n;
  facts.block_k = simt::kBlockKBytes / element_bytes;
  facts.threads = info.threads;
  facts.blocks_per_sm = info.blocks_per_sm;
  return facts;
}

TileFacts facts_of(const tiny::TileInfo& info) {
  TileFacts facts{};
  facts.block_m = facts.weight_m = info.rows;
  facts.block_n = facts.weight_n = info.columns;
  facts.block_k = info.chunk;
  facts.threads = info.threads;
  facts.blocks_per_sm = info.blocks_per_sm;
  return facts;
}

TileFacts facts_of(const sm80::TileInfo& info, int32_t element_bytes) {
  TileFacts facts{};
  facts.block_m = info.rows.block_m;
  facts.block_n = info.rows.block_n;
  facts.block_k = sm80::kBlockKBytes / element_bytes;
  facts.weight_m = info.grad_weight.block_m;
  facts.weight_n = info.grad_weight.block_n;
  facts.threads = info.threads;
  facts.blocks_per_sm = info.blocks_per_sm;
  return facts;
}

TileFacts facts_of(const sm90::TileInfo& info) {
  TileFacts facts{};
  facts.block_m = facts.weight_m = info.block_m;
  facts.block_n = facts.weight_n = info.block_n;
  facts.block_k = info.block_k;
  facts.threads = info.threads;
  facts.blocks_per_sm = 1;
  facts.cluster = info.cluster;
  facts.stages = info.stages;
  return facts;
}

bool has_tiles(KernelFamily family, DType dtype) {
  switch (family) {
    case KernelFamily::kSimt:
    case KernelFamily::kTiny:
      return true;
    case KernelFamily::kSm80:
      return sm80::takes(dtype);
    case KernelFamily::kSm90:
      return sm90::takes(dtype);
    default:
      return false;
  }
}

}  // namespace

Choice choose(const ForwardProblem& problem, const KernelRequest& request) {
  return choose_for(problem, request);
}
Choice choose(const BackwardProblem& problem, const KernelRequest& request) {
  return choose_for(problem, request);
}

std::string why_not(const ForwardProblem& problem, const KernelRequest& request) {
  return reason_against(problem, request);
}
std::string why_not(const BackwardProblem& problem, const KernelRequest& request) {
  return reason_against(problem, request);
}

cudaError_t launch(const ForwardProblem& problem, const Choice& choice, void* workspace,
                   cudaStream_t stream) {
  switch (choice.family) {
    case KernelFamily::kSimt:
      return simt::forward(problem, choice, workspace, stream);
    case KernelFamily::kTiny:
      return tiny::forward(problem, choice, workspace, stream);
    case KernelFamily::kSm80:
      return sm80::forward(problem, choice, workspace, stream);
    case KernelFamily::kSm90:
      return sm90::forward(problem, choice, workspace, stream);
    default:
      return cudaErrorInvalidValue;
  }
}
cudaError_t launch(const BackwardProblem& problem, const Choice& choice, void* workspace,
                   cudaStream_t stream) {
  switch (choice.family) {
    case KernelFamily::kSimt:
      return simt::backward(problem, choice, workspace, stream);
    case KernelFamily::kTiny:
      return tiny::backward(problem, choice, workspace, stream);
    case KernelFamily::kSm80:
      return sm80::backward(problem, choice, workspace, stream);
    case KernelFamily::kSm90:
      return sm90::backward(problem, choice, workspace, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

bool tile_facts(KernelFamily family, DType dtype, int index, TileFacts& facts) {
  if (!has_tiles(family, dtype) || index >= per_step_dense::tile_count(family, dtype)) return false;
  const auto bytes = static_cast<int32_t>(per_step_dense::bytes_of(dtype));
  if (family == KernelFamily::kSimt) {
    facts = facts_of(simt::tile_info(index, dtype), bytes);
  } else if (family == KernelFamily::kTiny) {
    facts = facts_of(tiny::tile_info(index, dtype));
  } else if (family == KernelFamily::kSm90) {
    facts = facts_of(sm90::tile_info(index, dtype));
  } else {
    facts = facts_of(sm80::tile_info(index), bytes);
  }
  const std::string name = per_step_dense::tile_name(family, index, dtype);
  std::snprintf(facts.name, sizeof facts.name, "%s", name.c_str());
  return true;
}

}  // namespace emulator
