// The Python module: importing it registers the ops; it also tells Python how it was built, what
// kernel a thread asks for, and what a call would run.
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/version.h>

#include "architecture.h"
#include "check.h"
#include "choose_kernel.h"
#include "explain.h"
#include "forced_tile.h"
#include "kernel_in_force.h"
#include "problem_of.h"

namespace py = pybind11;

// What per_step_dense/_module_file.py looks for in the file before it is loaded.
extern "C" __attribute__((used, visibility("default"))) const char per_step_dense_built_with[] =
    "per_step_dense was built with torch " TORCH_VERSION ";";

namespace per_step_dense {
namespace {

py::dict build_info() {
  py::dict info;
  info["torch"] = TORCH_VERSION;
  info["compiler"] = __VERSION__;
#ifdef PSD_WITH_CUDA
  info["cuda"] = PSD_CUDA_VERSION;
  info["cuda_architectures"] = PSD_CUDA_ARCHITECTURES;
#else
  info["cuda"] = py::none();
  info["cuda_architectures"] = py::none();
#endif
  return info;
}

py::list known_kernels() {
  py::list names;
  for (const KernelFamily family : kNamedFamilies) names.append(name_of(family));
  return names;
}

std::string set_kernel(const std::string& name) {
  return name_of(exchange_kernel_in_force(parse_kernel(name)));
}

py::tuple force_tile(int32_t tile, int32_t splits, int32_t splits_of_grad_weight) {
  const ForcedTile before = exchange_forced_tile({tile, {splits, splits_of_grad_weight}});
  return py::make_tuple(before.tile, before.splits[0], before.splits[1]);
}

std::string why_no_sm90_on(int capability, const std::string& built, bool has_tensor_maps) {
  Architecture architecture{};
  architecture.capability = capability;
  architecture.sm90 = sm90_support(capability, built, has_tensor_maps);
  return why_no_sm90(architecture);
}

py::dict as_dict(const Explanation& told) {
  py::dict fields;
  fields["kernel"] = told.kernel;
  fields["tile"] = told.tile;
  fields["grid"] = told.blocks ? py::object(py::make_tuple(*told.blocks, 1, 1)) : py::none();
  fields["stages"] = told.stages;
  fields["threads"] = told.threads;
  fields["cluster"] = told.cluster;
  fields["smem_bytes"] = told.smem_bytes;
  fields["splits"] = py::tuple(py::cast(told.splits));
  fields["launches"] = told.launches;
  fields["flops"] = int64_t(told.flops);
  fields["bytes"] = int64_t(told.bytes);
  fields["workspace_bytes"] = told.workspace_bytes;
  fields["floor_us"] = told.floor_us;
  fields["estimate_us"] = told.estimate_us;
  fields["architecture"] = told.architecture;
  fields["reason"] = told.reason;
  py::list parts;
  for (const Explanation& part : told.parts) parts.append(as_dict(part));
  fields["parts"] = parts;
  return fields;
}

py::tuple explain_call(const at::Tensor& x, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias, const std::string& activation,
                       const std::optional<std::string>& architecture, const std::string& kernel) {
  const ExplainedCall call = explain(x, weight, bias, activation, architecture, kernel);
  return py::make_tuple(as_dict(call.forward),
                        call.backward ? py::object(as_dict(*call.backward)) : py::none());
}

py::tuple plan_and_describe(const at::Tensor& x, const at::Tensor& weight,
                            const std::string& architecture, bool is_cached, int64_t repeats) {
  const PlannedCall call = plan_repeatedly(x, weight, architecture, is_cached, repeats);
  const Choice& choice = call.choice;
  return py::make_tuple(name_of(choice.family), tile_name(choice.family, choice.tile, dtype_of(x)),
                        choice.splits[kForward], call.workspace_bytes);
}

// What tensors without data are checked by.
void check_ragged_forward_call(const at::Tensor& x, const at::Tensor& weight,
                               const std::optional<at::Tensor>& bias, const at::Tensor& sizes,
                               const std::string& activation, const std::string& kernel) {
  parse_kernel(kernel);
  parse_activation(activation);
  check_ragged_forward(x, weight, bias, sizes);
}

void check_ragged_backward_call(const at::Tensor& dz, const std::optional<at::Tensor>& x,
                                const std::optional<at::Tensor>& weight, const at::Tensor& sizes,
                                const c10::SymInt& steps, const std::string& kernel) {
  parse_kernel(kernel);
  check_ragged_backward(dz, x, weight, sizes, steps);
}

}  // namespace
}  // namespace per_step_dense

PYBIND11_MODULE(_C, m) {
  using namespace per_step_dense;
  m.def("build_info", &build_info,
        "What the module was built with: torch, compiler, cuda and cuda_architectures; the last "
        "two are None where it has no CUDA kernels.");
  m.def("known_kernels", &known_kernels, "The names that an op's `kernel` may be.");
  m.def("set_kernel", torch::wrap_pybind_function(&set_kernel),
        "Puts a family in force in the calling thread; returns the name of the one before.",
        py::arg("name"));
  m.def(
      "kernel_in_force", [] { return name_of(kernel_in_force()); },
      "The family in force in the calling thread.");
  m.def("force_tile", &force_tile,
        "Makes the calling thread's calls use this tile of the family in force (-1: any), and "
        "these splits of its products (0: any); returns what was forced before. For "
        "measurements and tests.",
        py::arg("tile"), py::arg("splits") = 0, py::arg("splits_of_grad_weight") = 0);
  m.def("explain", torch::wrap_pybind_function(&explain_call),
        "The fields of the Plan of a call, and those of its backward or None. An `arch` of "
        "None leaves it to the device of x.",
        py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("activation"), py::arg("arch"),
        py::arg("kernel"));
  m.def("why_not_built_for", &why_not_built_for,
        "Why kernels built for `built`, such as '8.0+PTX;9.0a', cannot run on a GPU of this "
        "capability (90 for 9.0); empty where they can.",
        py::arg("capability"), py::arg("built"));
  m.def(
      "why_no_sm90", &why_no_sm90_on,
      "Why Hopper's kernels do not run on a GPU of this capability in a module built for `built`, "
      "with a driver that encodes tensor maps or not; empty where they do.",
      py::arg("capability"), py::arg("built"), py::arg("has_tensor_maps"));
  m.def("check_ragged_forward", torch::wrap_pybind_function(&check_ragged_forward_call),
        "Refuses what the op ragged_forward would, but for the values of sizes.", py::arg("x"),
        py::arg("weight"), py::arg("bias"), py::arg("sizes"), py::arg("activation"),
        py::arg("kernel"));
  m.def("check_ragged_backward", torch::wrap_pybind_function(&check_ragged_backward_call),
        "Refuses what the op ragged_backward would, but for the values of sizes.", py::arg("dz"),
        py::arg("x"), py::arg("weight"), py::arg("sizes"), py::arg("steps"), py::arg("kernel"));
  m.def("plan_repeatedly", torch::wrap_pybind_function(&plan_and_describe),
        "Chooses a forward's kernel `repeats` times, to be timed from outside; returns kernel, "
        "tile, splits and workspace_bytes.",
        py::arg("x"), py::arg("weight"), py::arg("arch"), py::arg("is_cached"), py::arg("repeats"));
}
