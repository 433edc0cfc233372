// Lists of types.
#pragma once

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

}  // namespace per_step_dense
