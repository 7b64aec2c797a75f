#include "model/random.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/kernels/philox.h"
#include "model/kernels/philox_device.h"
#include "tests/model/testing.h"

namespace pompc::model {
namespace {

using Words = std::array<uint32_t, 4>;

// One block of Philox4x32-10: four words from a counter and a key.
Words Philox4x32(const std::array<uint32_t, 4>& counter, const std::array<uint32_t, 2>& key) {
  Words words;
  kernels::PhiloxBlock({uint64_t{key[1]} << 32 | key[0], counter[2], counter[3]},
                       uint64_t{counter[1]} << 32 | counter[0], words.data());
  return words;
}

// kat_vectors of Random123, philox4x32 with 10 rounds.
TEST(PhiloxTest, GivesThePublishedWords) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomTest, UniformDrawsAreTheWordsInOrder) {
  const uint64_t seed = 0x1234567890abcdef;
  const RandomStream stream{7, 9};
  const at::Tensor draws = Uniform({seed}, stream, {6}, at::kCPU);
  for (uint32_t i = 0; i < 6; ++i) {
    const Words words = Philox4x32({i / 4, 0, stream.index, stream.name}, {0x90abcdef, 0x12345678});
    EXPECT_EQ(draws[0][i].item<float>(), static_cast<float>(words[i % 4] >> 8) * 0x1p-24f) << i;
  }
}

TEST(RandomTest, TensorOperationsGiveTheSameDraws) {
  const std::vector<uint64_t> seeds = {0, 1, 0xffffffffffffffff, 0x8000000000000000,
                                       12345678901234567};
  const RandomStream stream{0xfedcba98, 0x89abcdef};
  // Whole and broken blocks of vectors and of words.
  for (const int64_t count : {1, 3, 32, 61, 257}) {
    EXPECT_TRUE(at::equal(Uniform(seeds, stream, {count}, at::kCPU),
                          UniformFromTensorOps(SeedTensor(seeds, at::kCPU), stream, {count})))
        << count;
    EXPECT_TRUE(AllClose(Normal(seeds, stream, {count}, at::kCPU),
                         NormalFromTensorOps(SeedTensor(seeds, at::kCPU), stream, {count}), 5e-6))
        << count;
  }
}

// The kernel's text, compiled for the host.
TEST(RandomTest, TheDevicesKernelGivesTheSameDraws) {
  const uint64_t seed = 0x1234567890abcdef;
  const RandomStream stream{0xfedcba98, 0x89abcdef};
  const int64_t count = 100001;
  const at::Tensor uniform = Uniform({seed}, stream, {count}, at::kCPU)[0];
  const at::Tensor normal = Normal({seed}, stream, {count}, at::kCPU)[0];
  for (int64_t pair = 0; pair < count / 2; ++pair) {
    const auto drawn = [&](auto kernel) {
      return std::bit_cast<std::array<float, 2>>(
          kernel(static_cast<int64_t>(seed), pair, int64_t{stream.index}, int64_t{stream.name}));
    };
    const auto u = drawn(kernels::philox_uniform_pair<int64_t>);
    const auto n = drawn(kernels::philox_normal_pair<int64_t>);
    for (size_t i = 0; i < 2; ++i) {
      const int64_t at = 2 * pair + static_cast<int64_t>(i);
      ASSERT_EQ(u[i], uniform.data_ptr<float>()[at]) << at;
      ASSERT_NEAR(n[i], normal.data_ptr<float>()[at], 5e-6) << at;
    }
  }
  // The text has no comment, which would swallow what follows it in one line.
  EXPECT_EQ(std::string(kernels::kPhiloxDeviceCode).find("//"), std::string::npos);
}

TEST(RandomTest, CudaGivesTheSameDraws) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  const uint64_t seeds[] = {5, uint64_t{1} << 40};
  const RandomStream stream{3, 9};
  EXPECT_TRUE(at::equal(Uniform(seeds, stream, {1001}, at::kCPU),
                        Uniform(seeds, stream, {1001}, at::kCUDA).cpu()));
  EXPECT_TRUE(AllClose(Normal(seeds, stream, {1001}, at::kCPU),
                       Normal(seeds, stream, {1001}, at::kCUDA).cpu(), 5e-6));
}

