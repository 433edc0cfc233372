#include "choose_kernel.h"

#include <algorithm>
#include <cstdio>

#include "cost_model.h"
#include "kernels/gemm.h"
#include "kernels/simt/plan.h"
#include "kernels/simt/tiles.h"
#include "kernels/tiny/plan.h"
#include "kernels/tiny/tiles.h"

namespace per_step_dense {
namespace {

// A sum is split where a product has fewer tiles than this many multiprocessors, whatever GPU it is
// (an H200's), and then between as many blocks as keep each of them busy. A split adds up at least
// kLeastTerms: below it, the launch that joins the parts costs more than is gained.
constexpr int64_t kSplitSms = 132, kBusyThreads = 256, kLeastTerms = 256;

// Column sums need a tile of rows even where there is no row.
int32_t simt_splits(const Gemm& gemm, const simt::TileInfo& tile) {
  if (!is_wanted(gemm)) return 1;
  const int64_t tiles = gemm.t * std::max<int64_t>(ceil_div(gemm.m, tile.block_m), 1) *
                        ceil_div(gemm.n, tile.block_n);
  if (tiles == 0 || tiles >= kSplitSms) return 1;
  const int64_t blocks_a_sm = std::max<int64_t>(kBusyThreads / tile.threads, 1);
  const int64_t wanted = ceil_div(kSplitSms * blocks_a_sm, tiles);
  return static_cast<int32_t>(std::clamp<int64_t>(gemm.k / kLeastTerms, 1, wanted));
}

void set_simt_splits(Choice& choice, const ForwardProblem& problem) {
  choice.splits[kForward] =
      simt_splits(forward_product(problem), simt::tile_info(choice.tile, problem.dtype));
}

void set_simt_splits(Choice& choice, const BackwardProblem& problem) {
  const simt::TileInfo tile = simt::tile_info(choice.tile, problem.dtype);
  choice.splits[kGradInput] = simt_splits(grad_input_product(problem), tile);
  choice.splits[kGradWeight] = simt_splits(grad_weight_product(problem), tile);
}

struct Candidate {
  Choice choice;
  double us;
};

class Candidates {
 public:
  template <class Problem>
  Candidates(const Problem& problem, const Architecture& architecture,
             const Constraint& constraint) {
    for (const KernelFamily family :
         {KernelFamily::kTiny, KernelFamily::kSimt, KernelFamily::kAten}) {
      if (!admits(constraint, family, problem.dtype)) continue;
      for (int tile = 0; tile < tile_count(family); ++tile) {
        if (constraint.tile >= 0 && constraint.tile != tile) continue;
        add(problem, architecture, constraint, family, tile);
      }
    }
  }

  // Null where there is none.
  const Candidate* best() const {
    const Candidate* best = nullptr;
    for (const Candidate& candidate : *this) {
      if (!best || candidate.us < best->us) best = &candidate;
    }
    return best;
  }

  const Candidate* begin() const { return candidates_; }
  const Candidate* end() const { return candidates_ + count_; }

 private:
  // Our FMA kernels cannot keep up with tensor cores: in what those compute, ATen is weighed.
  static bool admits(const Constraint& constraint, KernelFamily family, DType dtype) {
    if (constraint.family != KernelFamily::kAuto) return constraint.family == family;
    return family != KernelFamily::kAten || dtype != DType::kFloat32;
  }

  template <class Problem>
  void add(const Problem& problem, const Architecture& architecture, const Constraint& constraint,
           KernelFamily family, int tile) {
    if (!why_not(problem, family).empty()) return;
    Choice choice;
    choice.family = family;
    choice.tile = tile;
    if (family == KernelFamily::kSimt) set_simt_splits(choice, problem);
    if (family == KernelFamily::kTiny) tiny::set_splits(problem, choice);
    for (int p = 0; p < kMaxProducts; ++p) {
      if (constraint.splits[p] > 0) choice.splits[p] = constraint.splits[p];
    }
    candidates_[count_++] = {choice, estimate_us(problem, choice, architecture)};
  }

