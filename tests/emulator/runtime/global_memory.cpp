#include "runtime/global_memory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/failure.h"
#include "runtime/session.h"

namespace emulator {
namespace {

// The state of one byte. Those that are in no view, gaps between a view's rows among them, are 0.
constexpr uint8_t kReadable = 1;
constexpr uint8_t kWritable = 2;
constexpr uint8_t kOnce = 4;         // an output's: one write in a launch
constexpr uint8_t kWritten = 8;      // in any launch
constexpr uint8_t kWrittenNow = 16;  // in this launch
constexpr uint8_t kAddedTo = 32;     // an accumulator's: readable by the thread that adds to it

// Of `bytes` states; `bytes` if all are readable and stay as they are. Eight at a time, since every
// load comes here.
size_t first_unreadable(const uint8_t* states, size_t bytes) {
  constexpr uint64_t kEach = 0x0101010101010101;
  constexpr uint8_t kMask = kReadable | kWrittenNow;
  size_t byte = 0;
  for (; byte + sizeof kEach <= bytes; byte += sizeof kEach) {
    uint64_t eight;
    std::memcpy(&eight, states + byte, sizeof eight);
    if ((eight & kEach * kMask) != kEach * kReadable) break;
  }
  while (byte < bytes && (states[byte] & kMask) == kReadable) ++byte;
  return byte;
}

uint8_t initial_state(BufferRole role) {
  switch (role) {
    case BufferRole::kInput:
      return kReadable;
    case BufferRole::kOutput:
      return kWritable | kOnce;
    case BufferRole::kWorkspace:
      return kWritable;  // readable once written
    case BufferRole::kAccumulator:
      return kWritable | kOnce | kAddedTo;
  }
  return 0;
}

bool is_result(BufferRole role) {
  return role == BufferRole::kOutput || role == BufferRole::kAccumulator;
}

bool is_empty(const TensorView& view) {
  return view.extent[0] == 0 || view.extent[1] == 0 || view.extent[2] == 0;
}

struct Range {
  uintptr_t begin;
  uintptr_t end;
};

Range hull_of(const TensorView& view) {
  int64_t lowest = 0;
  int64_t highest = 0;
  for (int dim = 0; dim < 3; ++dim) {
    const int64_t reach = (view.extent[dim] - 1) * view.stride[dim];
    (reach < 0 ? lowest : highest) += reach;
  }
  const auto data = reinterpret_cast<uintptr_t>(view.data);
  return {data + static_cast<uintptr_t>(lowest * view.element_bytes),
          data + static_cast<uintptr_t>((highest + 1) * view.element_bytes)};
}

// A hull beyond this is opened by sections of so many bytes.
constexpr size_t kMostBytesToOpen = size_t{1} << 26;
constexpr size_t kSectionBytes = size_t{1} << 16;

// Visits every element, as many neighbours in memory at a time as one row has.
template <class Visit>
void for_each_run(const TensorView& view, Visit&& visit) {
  const auto data = reinterpret_cast<uintptr_t>(view.data);
  const int64_t elements = view.stride[2] == 1 ? view.extent[2] : 1;
  const auto bytes = static_cast<size_t>(elements * view.element_bytes);
  for (int64_t i = 0; i < view.extent[0]; ++i) {
    for (int64_t j = 0; j < view.extent[1]; ++j) {
      for (int64_t k = 0; k < view.extent[2]; k += elements) {
        const int64_t offset = i * view.stride[0] + j * view.stride[1] + k * view.stride[2];
        const uintptr_t address = data + static_cast<uintptr_t>(offset * view.element_bytes);
        if (!visit(address, bytes, i, j, k)) return;
      }
    }
  }
}

// A view's dimensions, the one with the largest stride first.
class OrderedView {
 public:
  explicit OrderedView(const TensorView& view) : data_(reinterpret_cast<uintptr_t>(view.data)) {
    for (int dim = 0; dim < 3; ++dim) {
      const int64_t stride = view.stride[dim] * view.element_bytes;
      dims_[dim] = {stride, stride == 0 ? 1 : view.extent[dim]};
    }
    std::sort(dims_, dims_ + 3, [](const Dim& left, const Dim& right) {
      return std::abs(left.stride) > std::abs(right.stride);
    });
    dims_[3] = {1, view.element_bytes};
  }

