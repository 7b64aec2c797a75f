#include "model/kernels/gemm_bfloat16.h"

#include <cstdint>

#include "common/base/check.h"
#include "model/kernels/instructions.h"
#include "model/kernels/vector_math.h"

#if defined(POMPC_TARGET) && defined(__linux__)
#define POMPC_HAS_BFLOAT16_CODE
#include <immintrin.h>

#include <algorithm>
#include <vector>
#endif

namespace pompc::model::kernels {

#ifdef POMPC_HAS_BFLOAT16_CODE
namespace {

#define POMPC_AVX512_BF16 POMPC_TARGET_AVX512_BF16
#define POMPC_AMX POMPC_TARGET("arch=x86-64-v4,avx512bf16,amx-tile,amx-bf16")

// Both factors are packed into tiles, which AMX multiplies as a whole and AVX-512 row by row. A
// tile of op(a) or c has 16 rows, one of op(b) 16 columns; each row of a tile is 64 bytes.
constexpr int64_t kTileRows = 16;
constexpr int64_t kTileDepth = 32;  // of op(a) and op(b), in bfloat16
// Rows of op(b) worked on together: with two tiles of columns, 32 KiB of the first-level cache.
constexpr int64_t kPanelTiles = 16;
// Columns of c made together, in tiles, and rows: their sums fill four of the eight tile registers
// of AMX.
constexpr int64_t kBlockTiles = 2;
constexpr int64_t kBlock = kBlockTiles * kTileRows;

// A part of a factor as AMX's tile registers hold it: 16 rows of 32 numbers of op(a); or of op(b),
// where row p of the tile has rows 2 p and 2 p + 1 of 16 columns, pair by pair.
struct alignas(64) Tile {
  Bfloat16 numbers[kTileRows * kTileDepth];
};

constexpr int64_t TilesOver(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

// The first `count` of 16 numbers.
__mmask16 First(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1 << count) - 1);
}

// Up to 32 numbers of a row, as 16 pairs of neighbours.
POMPC_AVX512_BF16 inline __m512i NeighboursInRow(const float* row, int64_t count) {
  const __m512 low = _mm512_maskz_loadu_ps(First(count), row);
  const __m512 high = count > 16 ? _mm512_maskz_loadu_ps(First(count - 16), row + 16)
                                 : _mm512_setzero_ps();
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// Up to 16 numbers of a row, each paired with the one below it.
POMPC_AVX512_BF16 inline __m512i NeighboursBelow(const float* row, int64_t stride, bool has_below,
                                                 int64_t count) {
  const __m512 upper = _mm512_maskz_loadu_ps(First(count), row);
  const __m512 lower =
      has_below ? _mm512_maskz_loadu_ps(First(count), row + stride) : _mm512_setzero_ps();
  const __m512i interleave =
      _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                       21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(interleave, (__m512i)_mm512_cvtne2ps_pbh(lower, upper));
}

// rows[i] number j becomes rows[j] number i, of 16 by 16 numbers of 32 bits.
POMPC_AVX512_BF16 inline void Transpose(__m512i (&rows)[16]) {
  __m512i pairs[16], quads[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  // quads[4 g + j] has columns j, j + 4, j + 8, j + 12 of rows 4 g to 4 g + 3, by quarters.
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512i even_low = _mm512_shuffle_i32x4(quads[j], quads[4 + j], 0x88);
    const __m512i odd_low = _mm512_shuffle_i32x4(quads[j], quads[4 + j], 0xdd);
    const __m512i even_high = _mm512_shuffle_i32x4(quads[8 + j], quads[12 + j], 0x88);
    const __m512i odd_high = _mm512_shuffle_i32x4(quads[8 + j], quads[12 + j], 0xdd);
    rows[j] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    rows[j + 4] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    rows[j + 8] = _mm512_shuffle_i32x4(even_low, even_high, 0xdd);
    rows[j + 12] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
  }
}

// A part of a factor that becomes a tile: `lines` rows of op(a) or columns of op(b), `depth`
// columns or rows; zeros beyond. In memory one of the two lies close, the other is `stride` apart.
struct TileSource {
  const float* data;
  int64_t stride;
  int64_t lines, depth;
};

// The source's depth lies close: op(a) as it is stored, op(b) stored transposed.
template <bool kTranspose>
POMPC_AVX512_BF16 void PackAlongDepth(const TileSource& from, Tile& tile) {
  __m512i rows[16];
#pragma GCC unroll 16
  for (int64_t i = 0; i < 16; ++i) {
    rows[i] = i < from.lines ? NeighboursInRow(from.data + i * from.stride, from.depth)
                             : _mm512_setzero_si512();
  }
  if constexpr (kTranspose) Transpose(rows);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_store_si512(tile.numbers + i * kTileDepth, rows[i]);
}

// Its lines do.
template <bool kTranspose>
POMPC_AVX512_BF16 void PackAcrossDepth(const TileSource& from, Tile& tile) {
  __m512i rows[16];
#pragma GCC unroll 16
  for (int64_t p = 0; p < 16; ++p) {
    rows[p] = 2 * p < from.depth
                  ? NeighboursBelow(from.data + 2 * p * from.stride, from.stride,
                                    2 * p + 1 < from.depth, from.lines)
                  : _mm512_setzero_si512();
  }
  if constexpr (kTranspose) Transpose(rows);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_store_si512(tile.numbers + i * kTileDepth, rows[i]);
}

// A factor: where its lines (rows of op(a), columns of op(b)) and its depth are in memory.
struct Factor {
  const float* data;
  int64_t lines, depth;
  bool depth_close;  // else lines are

  TileSource At(int64_t line, int64_t position) const {
    const int64_t stride = depth_close ? depth : lines;
    return {data + (depth_close ? line * stride + position : position * stride + line), stride,
            std::min(kTileRows, lines - line), std::min(kTileDepth, depth - position)};
  }
};

POMPC_AVX512_BF16 void PackA(const Factor& a, int64_t line, int64_t position, Tile& tile) {
  if (a.depth_close) {
    PackAlongDepth</*kTranspose=*/false>(a.At(line, position), tile);
  } else {
    PackAcrossDepth</*kTranspose=*/true>(a.At(line, position), tile);
  }
}

POMPC_AVX512_BF16 void PackB(const Factor& b, int64_t line, int64_t position, Tile& tile) {
  if (b.depth_close) {
    PackAlongDepth</*kTranspose=*/true>(b.At(line, position), tile);
  } else {
    PackAcrossDepth</*kTranspose=*/false>(b.At(line, position), tile);
  }
}

// A block of c and the tiles whose product it gets: tiles of the same rows or columns follow one
// another, those of the next are `depth` on.
struct Block {
  int64_t rows, columns;  // kBlock at most; columns 3/2 of it if multiplied by vectors
  int64_t depth;          // in tiles
  int64_t last_pairs;     // pairs of numbers in the depth of the last tile; zeros follow
  // Tiles of op(a): packed ones, or parts of rows that lie side by side in memory. The distance
  // between rows of a tile, between a tile and the next in the depth, and the next below, in
  // numbers.
  const Bfloat16* a;
  int64_t a_row, a_tile, a_below;
  const Tile* b;
  float* c;
  int64_t stride;  // between rows of c
  // What the sums begin with, and the distance between its rows: c itself, another row for each, or
  // the same row for all (0); nullptr: zero.
  const float* from;
  int64_t from_stride;
};

// Rows of c whose sums AVX-512 keeps in registers, two vectors each: half of the registers, so that
// a row of op(b) and a pair of op(a) have theirs, and a tile of op(a) is two such parts.
constexpr int kVectorRows = 8;

// kRows rows of the block from `row` on, in kColumns vectors, of which `last` masks the last one.
template <int kRows, int kColumns>
POMPC_AVX512_BF16 inline void MultiplyRows(const Block& block, int64_t row, __mmask16 last) {
  float* const c = block.c + row * block.stride;
  const float* const from = block.from == nullptr ? nullptr : block.from + row * block.from_stride;
  const auto mask = [&](int column) {
    return column + 1 < kColumns ? static_cast<__mmask16>(0xffff) : last;
  };
  __m512 sums[kRows][kColumns];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < kColumns; ++v) {
      sums[r][v] = from != nullptr ? _mm512_maskz_loadu_ps(
                                         mask(v), from + r * block.from_stride + v * kTileRows)
                                   : _mm512_setzero_ps();
    }
  }
  const Bfloat16* const a =
      block.a + row / kTileRows * block.a_below + row % kTileRows * block.a_row;
  for (int64_t p = 0; p < block.depth; ++p) {
    const Bfloat16* pairs = a + p * block.a_tile;
    const uint16_t* panel = block.b[p].numbers;
    const int64_t count = p + 1 < block.depth ? kTileRows : block.last_pairs;
    for (int64_t q = 0; q < count; ++q, pairs += 2, panel += kTileDepth) {
      __m512bh b[kColumns];
#pragma GCC unroll 3
      for (int v = 0; v < kColumns; ++v) {
        b[v] = (__m512bh)_mm512_load_si512(panel + v * block.depth * kTileRows * kTileDepth);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        int32_t pair;
        __builtin_memcpy(&pair, pairs + r * block.a_row, sizeof(pair));
        const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 3
        for (int v = 0; v < kColumns; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], x, b[v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < kColumns; ++v) {
      _mm512_mask_storeu_ps(c + r * block.stride + v * kTileRows, mask(v), sums[r][v]);
    }
  }
}

// MultiplyRows for 1 to kRows rows: the count becomes a constant, and the sums stay in registers.
template <int kColumns, int kRows = kVectorRows>
POMPC_AVX512_BF16 inline void MultiplyRows(const Block& block, int64_t row, int64_t rows,
                                           __mmask16 last) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return MultiplyRows<kColumns, kRows - 1>(block, row, rows, last);
  }
  MultiplyRows<kRows, kColumns>(block, row, last);
}

