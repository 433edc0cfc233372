// Shadows csrc/kernels/tile.h where a mutant's kernels are compiled: of a family's tiles only the
// one at EMULATOR_TILE, whose scenario runs no other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>

#include "kernels/type_list.h"

namespace per_step_dense {

template <class... Types, class Visit>
bool visit_type_at(TypeList<Types...>, int index, Visit&& visit) {
  if constexpr (EMULATOR_TILE < sizeof...(Types)) {
    if (index == EMULATOR_TILE) {
      visit(std::tuple_element_t<EMULATOR_TILE, std::tuple<Types...>>{});
      return true;
    }
  }
  return false;
}

}  // namespace per_step_dense
