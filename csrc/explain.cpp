#include "explain.h"

#include <ATen/TensorUtils.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <charconv>
#include <type_traits>

#include "activation.h"
#include "autocast.h"
#include "check.h"
#include "choose_kernel.h"
#include "cost_model.h"
#include "cpu/dense.h"
#include "forced_tile.h"
#include "kernel_in_force.h"
#include "problem_of.h"
#ifdef PSD_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>

#include "device_cuda.h"
#endif

namespace per_step_dense {
namespace {

using at::Tensor;

#ifdef PSD_WITH_CUDA
constexpr bool kHasKernels = true;
constexpr const char* kBuiltArchitectures = PSD_CUDA_ARCHITECTURES;
#else
constexpr bool kHasKernels = false;
constexpr const char* kBuiltArchitectures = "no GPU";
#endif

// ---- tensors without data -----------------------------------------------------------------------

// Where a tensor's elements would be, from the start of an aligned storage.
struct Layout {
  at::DimVector sizes, strides;
  int64_t offset_bytes;

  // No memory is read there, but null would say "absent".
  void* address() const { return reinterpret_cast<char*>(address_to_come()) + offset_bytes; }
};

at::DimVector as_ints(c10::SymIntArrayRef values) {
  at::DimVector ints;
  for (const c10::SymInt& value : values) ints.push_back(value.guard_int(__FILE__, __LINE__));
  return ints;
}

at::DimVector contiguous_strides(const at::DimVector& sizes) {
  at::DimVector strides(sizes.size(), 1);
  for (size_t d = sizes.size() - 1; d > 0; --d) {
    strides[d - 1] = strides[d] * std::max<int64_t>(sizes[d], 1);
  }
  return strides;
}

// A copy of other sizes or another dtype begins a storage of its own.
Layout copied(const at::DimVector& sizes) { return {sizes, contiguous_strides(sizes), 0}; }

// As autocast hands it on: what it casts is copied, in the same order where nothing overlaps.
Layout layout_of(const Tensor& tensor, DType dtype) {
  Layout layout{as_ints(tensor.sym_sizes()), as_ints(tensor.sym_strides()), 0};
  if (dtype_of(tensor) != dtype) {
    return tensor.is_non_overlapping_and_dense() ? layout : copied(layout.sizes);
  }
  layout.offset_bytes = tensor.sym_storage_offset().guard_int(__FILE__, __LINE__) * bytes_of(dtype);
  return layout;
}

// as_batch() of batch.h: leading dimensions that do not join are copied.
Layout joined(const Layout& layout) {
  if (layout.sizes.size() == 3) return layout;
  const auto& sizes = layout.sizes;
  int64_t batch = 1;
  for (size_t d = 0; d + 2 < sizes.size(); ++d) batch *= sizes[d];
  const at::DimVector joined_sizes{batch, sizes[sizes.size() - 2], sizes.back()};
  const auto strides = at::detail::computeStride(sizes, layout.strides, joined_sizes);
  return strides ? Layout{joined_sizes, *strides, layout.offset_bytes} : copied(joined_sizes);
}

View3 view3(const Layout& layout) {
  return {layout.address(), {layout.strides[0], layout.strides[1], layout.strides[2]}};
}

View2 view2(const Layout& layout) {
  return {layout.address(), {layout.strides[0], layout.strides[1]}};
}

// Of the elements that the op is given.
DType dtype_of_call(const Tensor& x) {
  const auto cast = autocast_dtype(x);
  if (!cast) return dtype_of(x);
  return *cast == at::kHalf ? DType::kFloat16 : DType::kBFloat16;
}

// ---- problems -----------------------------------------------------------------------------------

struct Problems {
  ForwardProblem forward;
  BackwardProblem backward;
};

Problems problems_of(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                     Activation activation) {
  check_can_be_counted("x", x, weight.sym_size(2));
  const DType elements = dtype_of_call(x), dtype = matmul_dtype(elements);
  const Layout batch = joined(layout_of(x, elements)), matrices = layout_of(weight, elements);
  ForwardProblem forward{};
  forward.b = batch.sizes[0];
  forward.t = batch.sizes[1];
  forward.i = batch.sizes[2];
  forward.o = matrices.sizes[2];
  forward.dtype = dtype;
  forward.activation = activation;
  forward.x = view3(batch);
  forward.weight = view3(matrices);
  if (bias) forward.bias = view2(layout_of(*bias, elements));
  forward.y = contiguous_view3(address_to_come(), forward.t, forward.o);
  const bool needs_gradient =
      at::GradMode::is_enabled() &&
      (x.requires_grad() || weight.requires_grad() || (bias && bias->requires_grad()));
  if (needs_gradient && differentiates_from_z(activation)) forward.z = forward.y;

  BackwardProblem backward{};
  backward.b = forward.b;
  backward.t = forward.t;
  backward.i = forward.i;
  backward.o = forward.o;
  backward.dtype = dtype;
  backward.dz = forward.y;
  backward.x = forward.x;
  backward.weight = forward.weight;
  backward.dx = contiguous_view3(address_to_come(), forward.t, forward.i);
  backward.dweight = contiguous_view3(address_to_come(), forward.i, forward.o);
  if (bias) backward.dbias = contiguous_view2(address_to_come(), forward.o);
  return {forward, backward};
}

// ---- where it would run -------------------------------------------------------------------------

// "sm_75" is known to be too old, and said to be so.
int capability_named(std::string_view name) {
  constexpr std::string_view kPrefix = "sm_";
  int capability = 0;
  if (name.substr(0, kPrefix.size()) != kPrefix) return 0;
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, capability);
  return error == std::errc() && rest == end ? capability : 0;
}

Architecture named_architecture(std::string_view name) {
  Architecture architecture{};
  const bool is_known = find_architecture(name, architecture);
  const int capability = is_known ? architecture.capability : capability_named(name);
  const bool is_too_old = !is_known && capability > 0 && capability < kLeastCapability;
  TORCH_CHECK_VALUE(is_known || is_too_old, "per_step_dense: arch must be one of ",
                    known_architectures(), "; got '", name, "'");
  // Without kernels the plan is still what a module with kernels would do.
  if (kHasKernels || is_too_old) {
    const std::string obstacle = why_not_built_for(capability, kBuiltArchitectures);
    TORCH_CHECK_VALUE(obstacle.empty(), "per_step_dense: ", obstacle);
    architecture.sm90 = sm90_support(capability, kBuiltArchitectures, /*has_tensor_maps=*/true);
  }
  return architecture;
}

bool is_device_there([[maybe_unused]] const Tensor& x) {
#ifdef PSD_WITH_CUDA
  return x.get_device() < c10::cuda::device_count();
#else
  return true;  // it would be ATen's, whichever it is
#endif
}

// Nothing where ATen computes the call.
std::optional<Architecture> architecture_for(const Tensor& x,
                                             std::optional<std::string_view> name) {
  if (name) return named_architecture(*name);
  const bool has_device = !x.is_meta() && (!x.is_cuda() || is_device_there(x));
  TORCH_CHECK_VALUE(has_device, "per_step_dense: arch must be given for tensors of device ",
                    x.device(), ", as one of ", known_architectures(), "; got None");
#ifdef PSD_WITH_CUDA
  if (x.is_cuda()) return cuda::architecture_of_device(x.get_device());
#endif
  return std::nullopt;
}

// ---- explanations -------------------------------------------------------------------------------

// Passes of ATen: a product, its order and bias, and the activation or z.
int64_t library_launches(const ForwardProblem& problem) {
  return problem.activation != Activation::kNone || problem.z.data ? 3 : 2;
}

// Two products, the order of dx, and the sums of dbias.
int64_t library_launches(const BackwardProblem& problem) { return problem.dbias.data ? 4 : 3; }

template <class Problem>
Explanation explain_library(const Problem& problem, KernelFamily family, const Tensor& x) {
  const Work work = work_of(problem);
  Explanation told;
  told.kernel = name_of(family);
  told.flops = work.flops;
  told.bytes = work.bytes;
  told.launches = x.is_cpu() ? 0 : library_launches(problem);
  if (family == KernelFamily::kReference) {
    told.reason = "use_kernel('reference') asks for torch.einsum";
  } else if (family == KernelFamily::kBatchInvariant) {
    told.reason = "batch_invariant() asks for sums in an order that no batch size changes";
  } else if (x.is_cuda()) {
    told.reason = "this module was built without CUDA kernels: ATen's batched products";
  } else if (cpu::dense::serves(x)) {
    told.kernel = "avx2";
    told.reason = "float32 on cpu: this package's kernels for AVX2";
  } else {
    told.reason = "tensors on " + x.device().str() + ": ATen's batched products";
  }
  return told;
}

template <class Problem>
Explanation explain_kernel(const Problem& problem, const Architecture& architecture,
                           KernelFamily family) {
  const Constraint constraint = constraint_of(family, forced_tile());
  const Choice choice = choose_kernel(problem, architecture, constraint);
  check_has_tile(choice, constraint);
  const Work work = work_of(problem);
  Explanation told;
  told.kernel = name_of(choice.family);
  told.flops = work.flops;
  told.bytes = work.bytes;
  told.floor_us = floor_us(work, problem.dtype, architecture);
  told.estimate_us = Estimator<Problem>(problem, architecture).estimate(choice).us;
  told.architecture = name_of(architecture);
  told.reason = reason_for_choice(problem, architecture, constraint);
  if (kPassOf<Problem> == Pass::kBackward && choice.family == KernelFamily::kSm90) {
    told.reason += "; a gradient that TMA cannot describe, such as that of a sum, is copied first";
  }
  if (!kHasKernels) told.reason += "; but this module was built without CUDA kernels";
  if (choice.family == KernelFamily::kAten) {
    told.launches = library_launches(problem);
    return told;
  }
  const LaunchPlan plan = plan_of(problem, choice);
  told.tile = tile_name(choice.family, choice.tile, problem.dtype, kPassOf<Problem>);
  told.blocks = plan.shape.blocks;
  if (const int stages = stages_of(choice.family, choice.tile, problem.dtype)) told.stages = stages;
  told.threads = plan.shape.threads;
  told.cluster = plan.shape.cluster;
  told.smem_bytes = int64_t(plan.shape.smem_bytes);
  told.launches = plan.launches;
  told.workspace_bytes = int64_t(plan.workspace_bytes);
  constexpr int kProducts = std::is_same_v<Problem, ForwardProblem> ? 1 : kMaxProducts;
  told.splits.assign(choice.splits, choice.splits + kProducts);
  return told;
}

// By a launch for each product: what they have in common, or come to together.
Explanation explain_apart(const BackwardProblem& problem, const Architecture& architecture) {
  constexpr KernelFamily kAny = KernelFamily::kAuto;
  const BackwardParts parts = parts_of(problem);
  const Explanation input = explain_kernel(parts.grad_input, architecture, kAny),
                    weight = explain_kernel(parts.grad_weight, architecture, kAny);
  const auto joined = [](const std::string& one, const std::string& other) {
    return one == other ? one : one + "+" + other;
  };
  const Work work = work_of(problem);
  Explanation told;
  told.kernel = joined(input.kernel, weight.kernel);
  told.flops = work.flops;
  told.bytes = work.bytes;
  told.floor_us = floor_us(work, problem.dtype, architecture);
  told.estimate_us = *input.estimate_us + *weight.estimate_us;
  told.architecture = input.architecture;
  told.launches = input.launches + weight.launches;
  told.workspace_bytes = std::max(input.workspace_bytes, weight.workspace_bytes);
  told.reason = "a launch for each product, for one of both would take longer: " +
                reason_for_choice(problem, architecture);
  told.parts = {input, weight};
  return told;
}

template <class Problem>
void check_family_takes(const Problem& problem, KernelFamily family,
                        const Architecture& architecture) {
  const std::string obstacle = why_not(problem, family, architecture);
  TORCH_CHECK_VALUE(obstacle.empty(), "per_step_dense: ", text_of(family),
                    " cannot take this call: ", obstacle);
}

// The pass that turns dy into dz.
void add_activation_backward(Explanation& told, const BackwardProblem& problem,
                             const std::optional<Architecture>& architecture) {
  const double elems = double(problem.b) * double(problem.t) * double(problem.o);
  const double bytes = 3 * elems * double(bytes_of(problem.dtype));
  told.bytes += bytes;
  if (!architecture) return;
  told.launches += 1;
  const double us = pass_us(bytes, *architecture);
  if (told.estimate_us) *told.estimate_us += us;
  if (told.floor_us) {
    told.floor_us = floor_us({told.flops, told.bytes}, problem.dtype, *architecture);
  }
}

}  // namespace

