// What becomes of a thread's sums: what is added to, bias, activation and stores, or parts of a
// split sum.
#pragma once

#include "kernels/output.cuh"
#include "kernels/store_group.cuh"
#include "kernels/tiny/place.cuh"
#include "kernels/tiny/sums.cuh"
#include "kernels/tiny/vector.cuh"

namespace per_step_dense::tiny {

// A row's neighbouring outputs. Scalar is what they are stored as.
template <class Scalar, int kColumns>
__device__ __forceinline__ void store_columns(const Matrix& matrix, int64_t first_elem,
                                              const Place& place, int m, int columns,
                                              bool by_vectors,
                                              const AccumOf<Scalar> (&values)[kColumns]) {
  Scalar elems[kColumns];
#pragma unroll
  for (int j = 0; j < kColumns; ++j) elems[j] = from_accum<Scalar>(values[j]);
  Scalar* gmem = element_at<Scalar>(matrix, place.t, m, place.n) + first_elem;
  if (by_vectors && columns >= kColumns) {
    store_vectors(gmem, elems);
    return;
  }
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    if (j < columns) ptx::st_global(gmem + j * matrix.stride_n, elems[j]);
  }
}

template <class Config>
struct Bias {
  typename Config::Scalar column[Config::kColumns];

  // Read before the sums are begun, so that nobody waits for it afterwards.
  __device__ __forceinline__ Bias(const Item& item, const Place& place) {
    using Scalar = typename Config::Scalar;
    const Vector& bias = item.gemm.bias;
#pragma unroll
    for (int j = 0; j < Config::kColumns; ++j) {
      const bool is_there = bias.data && place.n + j < item.n;
      column[j] = is_there
                      ? ptx::ld_global_nc<Scalar>(element_at<Scalar>(bias, place.t, place.n + j))
                      : Scalar{};
    }
  }
};

template <class Config>
__device__ __forceinline__ void store_row(const Item& item, const Place& place, int m,
                                          const Bias<Config>& bias,
                                          typename Config::Accum (&values)[Config::kColumns]) {
  using Scalar = typename Config::Scalar;
  using Accum = typename Config::Accum;
  const Gemm& gemm = item.gemm;
  const int columns = item.n - place.n;
  if (item.stores_accum) {
    store_columns<Accum>(gemm.c, place.split * item.part_elems, place, m, columns,
                         item.stores_vectors_of_c, values);
    return;
  }
#pragma unroll
  for (int j = 0; j < Config::kColumns; ++j) values[j] += to_accum(bias.column[j]);
  if (gemm.z.data) {
    store_columns<Scalar>(gemm.z, 0, place, m, columns, item.stores_vectors_of_z, values);
  }
  activate_all<Scalar>(gemm.activation, values);
  store_columns<Scalar>(gemm.c, 0, place, m, columns, item.stores_vectors_of_c, values);
}

template <class Config>
__device__ __forceinline__ void store_column_sums(const Item& item, const Place& place,
                                                  const Totals<Config>& totals) {
  using Scalar = typename Config::Scalar;
  using Accum = typename Config::Accum;
  const Vector& sums = item.gemm.column_sums;
  const Accumulation accumulation = item.gemm.accumulation;
#pragma unroll
  for (int j = 0; j < Config::kColumns; ++j) {
    const int n = place.n + j;
    if (n >= item.n) break;
    if (item.stores_accum) {
      Accum* const part =
          element_at<Accum>(sums, place.t, n) + place.split * item.column_sum_part_elems;
      store_element(accumulation, part, totals.column[j]);
    } else {
      store_element(accumulation, element_at<Scalar>(sums, place.t, n), totals.column[j]);
    }
  }
}

// The rows of c that a slice stores get what is there added to them, all of them at once, so that
// one wait serves all. Out is what they are stored as.
template <class Out, class Config>
__device__ __forceinline__ void add_stored_rows(const Item& item, const Place& place, int slices,
                                                Totals<Config>& totals) {
  const Matrix& c = item.gemm.c;
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    const bool is_own = (row & (slices - 1)) == place.slice;
    if (!is_own || place.m + row >= place.m_end) continue;
    const Out* gmem = element_at<Out>(c, place.t, place.m + row, place.n);
    add_stored_group(gmem, c.stride_n, totals.product[row], item.n - place.n,
                     item.stores_vectors_of_c);
  }
}

// The slices of a unit share its rows.
template <class Config>
__device__ __forceinline__ void store(const Item& item, const Place& place, int slices,
                                      const Bias<Config>& bias, Totals<Config>& totals) {
  if (item.gemm.accumulation != Accumulation::kOverwrite) {
    if (item.stores_accum) {
      add_stored_rows<typename Config::Accum>(item, place, slices, totals);
    } else {
      add_stored_rows<typename Config::Scalar>(item, place, slices, totals);
    }
  }
  // A loop and not a sequence, or the activations' code would be there once a row: the row whose
  // turn it is moves to where the registers' names are known.
#pragma unroll 1
  for (int row = 0; row < kRows; ++row) {
    const bool is_own = (row & (slices - 1)) == place.slice;
    if (is_own && place.m + row < place.m_end) {
      store_row<Config>(item, place, place.m + row, bias, totals.product[0]);
    }
#pragma unroll
    for (int next = 1; next < kRows; ++next) {
#pragma unroll
      for (int j = 0; j < Config::kColumns; ++j) {
        totals.product[next - 1][j] = totals.product[next][j];
      }
    }
  }
  if (item.gemm.column_sums.data && place.m == 0 && place.slice == 0) {
    store_column_sums(item, place, totals);
  }
}

}  // namespace per_step_dense::tiny