  // Calls visit(address, bytes) for what the view has of a window.
  template <class Visit>
  void visit_inside(const Range& window, Visit&& visit) const {
    visit_inside(window, data_, 0, visit);
  }

 private:
  struct Dim {
    int64_t stride, extent;  // in bytes
  };

  template <class Visit>
  void visit_inside(const Range& window, uintptr_t base, int level, Visit&& visit) const {
    const Dim& dim = dims_[level];
    if (level == 3) {
      const uintptr_t begin = std::max(base, window.begin);
      const uintptr_t end = std::min(base + static_cast<uintptr_t>(dim.extent), window.end);
      if (begin < end) visit(begin, end - begin);
      return;
    }
    int64_t lowest = 0, highest = 0;  // that the inner dimensions reach
    for (int inner = level + 1; inner <= 3; ++inner) {
      const int64_t reach = (dims_[inner].extent - 1) * dims_[inner].stride;
      (reach < 0 ? lowest : highest) += reach;
    }
    // Those i for which base + i stride + lowest < end and base + i stride + highest >= begin.
    const auto before_end = static_cast<int64_t>(window.end - base) - lowest - 1;
    const auto from_begin = static_cast<int64_t>(window.begin - base) - highest;
    int64_t first = 0, last = dim.extent - 1;
    if (dim.stride > 0) {
      first = std::max(first, ceil_of(from_begin, dim.stride));
      last = std::min(last, floor_of(before_end, dim.stride));
    } else if (dim.stride < 0) {
      first = std::max(first, ceil_of(-before_end, -dim.stride));
      last = std::min(last, floor_of(-from_begin, -dim.stride));
    }
    for (int64_t i = first; i <= last; ++i) {
      visit_inside(window, base + static_cast<uintptr_t>(i * dim.stride), level + 1, visit);
    }
  }

  static int64_t floor_of(int64_t number, int64_t divisor) {
    return number / divisor - (number % divisor < 0);
  }
  static int64_t ceil_of(int64_t number, int64_t divisor) { return -floor_of(-number, divisor); }

