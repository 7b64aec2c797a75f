// Philox4x32-10 draws in bulk. Thread-safe, single-threaded.
#ifndef POMPC_MODEL_KERNELS_PHILOX_H_
#define POMPC_MODEL_KERNELS_PHILOX_H_

#include <cstdint>

namespace pompc::model::kernels {

struct PhiloxStream {
  uint64_t key = 0;
  // The two upper words of the counter; the lower two count blocks of four draws.
  uint32_t index = 0;
  uint32_t name = 0;
};

// One block: counter {block, block >> 32, index, name}.
void PhiloxBlock(const PhiloxStream& stream, uint64_t block, uint32_t words[4]);

// `count` draws, from block 0 on, four a block: uniform in [0, 1) with 24 bits each, or standard
// normal (Box-Muller on pairs of words).
void PhiloxUniform(const PhiloxStream& stream, int64_t count, float* out);
void PhiloxNormal(const PhiloxStream& stream, int64_t count, float* out);

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_PHILOX_H_