POMPC_AVX512_BF16 void MultiplyByVectors(const Block& block) {
  const int64_t tiles = TilesOver(block.columns, kTileRows);
  const __mmask16 last = First(block.columns - (tiles - 1) * kTileRows);
  for (int64_t row = 0; row < block.rows; row += kVectorRows) {
    const int64_t rows = block.rows - row;
    if (tiles == 3) {
      MultiplyRows<3>(block, row, rows, last);
    } else {
      tiles == 2 ? MultiplyRows<2>(block, row, rows, last)
                 : MultiplyRows<1>(block, row, rows, last);
    }
  }
}

// The compiler does not know that tile instructions read and write memory: all stores before this
// are done, and no load after it is early.
POMPC_INLINE void MeetMemory(const void* written) { asm volatile("" : : "r"(written) : "memory"); }

// kRows x kColumns whole tiles of the block.
template <int kRows, int kColumns>
POMPC_AMX void MultiplyTiles(const Block& block) {
  float* const c = block.c;
  MeetMemory(c);
  const int64_t depth = block.depth;
  const int64_t bytes = block.stride * static_cast<int64_t>(sizeof(float));
  float* const below = c + kTileRows * block.stride;
  if (block.from != nullptr) {
    const float* const from = block.from;
    const float* const from_below = from + kTileRows * block.from_stride;
    const int64_t from_bytes = block.from_stride * static_cast<int64_t>(sizeof(float));
    _tile_loadd(0, from, from_bytes);
    if constexpr (kColumns > 1) _tile_loadd(1, from + kTileRows, from_bytes);
    if constexpr (kRows > 1) _tile_loadd(2, from_below, from_bytes);
    if constexpr (kRows > 1 && kColumns > 1) _tile_loadd(3, from_below + kTileRows, from_bytes);
  } else {
    _tile_zero(0);
    if constexpr (kColumns > 1) _tile_zero(1);
    if constexpr (kRows > 1) _tile_zero(2);
    if constexpr (kRows > 1 && kColumns > 1) _tile_zero(3);
  }
  const int64_t a_bytes = block.a_row * static_cast<int64_t>(sizeof(Bfloat16));
  for (int64_t p = 0; p < depth; ++p) {
    _tile_loadd(4, block.a + p * block.a_tile, a_bytes);
    _tile_loadd(6, block.b + p, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kColumns > 1) {
      _tile_loadd(7, block.b + depth + p, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kRows > 1) {
      _tile_loadd(5, block.a + block.a_below + p * block.a_tile, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (kRows > 1 && kColumns > 1) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, bytes);
  if constexpr (kColumns > 1) _tile_stored(1, c + kTileRows, bytes);
  if constexpr (kRows > 1) _tile_stored(2, below, bytes);
  if constexpr (kRows > 1 && kColumns > 1) _tile_stored(3, below + kTileRows, bytes);
  MeetMemory(c);
}

POMPC_AMX void MultiplyByTiles(const Block& block) {
  const bool two_rows = block.rows > kTileRows;
  const bool two_columns = block.columns > kTileRows;
  const auto multiply = two_rows ? (two_columns ? MultiplyTiles<2, 2> : MultiplyTiles<2, 1>)
                                 : (two_columns ? MultiplyTiles<1, 2> : MultiplyTiles<1, 1>);
  if (block.rows % kTileRows == 0 && block.columns % kTileRows == 0) return multiply(block);
  // Tiles are stored whole, and c has no room beyond its last row and column.
  alignas(64) float edge[kBlock * kBlock];
  Block whole = block;
  whole.from = nullptr;
  whole.c = edge;
  whole.stride = kBlock;
  multiply(whole);
  for (int64_t r = 0; r < block.rows; ++r) {
    for (int64_t j = 0; j < block.columns; ++j) {
      block.c[r * block.stride + j] =
          edge[r * kBlock + j] +
          (block.from == nullptr ? 0 : block.from[r * block.from_stride + j]);
    }
  }
}

// The layout of _tile_loadconfig's operand: all tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// All of op(a) is packed for one panel of the depth, and used for all columns; op(b) is packed two
// tiles of columns at a time, and used for all rows. Inlined, so that `multiply` is a constant.
template <typename BlockProduct>
POMPC_AVX512_BF16 POMPC_INLINE void MultiplyByPacking(const Gemm& gemm, const float* a,
                                                      const float* b, float* c,
                                                      const BlockProduct& multiply) {
  thread_local std::vector<Tile> buffer;
  const Factor factor_a{a, gemm.m, gemm.k, !gemm.transpose_a};
  const Factor factor_b{b, gemm.n, gemm.k, gemm.transpose_b};
  Tile panel[kBlockTiles * kPanelTiles];
  const int64_t most_tiles =
      TilesOver(gemm.m, kTileRows) * std::min(kPanelTiles, TilesOver(gemm.k, kTileDepth));
  if (buffer.size() < static_cast<size_t>(most_tiles)) {
    buffer = std::vector<Tile>(static_cast<size_t>(most_tiles));
  }
  Tile* const packed_a = buffer.data();
  Block block;
  block.stride = gemm.n;
  block.from_stride = gemm.n;
  block.a_row = kTileDepth;
  block.a_tile = kTileRows * kTileDepth;
  block.b = panel;
  for (int64_t first = 0; first < gemm.k; first += kPanelTiles * kTileDepth) {
    const int64_t depth = std::min(kPanelTiles, TilesOver(gemm.k - first, kTileDepth));
    block.depth = depth;
    block.last_pairs = (std::min(kTileDepth, gemm.k - first - (depth - 1) * kTileDepth) + 1) / 2;
    block.a_below = depth * block.a_tile;
    for (int64_t row = 0; row < gemm.m; row += kTileRows) {
      for (int64_t p = 0; p < depth; ++p) {
        PackA(factor_a, row, first + p * kTileDepth, packed_a[row / kTileRows * depth + p]);
      }
    }
    for (int64_t column = 0; column < gemm.n; column += kBlock) {
      block.columns = std::min(kBlock, gemm.n - column);
      for (int64_t tile = 0; tile * kTileRows < block.columns; ++tile) {
        for (int64_t p = 0; p < depth; ++p) {
          PackB(factor_b, column + tile * kTileRows, first + p * kTileDepth,
                panel[tile * depth + p]);
        }
      }
      for (int64_t row = 0; row < gemm.m; row += kBlock) {
        block.rows = std::min(kBlock, gemm.m - row);
        block.a = packed_a[row / kTileRows * depth].numbers;
        block.c = c + row * gemm.n + column;
        block.from = gemm.accumulate || first > 0 ? block.c : nullptr;
        multiply(block);
      }
    }
  }
}

// A packed factor is its tiles: all of a column of tiles, then those of the next column.
POMPC_AVX512_BF16 void PackTiles(int64_t in, int64_t out, const float* weight, Tile* tile) {
  const Factor factor{weight, out, in, /*depth_close=*/false};
  for (int64_t column = 0; column < out; column += kTileRows) {
    for (int64_t p = 0; p < in; p += kTileDepth) PackB(factor, column, p, *tile++);
  }
}

// Two columns of tiles at a time, and `most_columns` where that many are left, for all rows.
template <typename BlockProduct>
POMPC_AVX512_BF16 POMPC_INLINE void MultiplyRowsOf(const PackedBfloat16Matrix& weights,
                                                   int64_t rows, RowsOf<const Bfloat16> x,
                                                   const float* start, RowsOf<float> y,
                                                   int64_t most_columns,
                                                   const BlockProduct& multiply) {
  Block block;
  block.depth = TilesOver(weights.in(), kTileDepth);
  block.last_pairs = (weights.in() - (block.depth - 1) * kTileDepth + 1) / 2;
  block.a_row = x.stride;
  block.a_tile = kTileDepth;
  block.a_below = kTileRows * x.stride;
  block.stride = y.stride;
  block.from_stride = 0;
  const Tile* const tiles = reinterpret_cast<const Tile*>(weights.data());
  const int64_t columns = PaddedColumns(weights.out());
  for (int64_t column = 0; column < columns; column += block.columns) {
    const int64_t left = columns - column;
    block.columns = left == most_columns ? left : std::min(kBlock, left);
    block.b = tiles + column / kTileRows * block.depth;
    block.from = start + column;
    for (int64_t row = 0; row < rows; row += kBlock) {
      block.rows = std::min(kBlock, rows - row);
      block.a = x.From(row).data;
      block.c = y.From(row).data + column;
      multiply(block);
    }
  }
}

POMPC_AVX512_BF16 void MultiplyRowsAvx512Bf16(const PackedBfloat16Matrix& weights, int64_t rows,
                                              RowsOf<const Bfloat16> x, const float* start,
                                              RowsOf<float> y) {
  // Three, where an odd number of columns of tiles is left: one alone would make the processor wait
  // for its sums.
  MultiplyRowsOf(weights, rows, x, start, y, 3 * kTileRows, MultiplyByVectors);
}

POMPC_AMX void MultiplyRowsAmx(const PackedBfloat16Matrix& weights, int64_t rows,
                               RowsOf<const Bfloat16> x, const float* start, RowsOf<float> y) {
  const TileConfig config;
  MeetMemory(&config);
  _tile_loadconfig(&config);
  MultiplyRowsOf(weights, rows, x, start, y, kBlock, MultiplyByTiles);
  _tile_release();
}

POMPC_AVX512_BF16 void MultiplyAvx512Bf16(const Gemm& gemm, const float* a, const float* b,
                                          float* c) {
  MultiplyByPacking(gemm, a, b, c, MultiplyByVectors);
}

POMPC_AMX void MultiplyAmx(const Gemm& gemm, const float* a, const float* b, float* c) {
  // Whatever used tiles before on this thread may have released them.
  const TileConfig config;
  MeetMemory(&config);
  _tile_loadconfig(&config);
  MultiplyByPacking(gemm, a, b, c, MultiplyByTiles);
  // Tiles in use make every switch between threads slower.
  _tile_release();
}

}  // namespace

bool HasBfloat16() { return BestInstructions() >= Instructions::kAvx512Bf16; }

void MultiplyBfloat16(const Gemm& gemm, const float* a, const float* b, float* c) {
  POMPC_CHECK(HasBfloat16());
  const bool amx = BestInstructions() >= Instructions::kAmx;
  (amx ? MultiplyAmx : MultiplyAvx512Bf16)(gemm, a, b, c);
}

PackedBfloat16Matrix::PackedBfloat16Matrix(int64_t in, int64_t out, const float* weight)
    : in_(in),
      out_(out),
      lines_(
          static_cast<size_t>(TilesOver(in, kTileDepth) * TilesOver(out, kTileRows) * kTileRows)) {
  POMPC_CHECK(HasBfloat16() && in > 0 && out > 0);
  PackTiles(in, out, weight, reinterpret_cast<Tile*>(lines_.data()));
}

void MultiplyPacked(const PackedBfloat16Matrix& weights, int64_t rows, RowsOf<const Bfloat16> x,
                    const float* start, RowsOf<float> y) {
  const bool amx = BestInstructions() >= Instructions::kAmx;
  (amx ? MultiplyRowsAmx : MultiplyRowsAvx512Bf16)(weights, rows, x, start, y);
}

#else

bool HasBfloat16() { return false; }

PackedBfloat16Matrix::PackedBfloat16Matrix(int64_t, int64_t, const float*) {
  POMPC_CHECK(HasBfloat16());
}

void MultiplyPacked(const PackedBfloat16Matrix&, int64_t, RowsOf<const Bfloat16>, const float*,
                    RowsOf<float>) {
  POMPC_CHECK(HasBfloat16());
}

void MultiplyBfloat16(const Gemm& gemm, const float* a, const float* b, float* c) {
  POMPC_CHECK(HasBfloat16());
  MultiplySmall(gemm, a, b, c);
}

#endif

}  // namespace pompc::model::kernels