TEST(RandomTest, DrawsDependOnTheirOwnSeedAlone) {
  const at::Tensor alone = Normal({5}, {1, 2}, {3, 4}, at::kCPU);
  const at::Tensor batched = Normal({9, 5, 5}, {1, 2}, {3, 4}, at::kCPU);
  EXPECT_EQ(batched.sizes(), (std::vector<int64_t>{3, 3, 4}));
  EXPECT_TRUE(at::equal(batched[1], alone[0]));
  EXPECT_TRUE(at::equal(batched[2], alone[0]));
  EXPECT_FALSE(at::equal(batched[0], alone[0]));
}

TEST(RandomTest, StreamsAndIndicesDiffer) {
  const at::Tensor base = Uniform({5}, {1, 2}, {8}, at::kCPU);
  EXPECT_FALSE(at::equal(base, Uniform({5}, {1, 3}, {8}, at::kCPU)));
  EXPECT_FALSE(at::equal(base, Uniform({5}, {2, 2}, {8}, at::kCPU)));
}

TEST(RandomTest, NormalDrawsHaveNormalMoments) {
  const int64_t count = 200000;
  const at::Tensor x = Normal({3}, {1, 0}, {count}, at::kCPU)[0].to(at::kDouble);
  // Five standard errors each.
  const double error = 5 / std::sqrt(static_cast<double>(count));
  EXPECT_NEAR(x.mean().item<double>(), 0, error);
  EXPECT_NEAR(x.square().mean().item<double>(), 1, error * std::sqrt(2.0));
  EXPECT_NEAR(x.pow(3).mean().item<double>(), 0, error * std::sqrt(15.0));
  EXPECT_NEAR(x.pow(4).mean().item<double>(), 3, error * std::sqrt(96.0));
  EXPECT_NEAR((x.abs() < 1).to(at::kDouble).mean().item<double>(), 0.682689, error);
  EXPECT_TRUE(x.isfinite().all().item<bool>());
}

TEST(RandomTest, UniformDrawsAreUniform) {
  const at::Tensor x = Uniform({3}, {1, 0}, {100000}, at::kCPU)[0];
  EXPECT_GE(x.min().item<float>(), 0);
  EXPECT_LT(x.max().item<float>(), 1);
  const at::Tensor counts = at::histc(x, 10, 0, 1);
  EXPECT_LT((counts - 10000).abs().max().item<float>(), 5 * std::sqrt(9000.0));
}

TEST(RandomTest, DropoutZeroesTheConfiguredShareAndKeepsTheMean) {
  const double p = 0.01;
  const at::Tensor mask = DrawDropout(4, {1, 1}, {50, 4000}, p);
  EXPECT_EQ(mask.sizes(), (std::vector<int64_t>{50, 4000}));
  const at::Tensor zeros = mask.eq(0);
  const double share = zeros.to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(share, p, 5 * std::sqrt(p * (1 - p) / 200000));
  EXPECT_TRUE(mask.masked_select(zeros.logical_not())
                  .eq(static_cast<float>(1 / (1 - p)))
                  .all()
                  .item<bool>());
  // Zeros reach the end of the tensor, and its parts equally.
  EXPECT_NEAR(zeros.narrow(0, 25, 25).to(at::kDouble).mean().item<double>(), p,
              5 * std::sqrt(p / 100000));
  EXPECT_FALSE(at::equal(mask, DrawDropout(4, {1, 2}, {50, 4000}, p)));
}

TEST(RandomTest, PairsAreDistinctOrderedAndAllOccur) {
  std::set<std::pair<int, int>> seen;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const auto [first, second] = RandomPair(seed, {1, 2}, 5);
    ASSERT_GE(first, 0);
    ASSERT_LT(first, second);
    ASSERT_LT(second, 5);
    seen.insert({first, second});
  }
  EXPECT_EQ(seen.size(), 10u);
  EXPECT_EQ(RandomPair(77, {1, 2}, 2), (std::array<int, 2>{0, 1}));
}

}  // namespace
}  // namespace pompc::model
