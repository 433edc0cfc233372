// c = act(a @ b + bias) on one thread.
//
//     for columns of b, for k            a block of b is packed: panels of two vectors' width
//       for rows of a                    a block of a stays in L2, copied where that pays
//         for panels, for tiles          a panel stays in L1
//           a tile of c stays in registers while it runs along k
//         the activation, while the block's results are in the cache
//
// An element of c is the same sum in the same order wherever its tile begins, so that results do
// not depend on how a product was cut into parts. A sum is added up in blocks of one size, of
// kBlockK terms at most.
#pragma once

#include "cpu/activations.h"
#include "cpu/kernels.h"
#include "cpu/packing.h"

namespace per_step_dense::cpu {
namespace {

// Measured: half and one and a half times each was no faster.
constexpr int64_t kBlockK =
    128;  // a panel in AVX2: 8 KB; one chain of 256 has 2.7 times torch's error
constexpr int64_t kBlockN = 256;  // packed b: 128 KB
constexpr int64_t kBlockM = 120;  // packed a: 60 KB; a multiple of every kRows

struct Tile {
  int64_t k;
  const float* a;
  int64_t a_row, a_col;
  const float* panel;  // (k, kVectors * kLanes)
  float* c;
  int64_t c_row, columns;
  const float* bias;  // as wide as the panel, or null
  bool adds;          // to what is in c
};

template <class R, int kRows, int kVectors>
void compute_tile(const Tile& tile) {
  using V = typename R::Vector;
  constexpr int kLanes = R::kLanes, kWidth = kVectors * kLanes;
  V accum[kRows][kVectors];
  for (int m = 0; m < kRows; ++m) {
    for (int v = 0; v < kVectors; ++v) {
      accum[m][v] = V{};
      // Written when the sums are done; rows of c lie on as many pages.
      __builtin_prefetch(tile.c + m * tile.c_row + v * kLanes, 1);
    }
  }
  const float *a = tile.a, *panel = tile.panel;
  const int64_t a_row = tile.a_row, a_col = tile.a_col;
  // Not unrolled: GCC 12 then spills, and takes 1.3 times as long.
  for (int64_t k = 0; k < tile.k; ++k) {
    V b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = load<V>(panel + v * kLanes);
    for (int m = 0; m < kRows; ++m) {
      const float broadcast = a[m * a_row];
      for (int v = 0; v < kVectors; ++v) accum[m][v] += broadcast * b[v];
    }
    a += a_col;
    panel += kWidth;
  }
  if (tile.bias) {  // last, as a sum of terms of one size has the smaller errors
    for (int v = 0; v < kVectors; ++v) {
      const V bias = load<V>(tile.bias + v * kLanes);
      for (int m = 0; m < kRows; ++m) accum[m][v] += bias;
    }
  }
  float* c = tile.c;
  if (tile.columns == kWidth) {
    for (int m = 0; m < kRows; ++m, c += tile.c_row) {
      for (int v = 0; v < kVectors; ++v) {
        float* to = c + v * kLanes;
        store<V>(to, tile.adds ? load<V>(to) + accum[m][v] : accum[m][v]);
      }
    }
    return;
  }
  for (int m = 0; m < kRows; ++m, c += tile.c_row) {
    float row[kWidth];
    for (int v = 0; v < kVectors; ++v) store<V>(row + v * kLanes, accum[m][v]);
    for (int64_t n = 0; n < tile.columns; ++n) c[n] = tile.adds ? c[n] + row[n] : row[n];
  }
}

// The last tile of a block has fewer rows.
template <class R, int kVectors, int kRows = R::kRows>
void compute_rows(int64_t rows, const Tile& tile) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return compute_tile<R, kRows, kVectors>(tile);
    return compute_rows<R, kVectors, kRows - 1>(rows, tile);
  }
}

template <class R, int kVectors>
void compute_column_of_tiles(int64_t m_size, int64_t a_tile, Tile tile) {
  for (; m_size > 0; m_size -= R::kRows) {
    compute_rows<R, kVectors>(smaller(R::kRows, m_size), tile);
    tile.a += a_tile;
    tile.c += R::kRows * tile.c_row;
  }
}

