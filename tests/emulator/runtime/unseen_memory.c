// What the runtime calls in place of library functions that ThreadSanitizer intercepts, so that its
// bookkeeping is invisible there. Linked into that variant alone.
#include <stddef.h>
#include <stdint.h>

void* __libc_malloc(size_t bytes);
void __libc_free(void* pointer);

typedef uint64_t Word __attribute__((aligned(1), may_alias));

// volatile, or the compiler would turn these loops back into calls of what they stand for.
void* emulator_unseen_memcpy(void* to, const void* from, size_t bytes) {
  volatile unsigned char* out = to;
  const volatile unsigned char* in = from;
  size_t i = 0;
  for (; i + sizeof(Word) <= bytes; i += sizeof(Word)) {
    *(volatile Word*)(out + i) = *(const volatile Word*)(in + i);
  }
  for (; i < bytes; ++i) out[i] = in[i];
  return to;
}

void* emulator_unseen_memmove(void* to, const void* from, size_t bytes) {
  volatile unsigned char* out = to;
  const volatile unsigned char* in = from;
  if (out <= in || out >= in + bytes) return emulator_unseen_memcpy(to, from, bytes);
  for (size_t i = bytes; i > 0; --i) out[i - 1] = in[i - 1];
  return to;
}

void* emulator_unseen_memset(void* to, int value, size_t bytes) {
  volatile unsigned char* out = to;
  for (size_t i = 0; i < bytes; ++i) out[i] = (unsigned char)value;
  return to;
}

int emulator_unseen_memcmp(const void* left, const void* right, size_t bytes) {
  const volatile unsigned char* a = left;
  const volatile unsigned char* b = right;
  for (size_t i = 0; i < bytes; ++i) {
    if (a[i] != b[i]) return a[i] - b[i];
  }
  return 0;
}

int emulator_unseen_strcmp(const char* left, const char* right) {
  while (*left != '\0' && *left == *right) {
    ++left;
    ++right;
  }
  return (unsigned char)*left - (unsigned char)*right;
}

void* emulator_unseen_new(size_t bytes) { return __libc_malloc(bytes != 0 ? bytes : 1); }
void emulator_unseen_delete(void* pointer) { __libc_free(pointer); }
void emulator_unseen_sized_delete(void* pointer, size_t bytes) {
  (void)bytes;
  __libc_free(pointer);
}

// In front of aligned memory lies what malloc gave: its own aligned functions are intercepted.
void* emulator_unseen_aligned_new(size_t bytes, size_t alignment) {
  void* const allocated = __libc_malloc(bytes + alignment + sizeof(void*));
  void** const aligned =
      (void**)(((uintptr_t)allocated + sizeof(void*) + alignment - 1) / alignment * alignment);
  aligned[-1] = allocated;
  return aligned;
}
void emulator_unseen_aligned_delete(void* pointer, size_t bytes, size_t alignment) {
  (void)bytes;
  (void)alignment;
  __libc_free(((void**)pointer)[-1]);
}
