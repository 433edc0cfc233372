#include "problem_text.h"

#include <initializer_list>
#include <sstream>

#include "choose_kernel.h"

namespace per_step_dense {
namespace {

struct NamedView {
  const char* name;
  const View3& view;
};

std::string text_of(std::initializer_list<NamedView> views) {
  std::ostringstream text;
  for (const auto& [name, view] : views) {
    if (!view.data) continue;
    text << (text.tellp() > 0 ? "; " : "") << name << ": address " << view.data << ", strides ("
         << view.stride[0] << ", " << view.stride[1] << ", " << view.stride[2] << ")";
  }
  return text.str();
}

template <class Problem>
std::string text_of(const char* pass, const Problem& problem, const Choice& choice,
                    const std::string& views) {
  std::ostringstream text;
  text << "the " << pass << " of B, T, I, O = " << problem.b << ", " << problem.t << ", "
       << problem.i << ", " << problem.o << " in " << name_of(problem.dtype) << " by "
       << name_of(choice.family) << " "
       << tile_name(choice.family, choice.tile, problem.dtype, kPassOf<Problem>) << " (" << views
       << ")";
  return text.str();
}

}  // namespace

std::string text_of(const ForwardProblem& p, const Choice& choice) {
  return text_of("forward", p, choice,
                 text_of({{"x", p.x}, {"weight", p.weight}, {"y", p.y}, {"z", p.z}}));
}

std::string text_of(const BackwardProblem& p, const Choice& choice) {
  return text_of(
      "backward", p, choice,
      text_of(
          {{"dz", p.dz}, {"x", p.x}, {"weight", p.weight}, {"dx", p.dx}, {"dweight", p.dweight}}));
}

}  // namespace per_step_dense
