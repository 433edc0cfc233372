#include "choose_kernel.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "cost_model.h"
#include "kernels/gemm.h"
#include "kernels/simt/plan.h"
#include "kernels/simt/tiles.h"
#include "kernels/sm80/plan.h"
#include "kernels/sm80/tiles.h"
#include "kernels/sm90/plan.h"
#include "kernels/sm90/tiles.h"
#include "kernels/tiny/plan.h"
#include "kernels/tiny/tiles.h"

namespace per_step_dense {
namespace {

// A sum is split where a product has fewer tiles than this many multiprocessors, whatever GPU it is
// (an H200's), and then between as many blocks as keep each of them busy. A split adds up at least
// kLeastTerms: below it, the launch that joins the parts costs more than is gained.
constexpr int64_t kSplitSms = 132, kBusyThreads = 256, kLeastTerms = 256;

struct TileSize {
  int m, n, threads;
};

// Column sums need a tile of rows even where there is no row.
int64_t tiles_of(const Gemm& gemm, const TileSize& tile) {
  if (!is_wanted(gemm)) return 0;
  return gemm.t * std::max<int64_t>(ceil_div(gemm.m, tile.m), 1) * ceil_div(gemm.n, tile.n);
}

// Where rows differ by step, so would the parts of sums.
bool is_splittable(const Gemm& gemm) {
  return is_wanted(gemm) && !gemm.m_ranges.begin && !gemm.k_ranges.begin;
}

int32_t splits_of(const Gemm& gemm, const TileSize& tile) {
  const int64_t tiles = tiles_of(gemm, tile);
  if (!is_splittable(gemm) || tiles == 0 || tiles >= kSplitSms) return 1;
  const int64_t blocks_a_sm = std::max<int64_t>(kBusyThreads / tile.threads, 1);
  const int64_t wanted = ceil_div(kSplitSms * blocks_a_sm, tiles);
  return static_cast<int32_t>(std::clamp<int64_t>(gemm.k / kLeastTerms, 1, wanted));
}

// Of a persistent grid, whose list has `terms` in all, tile by tile: as many as leave none of the
// product's sums longer than what each multiprocessor has to add up.
int32_t splits_of_list(const Gemm& gemm, int64_t terms) {
  if (!is_splittable(gemm) || terms == 0) return 1;
  const int64_t wanted = std::max<int64_t>(gemm.k * kSplitSms / terms, 1);
  return static_cast<int32_t>(std::clamp<int64_t>(gemm.k / kLeastTerms, 1, wanted));
}

void set_splits(Choice& choice, const ForwardProblem& problem, const TileSize& tile,
                const TileSize&) {
  choice.splits[kForward] = splits_of(forward_product(problem), tile);
}

void set_splits(Choice& choice, const BackwardProblem& problem, const TileSize& grad_input,
                const TileSize& grad_weight) {
  choice.splits[kGradInput] = splits_of(grad_input_product(problem), grad_input);
  choice.splits[kGradWeight] = splits_of(grad_weight_product(problem), grad_weight);
}

void set_splits_of_list(Choice& choice, const ForwardProblem& problem, const TileSize& tile) {
  const Gemm forward = forward_product(problem);
  choice.splits[kForward] = splits_of_list(forward, tiles_of(forward, tile) * forward.k);
}

void set_splits_of_list(Choice& choice, const BackwardProblem& problem, const TileSize& tile) {
  const Gemm input = grad_input_product(problem), weight = grad_weight_product(problem);
  const int64_t terms = tiles_of(input, tile) * input.k + tiles_of(weight, tile) * weight.k;
  choice.splits[kGradInput] = splits_of_list(input, terms);
  choice.splits[kGradWeight] = splits_of_list(weight, terms);
}

template <class Problem>
void set_splits(Choice& choice, const Problem& problem) {
  if (choice.family == KernelFamily::kSimt) {
    const simt::TileInfo tile = simt::tile_info(choice.tile, problem.dtype);
    const TileSize size{tile.block_m, tile.block_n, tile.threads};
    set_splits(choice, problem, size, size);
  } else if (choice.family == KernelFamily::kSm80) {
    const sm80::TileInfo tile = sm80::tile_info(choice.tile);
    set_splits(choice, problem, {tile.rows.block_m, tile.rows.block_n, tile.threads},
               {tile.grad_weight.block_m, tile.grad_weight.block_n, tile.threads});
  } else if (choice.family == KernelFamily::kSm90) {
    const sm90::TileInfo tile = sm90::tile_info(choice.tile, problem.dtype);
    set_splits_of_list(choice, problem, {tile.block_m, tile.block_n, tile.threads});
  } else if (choice.family == KernelFamily::kTiny) {
    tiny::set_splits(problem, choice);
  }
}

struct Candidate {
  Choice choice;
  Estimate estimate;
};

class Candidates {
 public:
  template <class Problem>
  Candidates(const Problem& problem, const Architecture& architecture,
             const Constraint& constraint) {
    const Estimator<Problem> estimator(problem, architecture);
    for (const KernelFamily family : kFamilies) {
      if (!admits(constraint, family, problem.dtype)) continue;
      if (!why_not(problem, family, architecture).empty()) continue;
      for (int tile = 0; tile < tile_count(family, problem.dtype); ++tile) {
        if (constraint.tile >= 0 && constraint.tile != tile) continue;
        if (!has_tile(problem, family, tile)) continue;
        add(problem, estimator, architecture, constraint, family, tile);
      }
    }
  }

