#include "model/random.h"

#ifdef POMPC_CUDA
#include <ATen/cuda/jiterator.h>
#endif

#include <atomic>
#include <cmath>
#include <cstring>
#include <numbers>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "model/kernels/philox.h"
#include "model/kernels/philox_device.h"

namespace pompc::model {
namespace {

using Fill = void (*)(const kernels::PhiloxStream&, int64_t, float*);

std::vector<int64_t> BatchShape(int64_t batch, at::IntArrayRef shape) {
  std::vector<int64_t> result = {batch};
  result.insert(result.end(), shape.begin(), shape.end());
  return result;
}

at::Tensor DrawOnCpu(const at::Tensor& seeds, RandomStream stream, at::IntArrayRef shape,
                     Fill fill) {
  const int64_t batch = seeds.size(0);
  at::Tensor result = at::empty(BatchShape(batch, shape), at::kFloat);
  const int64_t count = batch == 0 ? 0 : result.numel() / batch;
  // Seed by seed: a row must be the same numbers whatever other seeds there are.
  for (int64_t b = 0; b < batch; ++b) {
    const auto seed = static_cast<uint64_t>(seeds.data_ptr<int64_t>()[b * seeds.stride(0)]);
    fill({seed, stream.index, stream.name}, count, result.data_ptr<float>() + b * count);
  }
  return result;
}

constexpr int64_t kLow32 = 0xffffffff;

struct Product {
  at::Tensor high, low;
};

// 32 x 32 -> 64 bits in int64; the product wraps to the right bits.
Product Multiply(int64_t multiplier, const at::Tensor& x) {
  const at::Tensor product = x * multiplier;
  return {at::bitwise_and(at::bitwise_right_shift(product, 32), kLow32),
          at::bitwise_and(product, kLow32)};
}

// The words [B, blocks, 4] of kernels/philox.cc, as int64, from operations that every device has.
// LibTorch has no unsigned 32-bit integers, so words live in the lower half of 64 bits and are cut
// to 32 after every step that can carry beyond.
at::Tensor WordsFromTensorOps(const at::Tensor& seeds, RandomStream stream, int64_t count) {
  const at::TensorOptions options = seeds.options();
  const at::Tensor key = seeds.unsqueeze(1);
  at::Tensor key0 = at::bitwise_and(key, kLow32);
  at::Tensor key1 = at::bitwise_and(at::bitwise_right_shift(key, 32), kLow32);
  const at::Tensor block = at::arange((count + 3) / 4, options).unsqueeze(0);
  at::Tensor c0 = at::bitwise_and(block, kLow32);
  at::Tensor c1 = at::bitwise_right_shift(block, 32);
  at::Tensor c2 = at::full_like(c0, static_cast<int64_t>(stream.index));
  at::Tensor c3 = at::full_like(c0, static_cast<int64_t>(stream.name));
  for (int round = 0; round < 10; ++round) {
    const Product p0 = Multiply(0xD2511F53, c0);
    const Product p1 = Multiply(0xCD9E8D57, c2);
    c0 = p1.high.bitwise_xor(c1).bitwise_xor(key0);
    c2 = p0.high.bitwise_xor(c3).bitwise_xor(key1);
    c1 = p1.low;
    c3 = p0.low;
    key0 = at::bitwise_and(key0 + int64_t{0x9E3779B9}, kLow32);
    key1 = at::bitwise_and(key1 + int64_t{0xBB67AE85}, kLow32);
  }
  const std::vector<int64_t> shape = {seeds.size(0), block.size(1)};
  return at::stack({c0.expand(shape), c1.expand(shape), c2.expand(shape), c3.expand(shape)}, -1);
}

int64_t CountOf(at::IntArrayRef shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

// Words come in blocks of four, so there may be more than were asked for: the first draws of each
// row of [B, blocks, 4].
at::Tensor Trim(const at::Tensor& blocks, at::IntArrayRef shape) {
  return blocks.flatten(1).narrow(1, 0, CountOf(shape)).reshape(BatchShape(blocks.size(0), shape));
}

#ifdef POMPC_CUDA

// Draws of one CUDA kernel, two of them in each of its numbers; none if it cannot be compiled here.
// (Tensor operations, about 150 of them, move a hundred times as much memory.)
std::optional<at::Tensor> DrawOnCuda(const char* kernel, const at::Tensor& seeds,
                                     RandomStream stream, at::IntArrayRef shape) {
  static std::atomic<bool> works = true;
  if (!works) return std::nullopt;
  const int64_t pairs = (CountOf(shape) + 1) / 2;
  try {
    const at::Tensor drawn = at::cuda::CompileAndLaunchKernel(
        kernels::kPhiloxDeviceCode, kernel, 1,
        {seeds.unsqueeze(1), at::arange(pairs, seeds.options()).unsqueeze(0)},
        {static_cast<int64_t>(stream.index), static_cast<int64_t>(stream.name)},
        /*return_by_ref=*/false)[0];
    return Trim(drawn.view(at::kFloat), shape);
  } catch (const c10::Error& error) {
    if (works.exchange(false)) {
      TORCH_WARN("random numbers are drawn without a kernel of their own, which is slower: ",
                 error.what_without_backtrace());
    }
    return std::nullopt;
  }
}

#else

std::optional<at::Tensor> DrawOnCuda(const char*, const at::Tensor&, RandomStream,
                                     at::IntArrayRef) {
  return std::nullopt;
}

#endif  // POMPC_CUDA

at::Tensor DrawOn(const at::Tensor& seeds, RandomStream stream, at::IntArrayRef shape, Fill on_cpu,
                  const char* on_cuda,
                  at::Tensor (*elsewhere)(const at::Tensor&, RandomStream, at::IntArrayRef)) {
  POMPC_CHECK(seeds.dim() == 1 && seeds.scalar_type() == at::kLong, "seeds are int64 [B]");
  if (seeds.is_cpu()) return DrawOnCpu(seeds, stream, shape, on_cpu);
  if (seeds.is_cuda()) {
    if (auto drawn = DrawOnCuda(on_cuda, seeds, stream, shape)) return *std::move(drawn);
  }
  return elsewhere(seeds, stream, shape);
}

}  // namespace

at::Tensor SeedTensor(absl::Span<const uint64_t> seeds, at::Device device) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(seeds.size())}, at::kLong);
  std::memcpy(tensor.data_ptr<int64_t>(), seeds.data(), seeds.size() * sizeof(uint64_t));
  return tensor.to(device);
}

