// Random tensors that are a pure function of (seed, stream, position): Philox4x32-10 (Salmon et
// al., "Parallel random numbers: as easy as 1, 2, 3", SC'11). Nothing here keeps state, so a draw
// depends neither on the batch around it nor on what was drawn before. All functions are
// thread-safe.
#ifndef POMPC_MODEL_RANDOM_H_
#define POMPC_MODEL_RANDOM_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "model/torch_compat.h"

namespace pompc::model {

// A stream of a seed: `name` tells what the draws are for, `index` counts the occasions.
struct RandomStream {
  uint32_t name = 0;
  uint32_t index = 0;
};

// Seeds where draws are to be made, int64 [B]: the bits are those of `seeds`.
at::Tensor SeedTensor(absl::Span<const uint64_t> seeds, at::Device device);

// Uniform draws in [0, 1), float32 [B, shape...] for seeds int64 [B], on their device: row b
// depends on seeds[b] and `stream` alone. The key is the seed, the counter is (position / 4, 0,
// stream.index, stream.name). The CPU runs one vectorised loop, CUDA one kernel; other devices use
// tensor operations. All give the same uniform draws bit for bit and the same normal draws to
// rounding, and read no number back to the host.
at::Tensor Uniform(const at::Tensor& seeds, RandomStream stream, at::IntArrayRef shape);
at::Tensor Uniform(absl::Span<const uint64_t> seeds, RandomStream stream, at::IntArrayRef shape,
                   at::Device device);

// Standard normal draws (Box-Muller on the same words), otherwise as Uniform.
at::Tensor Normal(const at::Tensor& seeds, RandomStream stream, at::IntArrayRef shape);
at::Tensor Normal(absl::Span<const uint64_t> seeds, RandomStream stream, at::IntArrayRef shape,
                  at::Device device);

// The implementation for other devices, callable on the CPU to compare: draws from tensor
// operations alone.
at::Tensor UniformFromTensorOps(const at::Tensor& seeds, RandomStream stream,
                                at::IntArrayRef shape);
at::Tensor NormalFromTensorOps(const at::Tensor& seeds, RandomStream stream, at::IntArrayRef shape);

// Inverted dropout multiplies by 0 with probability p, otherwise by 1 / (1 - p), independently.
// This says where the zeros of `count` multipliers stand, int64 on the CPU: every seed and stream
// gives as many positions, and those after the last zero are `count`. REQUIRES: 0 < p < 1, count
// >= 1.
at::Tensor DropoutZeros(uint64_t seed, RandomStream stream, int64_t count, double p);

// The multipliers with these zeros, float32 of `shape`, on the device the zeros are on.
at::Tensor DropoutMask(const at::Tensor& zeros, at::IntArrayRef shape, double p);

// Two different members of an ensemble, uniformly, in increasing order. REQUIRES: members >= 2.
std::array<int, 2> RandomPair(uint64_t seed, RandomStream stream, int members);

}  // namespace pompc::model

#endif  // POMPC_MODEL_RANDOM_H_