  // Null where there is none.
  const Candidate* best() const {
    const Candidate* best = nullptr;
    for (const Candidate& candidate : *this) {
      if (!best || candidate.estimate < best->estimate) best = &candidate;
    }
    return best;
  }

  const Candidate* begin() const { return candidates_; }
  const Candidate* end() const { return candidates_ + count_; }

 private:
  // Not every tile takes rows that differ by step.
  template <class Problem>
  static bool has_tile(const Problem& problem, KernelFamily family, int tile) {
    return family != KernelFamily::kSm90 || sm90::has_tile(problem.dtype, problem.rows, tile);
  }

  static bool admits(const Constraint& constraint, KernelFamily family, DType dtype) {
    if (constraint.family == KernelFamily::kBatchInvariant) {
      return family == batch_invariant_family(dtype);
    }
    return constraint.family == KernelFamily::kAuto || constraint.family == family;
  }

  template <class Problem>
  void add(const Problem& problem, const Estimator<Problem>& estimator,
           const Architecture& architecture, const Constraint& constraint, KernelFamily family,
           int tile) {
    Choice choice;
    choice.family = family;
    choice.tile = tile;
    choice.sms = architecture.sms;
    set_splits(choice, problem);
    static_assert(kForward == kGradInput);  // neither is a sum over the batch
    if (constraint.family == KernelFamily::kBatchInvariant) choice.splits[kForward] = 1;
    for (int p = 0; p < kMaxProducts; ++p) {
      if (constraint.splits[p] > 0) choice.splits[p] = constraint.splits[p];
    }
    candidates_[count_++] = {choice, estimator.estimate(choice)};
  }

