#include "model/kernels/gemm.h"

#include <dlfcn.h>
#include <strings.h>

#include <cstdint>
#include <initializer_list>

#include "common/base/check.h"
#include "model/kernels/gemm_bfloat16.h"
#include "model/kernels/instructions.h"
#include "model/kernels/vector_math.h"

// Declared here for want of a header that all BLAS packages share.
extern "C" void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k,
                            float alpha, const float* a, int lda, const float* b, int ldb,
                            float beta, float* c, int ldc);

namespace pompc::model::kernels {
namespace {

// Rows of op(b) worked on together: a panel of them and of one tile's columns is half of the
// first-level cache, or all of it with vectors of 64 bytes.
constexpr int64_t kPanelRows = 256;

// The way in which a processor multiplies. A tile of c is kRows x kColumns numbers, two vectors
// wide; its sums fill all vector registers but those that hold a row of op(b) and a number of
// op(a).
struct Avx2 {
  using Vector = Floats;
  static constexpr int kRows = 6;
};
#ifdef POMPC_TARGET
struct Avx512 {
  using Vector = WideFloats;
  static constexpr int kRows = 12;
};
#endif
template <typename Isa>
constexpr int64_t kStep = kLanes<typename Isa::Vector>;
template <typename Isa>
constexpr int64_t kColumns = 2 * kStep<Isa>;

// Rows of op(a) from some row and column on.
struct Rows {
  const float* data;
  int64_t row_stride;
  int64_t column_stride;
};

// A block of c and what its sums begin with: nothing (nullptr), or numbers whose rows are
// `from_stride` apart, those of c itself included.
struct Block {
  float* c;
  int64_t stride;
  const float* from;
  int64_t from_stride;
};

// kRows rows and kVectors vectors of c from `depth` columns of op(a) and a packed panel of op(b),
// whose rows are `panel_stride` apart.
template <typename Isa, int kVectors, int kRows>
POMPC_INLINE void MultiplyTile(int64_t depth, const Rows& a, const float* panel,
                               int64_t panel_stride, const Block& block) {
  using Vector = typename Isa::Vector;
  Vector sums[kRows][kVectors] = {};
  if (block.from != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v)
        sums[r][v] = Load<Vector>(block.from + r * block.from_stride + v * kStep<Isa>);
    }
  }
  for (int64_t p = 0; p < depth; ++p) {
    Vector b[kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v)
      b[v] = Load<Vector>(panel + p * panel_stride + v * kStep<Isa>);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const float x = a.data[r * a.row_stride + p * a.column_stride];
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) sums[r][v] += x * b[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v)
      Store<Vector>(block.c + r * block.stride + v * kStep<Isa>, sums[r][v]);
  }
}

// MultiplyTile for 1 to kRows rows: the count becomes a constant, and the sums stay in registers.
template <typename Isa, int kVectors, int kRows = Isa::kRows>
POMPC_INLINE void MultiplyRows(int64_t rows, int64_t depth, const Rows& a, const float* panel,
                               int64_t panel_stride, const Block& block) {
  if constexpr (kRows > 1) {
    if (rows < kRows) {
      return MultiplyRows<Isa, kVectors, kRows - 1>(rows, depth, a, panel, panel_stride, block);
    }
  }
  MultiplyTile<Isa, kVectors, kRows>(depth, a, panel, panel_stride, block);
}