ExplainedCall explain(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                      std::string_view activation, std::optional<std::string_view> architecture,
                      std::string_view kernel) {
  const Activation parsed = parse_activation(activation);
  const KernelFamily family = resolve_kernel(kernel);
  check_forward(x, weight, bias);
  const std::optional<Architecture> found = architecture_for(x, architecture);
  if (!architecture) check_kernel_fits_device(family, "x", x);
  const Problems problems = problems_of(x, weight, bias, parsed);

  ExplainedCall call;
  if (!found || family == KernelFamily::kReference) {
    const KernelFamily library = family == KernelFamily::kAuto ? KernelFamily::kAten : family;
    call.forward = explain_library(problems.forward, library, x);
    call.backward = explain_library(problems.backward, library, x);
  } else {
    check_family_takes(problems.forward, family, *found);
    call.forward = explain_kernel(problems.forward, *found, family);
    const KernelFamily of_backward = family_of_backward(family, problems.backward.dtype);
    if (of_backward == KernelFamily::kAuto && is_faster_apart(problems.backward, *found)) {
      call.backward = explain_apart(problems.backward, *found);
    } else if (why_not(problems.backward, of_backward, *found).empty()) {
      call.backward = explain_kernel(problems.backward, *found, of_backward);
    }
  }
  if (call.backward && parsed != Activation::kNone) {
    add_activation_backward(*call.backward, problems.backward, found);
  }
  return call;
}

PlannedCall plan_repeatedly(const Tensor& x, const Tensor& weight, std::string_view architecture,
                            bool is_cached, int64_t repeats) {
  static thread_local PlanCache<ForwardProblem> cache;
  check_forward(x, weight, std::nullopt);
  const Architecture named = named_architecture(architecture);
  const ForwardProblem problem = problems_of(x, weight, std::nullopt, Activation::kNone).forward;
  const auto plan = [&]() -> PlannedCall {
    const Choice choice = choose_kernel(problem, named);
    return {choice, plan_of(problem, choice).workspace_bytes, /*goes_apart=*/false};
  };
  PlannedCall call;
  for (int64_t i = 0; i < repeats; ++i) {
    call = is_cached ? cache.find_or_plan(problem, named.capability, KernelFamily::kAuto, plan)
                     : plan();
  }
  return call;
}

}  // namespace per_step_dense