at::Tensor Uniform(const at::Tensor& seeds, RandomStream stream, at::IntArrayRef shape) {
  return DrawOn(seeds, stream, shape, kernels::PhiloxUniform, "philox_uniform_pair",
                UniformFromTensorOps);
}

at::Tensor Uniform(absl::Span<const uint64_t> seeds, RandomStream stream, at::IntArrayRef shape,
                   at::Device device) {
  return Uniform(SeedTensor(seeds, device), stream, shape);
}

at::Tensor Normal(const at::Tensor& seeds, RandomStream stream, at::IntArrayRef shape) {
  return DrawOn(seeds, stream, shape, kernels::PhiloxNormal, "philox_normal_pair",
                NormalFromTensorOps);
}

at::Tensor Normal(absl::Span<const uint64_t> seeds, RandomStream stream, at::IntArrayRef shape,
                  at::Device device) {
  return Normal(SeedTensor(seeds, device), stream, shape);
}

at::Tensor UniformFromTensorOps(const at::Tensor& seeds, RandomStream stream,
                                at::IntArrayRef shape) {
  const at::Tensor words = WordsFromTensorOps(seeds, stream, CountOf(shape));
  return Trim(at::bitwise_right_shift(words, 8).to(at::kFloat) * 0x1p-24, shape);
}

at::Tensor NormalFromTensorOps(const at::Tensor& seeds, RandomStream stream,
                               at::IntArrayRef shape) {
  const at::Tensor words =
      at::bitwise_right_shift(WordsFromTensorOps(seeds, stream, CountOf(shape)), 8).to(at::kFloat);
  // Box-Muller on pairs of words. The first is moved to (0, 1], so that its logarithm is finite;
  // the second becomes an angle, word * 2^-24 turns.
  const at::Tensor radius = at::sqrt(-2 * at::log((words.slice(2, 0, 4, 2) + 1) * 0x1p-24));
  const at::Tensor angle = words.slice(2, 1, 4, 2) * (0x1p-23 * std::numbers::pi);
  const at::Tensor draws = at::stack({radius * at::cos(angle), radius * at::sin(angle)}, -1);
  return Trim(draws.flatten(2), shape);
}

at::Tensor DropoutZeros(uint64_t seed, RandomStream stream, int64_t count, double p) {
  POMPC_CHECK(0 < p && p < 1);
  POMPC_CHECK_GE(count, 1);
  // Gaps between zeros are geometrically distributed. Drawing these instead of every multiplier
  // makes the cost follow p, which is 0.01 by default, and not `count`. There are more gaps than
  // zeros fit, except for a chance below 1e-14 that the end gets no zeros.
  const double expected = p * static_cast<double>(count);
  const int64_t gaps = static_cast<int64_t>(expected + 8 * std::sqrt(expected) + 16);
  const at::Tensor uniform = Uniform({seed}, stream, {gaps}, at::kCPU)[0];
  const at::Tensor gap = ((uniform + 0x1p-25).log() / std::log1p(-p)).floor().to(at::kLong) + 1;
  return (gap.cumsum(0) - 1).clamp_max(count);
}

at::Tensor DropoutMask(const at::Tensor& zeros, at::IntArrayRef shape, double p) {
  const int64_t count = CountOf(shape);
  POMPC_CHECK(0 < p && p < 1);
  // The zeros beyond the end go to one number more than needed, which is then cut off.
  at::Tensor mask =
      at::full({count + 1}, 1 / (1 - p), at::TensorOptions(at::kFloat).device(zeros.device()));
  mask.index_fill_(0, zeros, 0);
  return mask.narrow(0, 0, count).view(shape);
}

std::array<int, 2> RandomPair(uint64_t seed, RandomStream stream, int members) {
  POMPC_CHECK_GE(members, 2);
  uint32_t words[4];
  kernels::PhiloxBlock({seed, stream.index, stream.name}, 0, words);
  const int first = static_cast<int>(uint64_t{words[0]} * static_cast<uint64_t>(members) >> 32);
  const int other = static_cast<int>(uint64_t{words[1]} * static_cast<uint64_t>(members - 1) >> 32);
  // Multiply and shift instead of a remainder: the bias is below members / 2^32, and no draw has to
  // be rejected, which would make the number of words vary. `other` counts the members without the
  // first one.
  const int second = other + (other >= first ? 1 : 0);
  return {first < second ? first : second, first < second ? second : first};
}

}  // namespace pompc::model
