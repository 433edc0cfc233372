// From the index of a tile to its compile-time values: what is instantiated, chosen from, and named
// in errors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/type_list.h"

namespace per_step_dense {

// Calls visit(Type{}) for the type at `index`; false where the list has no such index.
template <class First, class... Rest, class Visit>
bool visit_type_at(TypeList<First, Rest...>, int index, Visit&& visit) {
  if (index == 0) {
    visit(First{});
    return true;
  }
  if constexpr (sizeof...(Rest) > 0) {
    return visit_type_at(TypeList<Rest...>{}, index - 1, visit);
  } else {
    return false;
  }
}

}  // namespace per_step_dense