// out [8, 8] with rows `stride` apart = the transpose of x, whose rows are `x_stride` apart.
POMPC_INLINE void Transpose8(const float* x, int64_t x_stride, float* out, int64_t stride) {
  Floats rows[8], pairs[8], quads[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) rows[i] = Load(x + i * x_stride);
#pragma GCC unroll 8
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    pairs[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
#pragma GCC unroll 8
  for (int k = 0; k < 4; ++k) {
    const int i = k + k / 2 * 2;
    quads[i] = __builtin_shufflevector(pairs[i], pairs[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    quads[i + 2] = __builtin_shufflevector(pairs[i], pairs[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 4; ++i) {
    const Floats& low = quads[i];
    const Floats& high = quads[i + 4];
    Store(out + i * stride, __builtin_shufflevector(low, high, 0, 1, 2, 3, 8, 9, 10, 11));
    Store(out + (i + 4) * stride, __builtin_shufflevector(low, high, 4, 5, 6, 7, 12, 13, 14, 15));
  }
}

// A part of op(b): `depth` rows from `first` on, `columns` columns from `column` on.
struct Part {
  int64_t first, depth, column, columns;
};

// The part of b as a panel [depth, kColumns], padded with zeros.
template <typename Isa>
POMPC_INLINE void PackTransposed(const Gemm& gemm, const float* b, const Part& part, float* panel) {
  constexpr int64_t kPanelColumns = kColumns<Isa>;
  const float* from = b + part.column * gemm.k + part.first;
  const int64_t whole_rows = part.depth / 8 * 8;
  const int64_t whole_columns = part.columns / 8 * 8;
  for (int64_t p = 0; p < whole_rows; p += 8) {
    for (int64_t j = 0; j < whole_columns; j += 8) {
      Transpose8(from + j * gemm.k + p, gemm.k, panel + p * kPanelColumns + j, kPanelColumns);
    }
  }
  for (int64_t j = 0; j < kPanelColumns; ++j) {
    for (int64_t p = j < whole_columns ? whole_rows : 0; p < part.depth; ++p) {
      panel[p * kPanelColumns + j] = j < part.columns ? from[j * gemm.k + p] : 0;
    }
  }
}

template <typename Isa>
POMPC_INLINE void Pack(const Gemm& gemm, const float* b, const Part& part, float* panel) {
  using Vector = typename Isa::Vector;
  if (gemm.transpose_b) return PackTransposed<Isa>(gemm, b, part, panel);
  for (int64_t p = 0; p < part.depth; ++p) {
    const float* row = b + (part.first + p) * gemm.n + part.column;
    float* out = panel + p * kColumns<Isa>;
    if (part.columns == kColumns<Isa>) {
      Store<Vector>(out, Load<Vector>(row));
      Store<Vector>(out + kStep<Isa>, Load<Vector>(row + kStep<Isa>));
    } else {
      for (int64_t j = 0; j < kColumns<Isa>; ++j) out[j] = j < part.columns ? row[j] : 0;
    }
  }
}

// The usual blocking (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication",
// 2008), with op(b) packed and op(a) read as it lies: the factors here are small enough for the
// caches, and packing both would cost more than it saves. Columns that do not fill a tile go
// through `edge`, since c has no room beyond its last column.
template <typename Isa>
POMPC_INLINE void MultiplyWith(const Gemm& gemm, const float* a, const float* b, float* c) {
  alignas(64) float panel[kPanelRows * kColumns<Isa>];
  alignas(64) float edge[Isa::kRows * kColumns<Isa>];
  for (int64_t first = 0; first < gemm.k; first += kPanelRows) {
    Part part;
    part.first = first;
    part.depth = gemm.k - first < kPanelRows ? gemm.k - first : kPanelRows;
    // Panels after the first one add to what the ones before have left in c.
    const bool accumulate = gemm.accumulate || first > 0;
    for (int64_t column = 0; column < gemm.n; column += kColumns<Isa>) {
      part.column = column;
      part.columns = gemm.n - column < kColumns<Isa> ? gemm.n - column : kColumns<Isa>;
      Pack<Isa>(gemm, b, part, panel);
      for (int64_t row = 0; row < gemm.m; row += Isa::kRows) {
        const int64_t rows = gemm.m - row < Isa::kRows ? gemm.m - row : Isa::kRows;
        const Rows from = gemm.transpose_a ? Rows{a + first * gemm.m + row, 1, gemm.m}
                                           : Rows{a + row * gemm.k + first, gemm.k, 1};
        float* out = c + row * gemm.n + column;
        if (part.columns == kColumns<Isa>) {
          MultiplyRows<Isa, 2>(rows, part.depth, from, panel, kColumns<Isa>,
                               {out, gemm.n, accumulate ? out : nullptr, gemm.n});
          continue;
        }
        const Block whole = {edge, kColumns<Isa>, nullptr, 0};
        if (part.columns > kStep<Isa>) {
          MultiplyRows<Isa, 2>(rows, part.depth, from, panel, kColumns<Isa>, whole);
        } else {
          MultiplyRows<Isa, 1>(rows, part.depth, from, panel, kColumns<Isa>, whole);
        }
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t j = 0; j < part.columns; ++j) {
            float& element = out[r * gemm.n + j];
            element = edge[r * kColumns<Isa> + j] + (accumulate ? element : 0);
          }
        }
      }
    }
  }
}

// The columns of a packed factor are cut into panels of two vectors, each stored as [in, width of
// the panel]. Where an odd number of vectors is needed the last panel has three, for one alone
// would leave the processor waiting for its sums.
template <typename Isa, typename Function>
POMPC_INLINE void ForEachPanel(int64_t out, const Function& function) {
  int64_t column = 0;
  const int64_t vectors = PaddedColumns(out) / kStep<Isa>;
  for (int64_t left = vectors; left > 0;) {
    const int64_t width = left == 3 || left == 1 ? left : 2;
    function(column, width * kStep<Isa>);
    column += width * kStep<Isa>;
    left -= width;
  }
}

// True if MultiplySmall was written for this processor: then it is the faster one for small sizes.
bool HasOwnVersion() { return BestInstructions() >= Instructions::kAvx2; }

// Calls `function`, a POMPC_INLINE_LAMBDA, with the way in which this processor multiplies.
template <typename Function>
void CallGemm(const Function& function) {
  CallBest([&](auto isa) POMPC_INLINE_LAMBDA {
#ifdef POMPC_TARGET
    if constexpr (isa >= Instructions::kAvx512) return function(Avx512());
#endif
    return function(Avx2());
  });
}

template <typename Isa>
POMPC_INLINE void PackPanels(int64_t in, int64_t out, const float* weight, float* packed) {
  ForEachPanel<Isa>(out, [&](int64_t column, int64_t width) POMPC_INLINE_LAMBDA {
    float* panel = packed + column * in;
    for (int64_t p = 0; p < in; ++p, panel += width) {
      for (int64_t j = 0; j < width; ++j)
        panel[j] = column + j < out ? weight[p * out + column + j] : 0;
    }
  });
}

// All rows for a panel, which stays in the cache.
template <typename Isa>
POMPC_INLINE void MultiplyPanels(const PackedMatrix& weights, int64_t rows, RowsOf<const float> x,
                                 const float* start, RowsOf<float> y) {
  const int64_t depth = weights.in();
  ForEachPanel<Isa>(weights.out(), [&](int64_t column, int64_t width) POMPC_INLINE_LAMBDA {
    const float* const panel = weights.data() + column * depth;
    const auto multiply = [&]<int kVectors, int kRows>() POMPC_INLINE_LAMBDA {
      for (int64_t row = 0; row < rows; row += kRows) {
        MultiplyRows<Isa, kVectors, kRows>(
            rows - row, depth, {x.From(row).data, x.stride, 1}, panel, width,
            {y.From(row).data + column, y.stride, start + column, 0});
      }
    };
    if (width == 2 * kStep<Isa>) {
      multiply.template operator()<2, Isa::kRows>();
    } else if (width == 3 * kStep<Isa>) {
      multiply.template operator()<3, Isa::kRows * 2 / 3>();
    } else {
      multiply.template operator()<1, Isa::kRows>();
    }
  });
}

// True if the BLAS is an OpenBLAS that took this processor for one without AVX2, as releases do
// with processors newer than themselves (0.3.21 of Debian 12 with Xeons of 2023): it is several
// times slower there than it could be. REQUIRES: the processor has AVX2.
bool BlasIsOutdated() {
  POMPC_CHECK(HasOwnVersion());
  using Name = const char* (*)();
  const auto name = reinterpret_cast<Name>(dlsym(RTLD_DEFAULT, "openblas_get_corename"));
  if (name == nullptr) return false;
  for (const char* old : {"Generic", "Katmai", "Coppermine", "Northwood", "Banias", "Prescott",
                          "Atom", "Core2", "Penryn", "Dunnington", "Nehalem", "Sandybridge",
                          "Athlon", "Opteron", "Opteron_SSE3", "Barcelona", "Bobcat", "Bulldozer",
                          "Piledriver", "Steamroller", "Nano"}) {
    if (strcasecmp(name(), old) == 0) return true;
  }
  return false;
}

// Wider or deeper products are worth packing both factors, which the BLAS does.
bool PrefersSmall(const Gemm& gemm) {
  static const bool always = HasOwnVersion() && BlasIsOutdated();
  if (always) return true;
  return HasOwnVersion() && gemm.n >= kColumns<Avx2> && gemm.n <= 256 && gemm.k <= 2 * kPanelRows;
}

}  // namespace

void MultiplySmall(const Gemm& gemm, const float* a, const float* b, float* c) {
  CallGemm([&](auto isa) POMPC_INLINE_LAMBDA { MultiplyWith<decltype(isa)>(gemm, a, b, c); });
}

void MultiplyBlas(const Gemm& gemm, const float* a, const float* b, float* c) {
  // The values of CBLAS's enumerations, which all implementations share.
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

PackedMatrix::PackedMatrix(int64_t in, int64_t out, const float* weight)
    : in_(in), out_(out), lines_(static_cast<size_t>(in * PaddedColumns(out) / kColumnMultiple)) {
  POMPC_CHECK(in > 0 && out > 0);
  CallGemm([&](auto isa) POMPC_INLINE_LAMBDA {
    PackPanels<decltype(isa)>(in, out, weight, lines_.front().numbers);
  });
}

void MultiplyPacked(const PackedMatrix& weights, int64_t rows, RowsOf<const float> x,
                    const float* start, RowsOf<float> y) {
  CallGemm([&](auto isa)
               POMPC_INLINE_LAMBDA { MultiplyPanels<decltype(isa)>(weights, rows, x, start, y); });
}

void Multiply(const Gemm& gemm, const float* a, const float* b, float* c) {
  POMPC_DCHECK(gemm.m >= 0 && gemm.n > 0 && gemm.k > 0);
  if (gemm.bfloat16 && HasBfloat16()) {
    MultiplyBfloat16(gemm, a, b, c);
  } else if (PrefersSmall(gemm)) {
    MultiplySmall(gemm, a, b, c);
  } else {
    MultiplyBlas(gemm, a, b, c);
  }
}

}  // namespace pompc::model::kernels
