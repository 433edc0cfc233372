// mma.sync: a warp multiplies 16 rows with 8 columns. Registers are as the ISA lays them out:
//
//   a, b    register i of lane l has kPerRegister neighbours along k of row, or column, l / 4
//           a[i]: rows from 8 (i % 2), k from kColumns (i / 2)      b[i]: k from kColumns i
//   accum   accum[i] of lane l: row l / 4 + 8 (i / 2), column 2 (l % 4) + i % 2
#include <cstring>

#include "runtime/cluster.h"
#include "runtime/operands.h"

namespace emulator {
namespace {

// A row of B or of the product: the compiler's vector type is one at every level of optimisation.
using Row [[gnu::vector_size(8 * sizeof(float))]] = float;

template <class Operand>
struct MmaBuffers {
  using Bits = typename Operand::Bits;
  static constexpr int kPerRegister = sizeof(uint32_t) / sizeof(Bits);
  static constexpr int kColumns = 4 * kPerRegister;

  // The four of A, then the two of B, transposed.
  template <class T>
  using Matrices = T[6][8][kColumns];

  Matrices<Bits> bits;
  Matrices<float> values;
  Row b[2][kColumns];
  Row product[16];
};

template <class Operand>
void gather(const FragmentExchange& exchange, MmaBuffers<Operand>& buffers) {
  constexpr int kPerRegister = MmaBuffers<Operand>::kPerRegister;
  for (int lane = 0; lane < 32; ++lane) {
    const MmaLane& own = exchange.mma[lane];
    const int row = lane / 4, column = lane % 4 * kPerRegister;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      std::memcpy(&buffers.bits[i][row][column], &own.a[i], sizeof own.a[i]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      std::memcpy(&buffers.bits[4 + i][row][column], &own.b[i], sizeof own.b[i]);
    }
  }
}

template <class Operand>
void widen(MmaBuffers<Operand>& buffers) {
  constexpr int kElements = sizeof buffers.bits / sizeof(typename Operand::Bits);
  const auto* const bits = &buffers.bits[0][0][0];
  float* const values = &buffers.values[0][0][0];
  for (int i = 0; i < kElements; ++i) values[i] = Operand::widen(bits[i]);
}

template <class Operand>
void transpose_b(MmaBuffers<Operand>& buffers) {
  for (int i = 0; i < 2; ++i) {
    for (int k = 0; k < buffers.kColumns; ++k) {
#pragma GCC unroll 8
      for (int n = 0; n < 8; ++n) buffers.b[i][k][n] = buffers.values[4 + i][n][k];
    }
  }
}

template <class Operand>
void multiply(MmaBuffers<Operand>& buffers) {
  constexpr int kColumns = MmaBuffers<Operand>::kColumns;
  for (int m = 0; m < 16; ++m) {
    Row sum = {};
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const float(&a)[kColumns] = buffers.values[m / 8 + 2 * i][m % 8];
#pragma GCC unroll 8
      for (int k = 0; k < kColumns; ++k) sum += a[k] * buffers.b[i][k];
    }
    buffers.product[m] = sum;
  }
}

template <class Operand>
void perform(Warp& warp, const OpenCollective&) {
  // Static: the build fills locals with a pattern, which would cost as much as the product.
  static MmaBuffers<Operand> buffers;
  gather(warp.fragments, buffers);
  widen(buffers);
  transpose_b(buffers);
  multiply(buffers);
  for (int lane = 0; lane < 32; ++lane) {
    float* const accum = warp.fragments.mma[lane].accum;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      accum[i] += buffers.product[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
    }
  }
  ++this_cluster().report.counters.mmas;
}

template <class Operand>
void mma(const char* instruction, float* accum, const uint32_t* a, const uint32_t* b) {
  const Thread& thread = this_thread();
  thread.warp->fragments.mma[thread.lane] = {accum, a, b};
  warp_collective(instruction, 0, kFullMask, nullptr, perform<Operand>);
}

}  // namespace

void mma_m16n8k16_bf16(float* accum, const uint32_t* a, const uint32_t* b) {
  mma<Bfloat16>("mma.sync.m16n8k16 of bf16", accum, a, b);
}
void mma_m16n8k16_f16(float* accum, const uint32_t* a, const uint32_t* b) {
  mma<Float16>("mma.sync.m16n8k16 of f16", accum, a, b);
}
void mma_m16n8k8_tf32(float* accum, const uint32_t* a, const uint32_t* b) {
  mma<Tfloat32>("mma.sync.m16n8k8 of tf32", accum, a, b);
}

}  // namespace emulator
