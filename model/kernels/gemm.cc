#include "model/kernels/gemm.h"

#include <cstdint>

#include "model/kernels/vector_math.h"

// Declared here for want of a header that all BLAS packages share.
extern "C" void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k,
                            float alpha, const float* a, int lda, const float* b, int ldb,
                            float beta, float* c, int ldc);

namespace pompc::model::kernels {
namespace {

// A tile of c is kTileRows x kTileColumns: its sums fill twelve of the sixteen vector registers,
// and two more hold b.
constexpr int64_t kTileRows = 6;
constexpr int64_t kTileColumns = 2 * kWidth;
// Rows of b worked on together: a panel of them and of kTileColumns columns is half of the
// first-level cache.
constexpr int64_t kPanelRows = 256;

// Rows of op(a) from some row and column on.
struct Rows {
  const float* data;
  int64_t row_stride;
  int64_t column_stride;
};

// kRows rows of c from `depth` columns of op(a) and a packed panel of op(b).
template <int kRows>
POMPC_INLINE void MultiplyTile(int64_t depth, const Rows& a, const float* panel, bool accumulate,
                               int64_t c_stride, float* c) {
  Floats left[kRows] = {};
  Floats right[kRows] = {};
  for (int64_t p = 0; p < depth; ++p) {
    const Floats b_left = Load(panel + p * kTileColumns);
    const Floats b_right = Load(panel + p * kTileColumns + kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float x = a.data[r * a.row_stride + p * a.column_stride];
      left[r] += x * b_left;
      right[r] += x * b_right;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    float* out = c + r * c_stride;
    Store(out, accumulate ? left[r] + Load(out) : left[r]);
    Store(out + kWidth, accumulate ? right[r] + Load(out + kWidth) : right[r]);
  }
}

// The same for 1 to kTileRows rows.
POMPC_INLINE void MultiplyRows(int64_t rows, int64_t depth, const Rows& a, const float* panel,
                               bool accumulate, int64_t c_stride, float* c) {
  switch (rows) {
    case 1:
      return MultiplyTile<1>(depth, a, panel, accumulate, c_stride, c);
    case 2:
      return MultiplyTile<2>(depth, a, panel, accumulate, c_stride, c);
    case 3:
      return MultiplyTile<3>(depth, a, panel, accumulate, c_stride, c);
    case 4:
      return MultiplyTile<4>(depth, a, panel, accumulate, c_stride, c);
    case 5:
      return MultiplyTile<5>(depth, a, panel, accumulate, c_stride, c);
    default:
      return MultiplyTile<kTileRows>(depth, a, panel, accumulate, c_stride, c);
  }
}

// Rows `first`..first + depth of `columns` <= kTileColumns columns of op(b) from `column` on,
// padded with zeros.
POMPC_INLINE void Pack(const Gemm& gemm, const float* b, int64_t first, int64_t depth,
                       int64_t column, int64_t columns, float* panel) {
  if (gemm.transpose_b) {
    for (int64_t j = 0; j < kTileColumns; ++j) {
      for (int64_t p = 0; p < depth; ++p) {
        panel[p * kTileColumns + j] = j < columns ? b[(column + j) * gemm.k + first + p] : 0;
      }
    }
    return;
  }
  for (int64_t p = 0; p < depth; ++p) {
    const float* row = b + (first + p) * gemm.n + column;
    float* out = panel + p * kTileColumns;
    if (columns == kTileColumns) {
      Store(out, Load(row));
      Store(out + kWidth, Load(row + kWidth));
    } else {
      for (int64_t j = 0; j < kTileColumns; ++j) out[j] = j < columns ? row[j] : 0;
    }
  }
}

// Whether MultiplySmall is the faster one: processors with AVX-512 have BLAS kernels twice as wide.
bool PrefersSmall(const Gemm& gemm) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  static const bool suits = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                            !__builtin_cpu_supports("avx512f");
  return suits && gemm.n >= kTileColumns && gemm.n <= 256 && gemm.k <= 2 * kPanelRows;
#else
  return false;
#endif
}

}  // namespace

POMPC_MULTIVERSION
void MultiplySmall(const Gemm& gemm, const float* a, const float* b, float* c) {
  alignas(64) float panel[kPanelRows * kTileColumns];
  float edge[kTileRows * kTileColumns];
  for (int64_t first = 0; first < gemm.k; first += kPanelRows) {
    const int64_t depth = gemm.k - first < kPanelRows ? gemm.k - first : kPanelRows;
    const bool accumulate = gemm.accumulate || first > 0;
    for (int64_t column = 0; column < gemm.n; column += kTileColumns) {
      const int64_t columns = gemm.n - column < kTileColumns ? gemm.n - column : kTileColumns;
      Pack(gemm, b, first, depth, column, columns, panel);
      for (int64_t row = 0; row < gemm.m; row += kTileRows) {
        const int64_t rows = gemm.m - row < kTileRows ? gemm.m - row : kTileRows;
        const Rows part = gemm.transpose_a ? Rows{a + first * gemm.m + row, 1, gemm.m}
                                           : Rows{a + row * gemm.k + first, gemm.k, 1};
        float* out = c + row * gemm.n + column;
        if (columns == kTileColumns) {
          MultiplyRows(rows, depth, part, panel, accumulate, gemm.n, out);
          continue;
        }
        MultiplyRows(rows, depth, part, panel, false, kTileColumns, edge);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t j = 0; j < columns; ++j) {
            float& element = out[r * gemm.n + j];
            element = edge[r * kTileColumns + j] + (accumulate ? element : 0);
          }
        }
      }
    }
  }
}

void MultiplyBlas(const Gemm& gemm, const float* a, const float* b, float* c) {
  constexpr int kRowMajor = 101;
  constexpr int kPlain = 111;
  constexpr int kTransposed = 112;
  const int m = static_cast<int>(gemm.m);
  const int n = static_cast<int>(gemm.n);
  const int k = static_cast<int>(gemm.k);
  cblas_sgemm(kRowMajor, gemm.transpose_a ? kTransposed : kPlain,
              gemm.transpose_b ? kTransposed : kPlain, m, n, k, 1.0f, a, gemm.transpose_a ? m : k,
              b, gemm.transpose_b ? k : n, gemm.accumulate ? 1.0f : 0.0f, c, n);
}

void Multiply(const Gemm& gemm, const float* a, const float* b, float* c) {
  if (PrefersSmall(gemm)) {
    MultiplySmall(gemm, a, b, c);
  } else {
    MultiplyBlas(gemm, a, b, c);
  }
}

}  // namespace pompc::model::kernels
