// Who computes a call, as a range of torch's profiler around it: "per_step_dense sm90 128x256".
#pragma once

#include <ATen/record_function.h>

#include <string>
#include <utility>

namespace per_step_dense {

class ProfilerRange {
 public:
  // name() returns a string; it is called only while somebody listens.
  template <class Name>
  explicit ProfilerRange(Name&& name) : range_(at::RecordScope::USER_SCOPE) {
    if (range_.isActive()) range_.before("per_step_dense " + std::string(name()));
  }

 private:
  at::RecordFunction range_;
};

}  // namespace per_step_dense
