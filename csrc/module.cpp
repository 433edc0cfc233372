// The Python module: importing it registers the ops; it also tells Python how it was built.
#include <torch/csrc/utils/pybind.h>
#include <torch/version.h>

#include "choose_kernel.h"

namespace py = pybind11;

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

}  // namespace
}  // namespace per_step_dense

PYBIND11_MODULE(_C, m) {
  using namespace per_step_dense;
  m.def("build_info", &build_info,
        "What the module was built with: torch, compiler, cuda and cuda_architectures; the last "
        "two are None where it has no CUDA kernels.");
  m.def(
      "kernel_family",
      [](const at::Tensor& x) { return kKernelFamilyNames[int(choose_kernel(x))]; },
      "The family of kernels that computes a call with this x: 'aten' or 'simt'.", py::arg("x"));
}