  uintptr_t data_;
  Dim dims_[4];  // the last one: the bytes of an element
};

}  // namespace

void GlobalMemory::add(const TensorView& view) {
  if (!is_empty(view)) views_.push_back(view);
}

void GlobalMemory::finish_registration() {
  std::vector<Range> hulls;
  for (const TensorView& view : views_) hulls.push_back(hull_of(view));
  std::sort(hulls.begin(), hulls.end(),
            [](const Range& left, const Range& right) { return left.begin < right.begin; });
  for (const Range& hull : hulls) {
    if (!buffers_.empty() && hull.begin < buffers_.back().end) {
      buffers_.back().end = std::max(buffers_.back().end, hull.end);
    } else {
      buffers_.push_back({hull.begin, hull.end, {}, {}, false});
    }
  }
  for (Buffer& buffer : buffers_) {
    const size_t bytes = buffer.end - buffer.begin;
    buffer.state = ZeroPages(bytes);
    buffer.is_open.assign((bytes + kSectionBytes - 1) / kSectionBytes, bytes <= kMostBytesToOpen);
  }
  for (const TensorView& view : views_) open(view);
}

void GlobalMemory::open(const TensorView& view) {
  Buffer& buffer = *find_buffer(hull_of(view).begin, 1);
  if (!buffer.is_open.front()) return;
  TensorView distinct = view;
  for (int dim = 0; dim < 3; ++dim) {
    if (view.stride[dim] == 0 && !is_result(view.role)) distinct.extent[dim] = 1;
  }
  for_each_run(distinct, [&](uintptr_t address, size_t bytes, int64_t, int64_t, int64_t) {
    mark(buffer, view, address, bytes);
    return true;
  });
}

void GlobalMemory::open(Buffer& buffer, uintptr_t address, size_t bytes) {
  const size_t first = (address - buffer.begin) / kSectionBytes;
  const size_t last = (address + bytes - 1 - buffer.begin) / kSectionBytes;
  for (size_t section = first; section <= last; ++section) {
    if (!buffer.is_open[section]) open_section(buffer, section);
  }
}

void GlobalMemory::open_section(Buffer& buffer, size_t section) {
  buffer.is_open[section] = true;
  const uintptr_t begin = buffer.begin + section * kSectionBytes;
  const Range window{begin, std::min(begin + kSectionBytes, buffer.end)};
  for (const TensorView& view : views_) {
    const Range hull = hull_of(view);
    if (hull.end <= window.begin || hull.begin >= window.end) continue;
    OrderedView(view).visit_inside(
        window, [&](uintptr_t address, size_t bytes) { mark(buffer, view, address, bytes); });
  }
}

void GlobalMemory::mark(Buffer& buffer, const TensorView& view, uintptr_t address, size_t bytes) {
  const uint8_t state = initial_state(view.role);
  const auto conflicts = [&](uint8_t earlier) {
    return earlier != 0 && (earlier != state || is_result(view.role));
  };
  uint8_t* const states = &buffer.state.data()[address - buffer.begin];
  if (std::any_of(states, states + bytes, conflicts)) {
    fail("gmem-setup", "%s shares elements with a tensor of another role, or overlaps itself",
         view.name);
  }
  std::fill_n(states, bytes, state);
}

void GlobalMemory::begin_launch() {
  for (Buffer& buffer : buffers_) {
    if (!buffer.is_written) continue;
    buffer.is_written = false;
    const size_t bytes = buffer.end - buffer.begin;
    for (size_t section = 0; section < buffer.is_open.size(); ++section) {
      if (!buffer.is_open[section]) continue;
      uint8_t* state = buffer.state.data() + section * kSectionBytes;
      uint8_t* const end = buffer.state.data() + std::min((section + 1) * kSectionBytes, bytes);
      for (; state < end; ++state) *state &= static_cast<uint8_t>(~kWrittenNow);
    }
  }
}

GlobalMemory::Buffer* GlobalMemory::find_buffer(uintptr_t address, size_t bytes) {
  const auto holds = [&](const Buffer& buffer) {
    return address >= buffer.begin && address + bytes <= buffer.end;
  };
  if (last_hit_ < buffers_.size() && holds(buffers_[last_hit_])) return &buffers_[last_hit_];
  for (size_t index = 0; index < buffers_.size(); ++index) {
    if (!holds(buffers_[index])) continue;
    last_hit_ = index;
    return &buffers_[index];
  }
  return nullptr;
}

GlobalMemory::Buffer* GlobalMemory::buffer_of(uintptr_t address, size_t bytes) {
  Buffer* const buffer = find_buffer(address, bytes);
  if (buffer) open(*buffer, address, bytes);
  return buffer;
}

void GlobalMemory::check_alignment(const void* pointer, size_t bytes, const char* access) const {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const bool is_vector = bytes == 2 || bytes == 4 || bytes == 8 || bytes == 16;
  if (is_vector && (address & (bytes - 1)) != 0) {
    char where[160];
    describe(address, where, sizeof where);
    fail("gmem-misaligned", "a %zu-byte %s %s is not aligned to its size", bytes, access, where);
  }
}

void GlobalMemory::check_read(const void* pointer, size_t bytes) {
  if (bytes == 0) return;
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  Buffer* const buffer = buffer_of(address, bytes);
  if (buffer == nullptr) fail_read(address, bytes, 0);
  const uint8_t* const states = &buffer->state.data()[address - buffer->begin];
  const size_t byte = first_unreadable(states, bytes);
  if (byte < bytes) fail_read(address + byte, bytes, states[byte]);
}

void GlobalMemory::check_read_of_own(const void* pointer, size_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  Buffer* const buffer = buffer_of(address, bytes);
  if (buffer == nullptr) fail_read(address, bytes, 0);
  const uint8_t* const states = &buffer->state.data()[address - buffer->begin];
  for (size_t byte = 0; byte < bytes; ++byte) {
    const bool is_old = (states[byte] & kAddedTo) != 0 && (states[byte] & kWritten) == 0;
    if (!is_old) fail_read(address + byte, bytes, states[byte]);
  }
}

void GlobalMemory::check_write(const void* pointer, size_t bytes) {
  if (bytes == 0) return;
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  Buffer* const buffer = buffer_of(address, bytes);
  if (buffer == nullptr) fail_write(address, bytes, 0);
  buffer->is_written = true;
  uint8_t* const states = &buffer->state.data()[address - buffer->begin];
  for (size_t byte = 0; byte < bytes; ++byte) {
    const uint8_t state = states[byte];
    const bool again = (state & kOnce) != 0 && (state & kWrittenNow) != 0;
    if ((state & kWritable) == 0 || again) fail_write(address + byte, bytes, state);
    const uint8_t now_readable = (state & kOnce) == 0 ? kReadable : 0;
    states[byte] = static_cast<uint8_t>(state | kWritten | kWrittenNow | now_readable);
  }
}

const TensorView* GlobalMemory::nearest_view(uintptr_t address) const {
  const TensorView* nearest = nullptr;
  uintptr_t nearest_distance = UINTPTR_MAX;
  for (const TensorView& view : views_) {
    const Range hull = hull_of(view);
    const uintptr_t distance = address < hull.begin  ? hull.begin - address
                               : address >= hull.end ? address - hull.end + 1
                                                     : 0;
    if (distance < nearest_distance) {
      nearest = &view;
      nearest_distance = distance;
    }
  }
  return nearest;
}

void GlobalMemory::describe(uintptr_t address, char* text, size_t text_bytes) const {
  const TensorView* view = nearest_view(address);
  if (view == nullptr) {
    std::snprintf(text, text_bytes, "at 0x%zx (no tensor is registered)", address);
    return;
  }
  const auto offset = static_cast<ptrdiff_t>(address - reinterpret_cast<uintptr_t>(view->data));
  const Range hull = hull_of(*view);
  std::snprintf(text, text_bytes, "at byte %td of %s (which spans bytes %td to %td)", offset,
                view->name, static_cast<ptrdiff_t>(hull.begin - address) + offset,
                static_cast<ptrdiff_t>(hull.end - address) + offset);
}

void GlobalMemory::fail_read(uintptr_t address, size_t bytes, uint8_t state) const {
  char where[160];
  describe(address, where, sizeof where);
  if ((state & kOnce) != 0) fail("gmem-read", "a %zu-byte read of an output, %s", bytes, where);
  if ((state & kWrittenNow) != 0) {
    fail("gmem-race", "a %zu-byte read of what the same launch writes, %s", bytes, where);
  }
  if ((state & kWritable) != 0) {
    fail("gmem-read", "a %zu-byte read of a workspace before it was written, %s", bytes, where);
  }
  fail("gmem-oob", "a %zu-byte read of no tensor's element, %s", bytes, where);
}

void GlobalMemory::fail_write(uintptr_t address, size_t bytes, uint8_t state) const {
  char where[160];
  describe(address, where, sizeof where);
  if ((state & kOnce) != 0) {
    fail("gmem-double-write", "a second %zu-byte write in one launch %s", bytes, where);
  }
  if ((state & kReadable) != 0)
    fail("gmem-write", "a %zu-byte write to an input, %s", bytes, where);
  fail("gmem-oob", "a %zu-byte write to no tensor's element, %s", bytes, where);
}

bool GlobalMemory::find_unwritten(Element& element) {
  bool found = false;
  for (const TensorView& view : views_) {
    if (!is_result(view.role) || found) continue;
    for_each_run(view, [&](uintptr_t address, size_t bytes, int64_t i, int64_t j, int64_t k) {
      const Buffer* const buffer = buffer_of(address, bytes);
      const uint8_t* const states = &buffer->state.data()[address - buffer->begin];
      const uint8_t* const missing = std::find_if(
          states, states + bytes, [](uint8_t state) { return (state & kWritten) == 0; });
      if (missing == states + bytes) return true;
      element = {&view, {i, j, k + (missing - states) / view.element_bytes}};
      found = true;
      return false;
    });
  }
  return found;
}

void check_global_read(const void* address, size_t bytes) {
  GlobalMemory& memory = this_session().memory;
  memory.check_alignment(address, bytes, "read");
  memory.check_read(address, bytes);
}
void check_global_read_of_own(const void* address, size_t bytes) {
  GlobalMemory& memory = this_session().memory;
  memory.check_alignment(address, bytes, "read");
  memory.check_read_of_own(address, bytes);
}
void check_global_write(const void* address, size_t bytes) {
  GlobalMemory& memory = this_session().memory;
  memory.check_alignment(address, bytes, "write");
  memory.check_write(address, bytes);
}

}  // namespace emulator