  static constexpr KernelFamily kFamilies[] = {KernelFamily::kTiny, KernelFamily::kSimt,
                                               KernelFamily::kSm80, KernelFamily::kSm90,
                                               KernelFamily::kAten};
  static constexpr int kMaxCandidates =
      tiny::kTileCount + simt::kTileCount + sm80::kTileCount + sm90::kMostTiles + 1;
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
double least_us(const Problem& problem, const Architecture& architecture) {
  const Candidates candidates(problem, architecture, {});
  const Candidate* best = candidates.best();
  return best ? best->estimate.us : std::numeric_limits<double>::infinity();
}

bool has_two_products(const BackwardProblem& problem) {
  return is_wanted(grad_input_product(problem)) && is_wanted(grad_weight_product(problem));
}

double least_us_apart(const BackwardProblem& problem, const Architecture& architecture) {
  const BackwardParts parts = parts_of(problem);
  return least_us(parts.grad_input, architecture) + least_us(parts.grad_weight, architecture);
}

template <class Problem>
LaunchPlan plan(const Problem& problem, const Choice& choice) {
  if (choice.family == KernelFamily::kSimt) return simt::plan(problem, choice);
  if (choice.family == KernelFamily::kTiny) return tiny::plan(problem, choice);
  if (choice.family == KernelFamily::kSm80) return sm80::plan(problem, choice);
  if (choice.family == KernelFamily::kSm90) return sm90::plan(problem, choice);
  return {};
}

template <class Problem>
std::string refusal(const Problem& problem, KernelFamily family, const Architecture& architecture) {
  if (family == KernelFamily::kSm80) return sm80::why_not(problem);
  if (family == KernelFamily::kSm90) {
    const std::string obstacle = why_no_sm90(architecture);
    return obstacle.empty() ? sm90::why_not(problem) : obstacle;
  }
  if (family == KernelFamily::kAten && problem.rows.begin)
    return "ATen needs every step to have all rows";
  return family == KernelFamily::kTiny ? tiny::why_not(problem) : "";
}

std::string in_words(double us) {
  char text[32];
  std::snprintf(text, sizeof text, us < 100 ? "%.1f us" : "%.0f us", us);
  return text;
}

std::string in_words(int rows, int columns) {
  return std::to_string(rows) + "x" + std::to_string(columns);
}

template <class Problem>
std::string in_words(const Candidate& candidate, const Problem& problem) {
  const auto& [choice, estimate] = candidate;
  const std::string tile = tile_name(choice.family, choice.tile, problem.dtype, kPassOf<Problem>);
  return std::string(name_of(choice.family)) + (tile.empty() ? "" : " ") + tile + " " +
         in_words(estimate.us);
}

// The chosen one first, then what it was preferred to, then who could not take part.
template <class Problem>
std::string reason(const Problem& problem, const Architecture& architecture,
                   const Constraint& constraint) {
  const Candidates candidates(problem, architecture, constraint);
  const Candidate* best = candidates.best();
  std::string text;
  if (best) {
    text = "estimated: " + in_words(*best, problem);
    for (const Candidate& candidate : candidates) {
      if (&candidate != best) text += ", " + in_words(candidate, problem);
    }
  }
  for (const KernelFamily family :
       {KernelFamily::kTiny, KernelFamily::kSimt, KernelFamily::kSm80, KernelFamily::kSm90}) {
    const std::string refusal = why_not(problem, family, architecture);
    if (refusal.empty()) continue;
    // Some sentences are about the problem alone.
    const std::string name = name_of(family);
    const bool is_named = refusal.compare(0, name.size(), name) == 0;
    text += (text.empty() ? "" : "; ") + (is_named ? "" : name + ": ") + refusal;
  }
  if (constraint.family != KernelFamily::kAuto) {
    text += std::string("; ") + name_of(constraint.family) + " was asked for";
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

bool is_faster_apart(const BackwardProblem& problem, const Architecture& architecture) {
  // Estimates are not to be trusted under 10 %, and two launches need the workspace of either.
  constexpr double kClearly = 0.9;
  return has_two_products(problem) &&
         least_us_apart(problem, architecture) < kClearly * least_us(problem, architecture);
}

std::string why_not(const ForwardProblem& problem, KernelFamily family,
                    const Architecture& architecture) {
  return refusal(problem, family, architecture);
}

std::string why_not(const BackwardProblem& problem, KernelFamily family,
                    const Architecture& architecture) {
  return refusal(problem, family, architecture);
}

std::string reason_for_choice(const ForwardProblem& problem, const Architecture& architecture,
                              const Constraint& constraint) {
  return reason(problem, architecture, constraint);
}

std::string reason_for_choice(const BackwardProblem& problem, const Architecture& architecture,
                              const Constraint& constraint) {
  const std::string told = reason(problem, architecture, constraint);
  if (!has_two_products(problem) || constraint.family != KernelFamily::kAuto) return told;
  return told + "; a launch for each product: " + in_words(least_us_apart(problem, architecture));
}

int tile_count(KernelFamily family, DType dtype) {
  if (family == KernelFamily::kSimt) return simt::kTileCount;
  if (family == KernelFamily::kTiny) return tiny::kTileCount;
  if (family == KernelFamily::kSm80) return sm80::kTileCount;
  if (family == KernelFamily::kSm90) return sm90::tile_count(dtype);
  return 1;
}

int stages_of(KernelFamily family, int tile, DType dtype) {
  if (family == KernelFamily::kSimt) return simt::tile_info(tile, dtype).stages;
  if (family == KernelFamily::kSm80) return sm80::tile_info(tile).rows.stages;
  if (family == KernelFamily::kSm90) return sm90::tile_info(tile, dtype).stages;
  return 0;
}

std::string tile_name(KernelFamily family, int tile, DType dtype, Pass pass) {
  switch (family) {
    case KernelFamily::kTiny: {
      const tiny::TileInfo info = tiny::tile_info(tile, dtype);
      return in_words(info.rows, info.columns) + (info.sliced ? " sliced" : "");
    }
    case KernelFamily::kSimt: {
      const simt::TileInfo info = simt::tile_info(tile, dtype);
      return in_words(info.block_m, info.block_n);
    }
    case KernelFamily::kSm80: {
      const auto [rows, grad_weight, threads, blocks_per_sm] = sm80::tile_info(tile);
      const std::string name = in_words(rows.block_m, rows.block_n);
      const std::string second = in_words(grad_weight.block_m, grad_weight.block_n);
      return pass == Pass::kForward || name == second ? name : name + "+" + second;
    }
    case KernelFamily::kSm90: {
      const sm90::TileInfo info = sm90::tile_info(tile, dtype);
      const std::string name = in_words(info.block_m, info.block_n);
      return info.cluster > 1 ? std::to_string(info.cluster) + "x" + name : name;
    }
    default:
      return "";
  }
}

LaunchPlan plan_of(const ForwardProblem& problem, const Choice& choice) {
  return plan(problem, choice);
}

LaunchPlan plan_of(const BackwardProblem& problem, const Choice& choice) {
  return plan(problem, choice);
}

}  // namespace per_step_dense
