#include "runtime/zero_pages.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

namespace emulator {

ZeroPages::ZeroPages(size_t bytes) : bytes_(bytes) {
  void* const pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) {
    std::perror("emulator: no room for the states of global memory");
    std::abort();
  }
  madvise(pages, bytes, MADV_NOHUGEPAGE);  // which would cost 2 MB a byte
  data_ = static_cast<uint8_t*>(pages);
}

ZeroPages::~ZeroPages() {
  if (data_) munmap(data_, bytes_);
}

}  // namespace emulator
