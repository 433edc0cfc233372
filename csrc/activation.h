// The activations an epilogue can apply: one enum behind the schema's string.
#pragma once

#include <cstdint>

namespace per_step_dense {

enum class Activation : int32_t {
  kNone,
  kRelu,
  kGelu,      // exact, by erf
  kGeluTanh,  // the tanh approximation
  kSilu,
  kTanh,
  kSigmoid,
};

// Indexed by Activation: the names the ops' schemas take.
inline constexpr const char* kActivationNames[] = {"none", "relu", "gelu",   "gelu_tanh",
                                                   "silu", "tanh", "sigmoid"};

constexpr const char* name_of(Activation activation) {
  return kActivationNames[static_cast<int32_t>(activation)];
}

// Whether the derivative is a function of z alone. The others (relu, tanh, sigmoid) are
// differentiated from y, so that no pre-activation has to be kept for them.
constexpr bool differentiates_from_z(Activation activation) {
  return activation == Activation::kGelu || activation == Activation::kGeluTanh ||
         activation == Activation::kSilu;
}

}  // namespace per_step_dense