  static constexpr int kMaxCandidates = 16;
  Candidate candidates_[kMaxCandidates];
  int count_ = 0;
};

template <class Problem>
Choice choose(const Problem& problem, const Architecture& architecture,
              const Constraint& constraint) {
  const Candidates candidates(problem, architecture, constraint);
  const Candidate* best = candidates.best();
  return best ? best->choice : Choice{};
}

template <class Problem>
LaunchPlan plan(const Problem& problem, const Choice& choice) {
  if (choice.family == KernelFamily::kSimt) return simt::plan(problem, choice);
  if (choice.family == KernelFamily::kTiny) return tiny::plan(problem, choice);
  return {};
}

std::string in_words(double us) {
  char text[32];
  std::snprintf(text, sizeof text, us < 100 ? "%.1f us" : "%.0f us", us);
  return text;
}

std::string in_words(int rows, int columns) {
  return std::to_string(rows) + "x" + std::to_string(columns);
}

std::string in_words(const Candidate& candidate, DType dtype) {
  const auto& [choice, us] = candidate;
  const std::string tile = tile_name(choice.family, choice.tile, dtype);
  return std::string(name_of(choice.family)) + (tile.empty() ? "" : " ") + tile + " " +
         in_words(us);
}

// The chosen one first, then what it was preferred to, then who could not take part.
template <class Problem>
std::string reason(const Problem& problem, const Architecture& architecture,
                   const Constraint& constraint) {
  const Candidates candidates(problem, architecture, constraint);
  const Candidate* best = candidates.best();
  std::string text;
  if (best) {
    text = "estimated: " + in_words(*best, problem.dtype);
    for (const Candidate& candidate : candidates) {
      if (&candidate != best) text += ", " + in_words(candidate, problem.dtype);
    }
  }
  for (const KernelFamily family : {KernelFamily::kTiny, KernelFamily::kSimt}) {
    const std::string refusal = why_not(problem, family);
    if (!refusal.empty()) text += (text.empty() ? "" : "; ") + refusal;
  }
  if (constraint.family != KernelFamily::kAuto) {
    text += std::string("; ") + name_of(constraint.family) + " was asked for";
  } else if (problem.dtype == DType::kFloat32) {
    text += "; aten: not weighed for float32, which has no tensor cores to gain";
  }
  return text;
}

}  // namespace

Choice choose_kernel(const ForwardProblem& problem, const Architecture& architecture,
                     const Constraint& constraint) {
  return choose(problem, architecture, constraint);
}

Choice choose_kernel(const BackwardProblem& problem, const Architecture& architecture,
                     const Constraint& constraint) {
  return choose(problem, architecture, constraint);
}

std::string why_not(const ForwardProblem& problem, KernelFamily family) {
  return family == KernelFamily::kTiny ? tiny::why_not(problem) : "";
}

std::string why_not(const BackwardProblem& problem, KernelFamily family) {
  return family == KernelFamily::kTiny ? tiny::why_not(problem) : "";
}

std::string reason_for_choice(const ForwardProblem& problem, const Architecture& architecture,
                              const Constraint& constraint) {
  return reason(problem, architecture, constraint);
}

std::string reason_for_choice(const BackwardProblem& problem, const Architecture& architecture,
                              const Constraint& constraint) {
  return reason(problem, architecture, constraint);
}

int tile_count(KernelFamily family) {
  if (family == KernelFamily::kSimt) return simt::kTileCount;
  if (family == KernelFamily::kTiny) return tiny::kTileCount;
  return 1;
}

std::string tile_name(KernelFamily family, int tile, DType dtype) {
  if (family == KernelFamily::kTiny) {
    const tiny::TileInfo info = tiny::tile_info(tile, dtype);
    return in_words(info.rows, info.columns) + (info.sliced ? " sliced" : "");
  }
  if (family != KernelFamily::kSimt) return "";
  const simt::TileInfo info = simt::tile_info(tile, dtype);
  return in_words(info.block_m, info.block_n);
}

LaunchPlan plan_of(const ForwardProblem& problem, const Choice& choice) {
  return plan(problem, choice);
}

LaunchPlan plan_of(const BackwardProblem& problem, const Choice& choice) {
  return plan(problem, choice);
}

}  // namespace per_step_dense
