// Copies of an operand in the order in which the tiles read it.
#pragma once

#include "cpu/vector.h"

namespace per_step_dense::cpu {
namespace {

// Rows of a step lie T * I elements apart, mostly on pages of their own, across which no hardware
// prefetcher looks ahead: asked for so many rows before they are copied.
constexpr int64_t kRowsAhead = 8;

PSD_INLINE void prefetch_row(const float* row, int64_t columns) {
  for (int64_t n = 0; n < columns; n += 16) __builtin_prefetch(row + n);
}

// to[k][n] = from[n][k], 8 x 8.
PSD_INLINE void transpose_8x8(const float* from, int64_t from_row, float* to, int64_t to_row) {
  using V = VectorOf<8>::Floats;
  V r[8], s[8];
  for (int i = 0; i < 8; ++i) r[i] = load<V>(from + i * from_row);
  for (int i = 0; i < 8; i += 2) {
    s[i] = PSD_SHUFFLE(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    s[i + 1] = PSD_SHUFFLE(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = PSD_SHUFFLE(s[i], s[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    r[i + 1] = PSD_SHUFFLE(s[i], s[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    r[i + 2] = PSD_SHUFFLE(s[i + 1], s[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    r[i + 3] = PSD_SHUFFLE(s[i + 1], s[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (int i = 0; i < 4; ++i) {
    store<V>(to + i * to_row, PSD_SHUFFLE(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11));
    store<V>(to + (i + 4) * to_row, PSD_SHUFFLE(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15));
  }
}

// The columns of a panel of b: two vectors, or the one that is enough for the last.
template <class R>
PSD_INLINE int64_t panel_width(int64_t columns) {
  return columns <= R::kLanes ? R::kLanes : R::kColumns;
}

// b (k, n) as panels of kColumns columns, each (k, width); columns that are missing are zeros.
template <class R>
void pack_b(int64_t k_size, int64_t n_size, const float* b, int64_t row, int64_t col, float* to) {
  constexpr int64_t kColumns = R::kColumns;
  if (col == 1 && n_size % kColumns == 0) {
    // By rows of b and not by panels: what lies in order is read in order.
    for (int64_t k = 0; k < k_size; ++k, b += row) {
      if (k + kRowsAhead < k_size) prefetch_row(b + kRowsAhead * row, n_size);
      for (int64_t n = 0; n < n_size; n += kColumns) {
        memcpy(to + n * k_size + k * kColumns, b + n, 4 * kColumns);
      }
    }
    return;
  }
  for (int64_t first = 0; first < n_size; first += kColumns, b += kColumns * col) {
    const int64_t columns = smaller(kColumns, n_size - first), width = panel_width<R>(columns);
    float* panel = to + first * k_size;
    int64_t n = 0;
    if (row == 1) {
      for (; n + 8 <= columns; n += 8) {
        int64_t k = 0;
        for (; k + 8 <= k_size; k += 8) {
          transpose_8x8(b + n * col + k, col, panel + k * width + n, width);
        }
        for (; k < k_size; ++k) {
          for (int64_t j = n; j < n + 8; ++j) panel[k * width + j] = b[j * col + k];
        }
      }
    }
    for (int64_t k = 0; k < k_size; ++k) {
      for (int64_t j = n; j < width; ++j) {
        panel[k * width + j] = j < columns ? b[j * col + k * row] : 0;
      }
    }
  }
}

// A block of a, as it lies or copied.
struct RowsOfA {
  const float* first;
  int64_t row, col;
  int64_t tile;  // from the first row of a tile to that of the next
};

constexpr int64_t kRowPadding = 16;  // keeps rows of 2^n elements out of one another's cache sets

template <class R>
constexpr int64_t packed_a_elems(int64_t m_size, int64_t k_size) {
  return round_up(m_size, R::kRows) * (k_size + kRowPadding);
}

// Rows one after another where they lie along k; else tiles of (k, kRows).
template <class R>
RowsOfA pack_a(int64_t m_size, int64_t k_size, const float* a, int64_t row, int64_t col,
               float* to) {
  constexpr int64_t kRows = R::kRows;
  if (k_size == 0) m_size = 0;  // there may be no memory
  if (col == 1) {
    const int64_t stride = k_size + kRowPadding;
    for (int64_t m = 0; m < m_size; ++m) {
      if (m + kRowsAhead < m_size) prefetch_row(a + (m + kRowsAhead) * row, k_size);
      memcpy(to + m * stride, a + m * row, 4 * k_size);
    }
    return {to, stride, 1, kRows * stride};
  }
  for (int64_t k = 0; k < k_size; ++k, a += col) {
    if (row == 1 && k + kRowsAhead < k_size) prefetch_row(a + kRowsAhead * col, m_size);
    float* line = to + k * kRows;
    int64_t m = 0;
    if (row == 1) {
      for (; m + kRows <= m_size; m += kRows) memcpy(line + m * k_size, a + m, 4 * kRows);
    }
    for (; m < m_size; ++m) line[m / kRows * kRows * k_size + m % kRows] = a[m * row];
  }
  return {to, 1, kRows, kRows * k_size};
}

}  // namespace
}  // namespace per_step_dense::cpu
