// Lists of the compile-time values of tiles: what is instantiated, chosen from, and named in
// errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace per_step_dense {

template <class... Types>
struct TypeList {};

template <class... Types>
constexpr int length(TypeList<Types...>) {
  return sizeof...(Types);
}

template <class Type, class... Types>
constexpr bool is_among(TypeList<Types...>) {
  return (std::is_same_v<Type, Types> || ...);
}

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