// A few float sums side by side, and totals in double: a bias gradient has as many terms as the
// batch is large.
template <class R>
void add_column_sums(int64_t k_size, int64_t n_size, const float* packed, double* sums) {
  using V = typename R::Vector;
  constexpr int kChains = 8;
  for (int64_t first = 0; first < n_size; first += R::kLanes) {
    const int64_t panel = first / R::kColumns * R::kColumns;
    const int64_t width = panel_width<R>(smaller(R::kColumns, n_size - panel));
    const float* column = packed + panel * k_size + (first - panel);
    V chains[kChains] = {};
    int64_t k = 0;
    for (; k + kChains <= k_size; k += kChains) {
      for (int chain = 0; chain < kChains; ++chain, column += width) {
        chains[chain] += load<V>(column);
      }
    }
    for (; k < k_size; ++k, column += width) chains[0] += load<V>(column);
    for (int64_t n = 0; n < smaller(R::kLanes, n_size - first); ++n) {
      double sum = 0;
      for (int chain = 0; chain < kChains; ++chain) sum += chains[chain][n];
      sums[first + n] += sum;
    }
  }
}

// The parts of the workspace.
template <class R>
struct Workspace {
  int64_t b, bias, a;  // elements

  Workspace(int64_t m, int64_t n, int64_t k) {
    const int64_t k_size = smaller(k, kBlockK), n_size = round_up(smaller(n, kBlockN), R::kLanes);
    b = round_up(k_size * n_size, 16);
    bias = round_up(n_size, 16);
    a = copies_a(n) ? packed_a_elems<R>(smaller(m, kBlockM), k_size) : 0;
  }

  // Read once for every panel. Rows that lie far apart share cache sets and pages, but for one or
  // two panels a copy costs more than it spares.
  static bool copies_a(int64_t n) { return smaller(n, kBlockN) > 2 * R::kColumns; }
};

template <class R>
int64_t workspace_bytes(int64_t m, int64_t n, int64_t k) {
  const Workspace<R> workspace(m, n, k);
  return 4 * (workspace.b + workspace.bias + workspace.a);
}

template <class R>
void multiply(const Product& product, void* memory) {
  const Workspace<R> workspace(product.m, product.n, product.k);
  float* const packed_b = static_cast<float*>(memory);
  float* const bias = packed_b + workspace.b;
  float* const packed_a = bias + workspace.bias;
  // Of one size: the error of 256 and 44 terms is larger than that of twice 150.
  const int64_t blocks = smaller(1, product.k) + (product.k - 1) / kBlockK;
  const int64_t block_k = blocks > 1 ? (product.k + blocks - 1) / blocks : kBlockK;
  for (int64_t n0 = 0; n0 < product.n; n0 += kBlockN) {
    const int64_t n_size = smaller(kBlockN, product.n - n0);
    if (product.bias) {
      for (int64_t n = 0; n < round_up(n_size, R::kLanes); ++n) {
        bias[n] = n < n_size ? product.bias[(n0 + n) * product.bias_stride] : 0;
      }
    }
    int64_t k0 = 0;
    do {  // once if k is 0: c is the bias then
      const int64_t k_size = smaller(block_k, product.k - k0);
      const bool is_last = k0 + k_size == product.k;
      pack_b<R>(k_size, n_size, product.b + k0 * product.b_row + n0 * product.b_col, product.b_row,
                product.b_col, packed_b);
      if (product.column_sums) {
        add_column_sums<R>(k_size, n_size, packed_b, product.column_sums + n0);
      }
      for (int64_t m0 = 0; m0 < product.m; m0 += kBlockM) {
        const int64_t m_size = smaller(kBlockM, product.m - m0);
        const float* first = product.a + m0 * product.a_row + k0 * product.a_col;
        const RowsOfA a =
            workspace.a ? pack_a<R>(m_size, k_size, first, product.a_row, product.a_col, packed_a)
                        : RowsOfA{first, product.a_row, product.a_col, R::kRows * product.a_row};
        float* const c = product.c + m0 * product.c_row + n0;
        for (int64_t n = 0; n < n_size; n += R::kColumns) {
          const int64_t columns = smaller(R::kColumns, n_size - n);
          const Tile tile{k_size,
                          a.first,
                          a.row,
                          a.col,
                          packed_b + n * k_size,
                          c + n,
                          product.c_row,
                          columns,
                          product.bias && is_last ? bias + n : nullptr,
                          k0 > 0};
          const auto compute = panel_width<R>(columns) == R::kLanes ? compute_column_of_tiles<R, 1>
                                                                    : compute_column_of_tiles<R, 2>;
          compute(m_size, a.tile, tile);
        }
        if (product.activated && is_last) {
          float* const y = product.activated + m0 * product.c_row + n0;
          visit_activation(product.activation, [=](auto tag) {
            activate_rows<R, decltype(tag)::value>(m_size, n_size, product.c_row, c, y);
          });
        }
      }
      k0 += block_k;
    } while (k0 < product.k);
  }
}

template <class R>
constexpr Kernels kernels_of() {
  return {R::kRows, R::kColumns, workspace_bytes<R>, multiply<R>, activation_backward<R>};
}

}  // namespace
}  // namespace per_step_dense::cpu
