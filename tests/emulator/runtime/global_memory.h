// Which bytes of global memory the kernels may read and write, and what became of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/zero_pages.h"

namespace emulator {

enum class BufferRole : int32_t {
  kInput,   // read only
  kOutput,  // every element is written exactly once, none is read
  // Read and written, but read only after another launch has written it: loads take the read-only
  // path, and blocks do not wait for each other.
  kWorkspace,
  // As an output; but until it is written, it may be read as what is added to: not by the read-only
  // path.
  kAccumulator,
};

// A tensor with at most three dimensions; an absent one has extent 1. Strides count elements and
// may be anything, 0 included.
struct TensorView {
  const char* name;
  BufferRole role;
  void* data;
  int64_t element_bytes;
  int64_t extent[3];
  int64_t stride[3];
};

class GlobalMemory {
 public:
  void add(const TensorView& view);
  // To be called once all views are added.
  void finish_registration();

  void begin_launch();
  // A rule for what threads load and store; engines have rules of their own.
  void check_alignment(const void* address, size_t bytes, const char* access) const;
  void check_read(const void* address, size_t bytes);
  void check_read_of_own(const void* address, size_t bytes);
  void check_write(const void* address, size_t bytes);

  // The first output element that nobody wrote; null when there is none.
  struct Element {
    const TensorView* view;
    int64_t index[3];
  };
  bool find_unwritten(Element& element);

 private:
  struct Buffer {  // the hull of views that overlap
    uintptr_t begin;
    uintptr_t end;
    ZeroPages state;  // of each byte, where it is open
    // By sections. Of a large hull one is opened when it is first looked at, for most never are.
    std::vector<bool> is_open;
    bool is_written;  // by the current launch
  };

  void open(const TensorView& view);
  void open(Buffer& buffer, uintptr_t address, size_t bytes);
  void open_section(Buffer& buffer, size_t section);
  void mark(Buffer& buffer, const TensorView& view, uintptr_t address, size_t bytes);
  Buffer* find_buffer(uintptr_t address, size_t bytes);
  Buffer* buffer_of(uintptr_t address, size_t bytes);  // whose states there are known then
  const TensorView* nearest_view(uintptr_t address) const;
  void describe(uintptr_t address, char* text, size_t text_bytes) const;
  [[noreturn]] void fail_read(uintptr_t address, size_t bytes, uint8_t state) const;
  [[noreturn]] void fail_write(uintptr_t address, size_t bytes, uint8_t state) const;

  std::vector<TensorView> views_;
  std::vector<Buffer> buffers_;  // by address
  size_t last_hit_ = 0;
};

}  // namespace emulator
