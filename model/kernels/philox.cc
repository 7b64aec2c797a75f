#include "model/kernels/philox.h"

#include <cstdint>

#include "model/kernels/vector_math.h"

namespace pompc::model::kernels {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr float kTwoToMinus24 = 5.9604644775390625e-8f;

struct Words {
  uint32_t w[4];
};

POMPC_INLINE void Round(Words& c, uint32_t key0, uint32_t key1) {
  const uint64_t product0 = static_cast<uint64_t>(kMultiplier0) * c.w[0];
  const uint64_t product1 = static_cast<uint64_t>(kMultiplier1) * c.w[2];
  c = {static_cast<uint32_t>(product1 >> 32) ^ c.w[1] ^ key0, static_cast<uint32_t>(product1),
       static_cast<uint32_t>(product0 >> 32) ^ c.w[3] ^ key1, static_cast<uint32_t>(product0)};
}

// Ten rounds, written out: the compiler then runs kWidth blocks side by side in registers.
POMPC_INLINE Words Philox(const PhiloxStream& stream, uint64_t block) {
  const uint32_t key0 = static_cast<uint32_t>(stream.key);
  const uint32_t key1 = static_cast<uint32_t>(stream.key >> 32);
  Words c = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), stream.index,
             stream.name};
  Round(c, key0, key1);
  Round(c, key0 + kWeyl0, key1 + kWeyl1);
  Round(c, key0 + 2 * kWeyl0, key1 + 2 * kWeyl1);
  Round(c, key0 + 3 * kWeyl0, key1 + 3 * kWeyl1);
  Round(c, key0 + 4 * kWeyl0, key1 + 4 * kWeyl1);
  Round(c, key0 + 5 * kWeyl0, key1 + 5 * kWeyl1);
  Round(c, key0 + 6 * kWeyl0, key1 + 6 * kWeyl1);
  Round(c, key0 + 7 * kWeyl0, key1 + 7 * kWeyl1);
  Round(c, key0 + 8 * kWeyl0, key1 + 8 * kWeyl1);
  Round(c, key0 + 9 * kWeyl0, key1 + 9 * kWeyl1);
  return c;
}

constexpr int64_t kChunk = 4 * kWidth;

// The upper 24 bits of words k of kWidth blocks, as exact floats.
struct Lanes {
  Floats word[4];
};

// kWidth blocks side by side: ten rounds are a long chain of dependent products, and only
// independent blocks keep the processor's multipliers busy.
POMPC_INLINE Lanes PhiloxLanes(const PhiloxStream& stream, uint64_t first_block) {
  int32_t words[4][kWidth];
  for (int i = 0; i < kWidth; ++i) {
    const Words c = Philox(stream, first_block + static_cast<uint64_t>(i));
    for (int k = 0; k < 4; ++k) words[k][i] = static_cast<int32_t>(c.w[k] >> 8);
  }
  Lanes lanes;
  for (int k = 0; k < 4; ++k) lanes.word[k] = ToFloats(__builtin_bit_cast(Ints, words[k]));
  return lanes;
}

POMPC_INLINE void Interleave(const Lanes& lanes, float* out) {
  for (int i = 0; i < kWidth; ++i) {
    for (int k = 0; k < 4; ++k) out[4 * i + k] = lanes.word[k][i];
  }
}

POMPC_INLINE Floats Sqrt(Floats x) {
  for (int i = 0; i < kWidth; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}

struct UniformDraws {
  POMPC_INLINE void operator()(Lanes lanes, float* out) const {
    for (Floats& word : lanes.word) word *= kTwoToMinus24;
    Interleave(lanes, out);
  }
};

struct NormalDraws {
  POMPC_INLINE void operator()(Lanes lanes, float* out) const {
    for (int pair = 0; pair < 4; pair += 2) {
      // In (0, 1], so that the logarithm is finite.
      const Floats u = (lanes.word[pair] + 1.0f) * kTwoToMinus24;
      const Floats radius = Sqrt(-2.0f * Log(u));
      const SinCos angle = SinCosOfTurns(lanes.word[pair + 1] * kTwoToMinus24);
      lanes.word[pair] = radius * angle.cos;
      lanes.word[pair + 1] = radius * angle.sin;
    }
    Interleave(lanes, out);
  }
};

template <typename Draws>
POMPC_INLINE void Fill(const PhiloxStream& stream, int64_t count, float* out, const Draws& draws) {
  int64_t done = 0;
  for (; done + kChunk <= count; done += kChunk)
    draws(PhiloxLanes(stream, static_cast<uint64_t>(done / 4)), out + done);
  if (done == count) return;
  // The last chunk is drawn whole and cut, so that a draw does not depend on how many follow it.
  float rest[kChunk];
  draws(PhiloxLanes(stream, static_cast<uint64_t>(done / 4)), rest);
  for (int64_t i = done; i < count; ++i) out[i] = rest[i - done];
}

}  // namespace

void PhiloxBlock(const PhiloxStream& stream, uint64_t block, uint32_t words[4]) {
  const Words c = Philox(stream, block);
  for (int k = 0; k < 4; ++k) words[k] = c.w[k];
}

void PhiloxUniform(const PhiloxStream& stream, int64_t count, float* out) {
  CallBest([&](auto) POMPC_INLINE_LAMBDA { Fill(stream, count, out, UniformDraws()); });
}

void PhiloxNormal(const PhiloxStream& stream, int64_t count, float* out) {
  CallBest([&](auto) POMPC_INLINE_LAMBDA { Fill(stream, count, out, NormalDraws()); });
}

}  // namespace pompc::model::kernels
