// The type that a product's outputs are stored in.
#pragma once

#include <type_traits>

#include "kernels/scalar.cuh"
#include "kernels/tiled/tiled_gemm.h"

namespace per_step_dense::tiled {

// Calls visit(TypeTag<Out>{}): the accumulators' type or the operands', where those differ.
template <class Config, class Visit>
__device__ __forceinline__ void visit_stored_type(const TiledGemm& tiled, Visit&& visit) {
  using Accum = typename Config::Accum;
  using Scalar = typename Config::Scalar;
  if constexpr (!std::is_same_v<Accum, Scalar>) {
    if (tiled.stores_accum) return visit(TypeTag<Accum>{});
  }
  visit(TypeTag<Scalar>{});
}

}  // namespace per_step_dense::tiled
