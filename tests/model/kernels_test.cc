#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string_view>
#include <type_traits>
#include <vector>

#include "model/kernels/gemm.h"
#include "model/kernels/gemm_bfloat16.h"
#include "model/kernels/instructions.h"
#include "model/kernels/norm.h"
#include "model/kernels/policy.h"
#include "model/kernels/two_hot.h"
#include "model/ops.h"
#include "model/policy.h"
#include "tests/model/testing.h"

namespace pompc::model::kernels {
namespace {

struct Size {
  int64_t m, n, k;
};

// Sizes on and off the kernels' tiles, panels and vectors.
const Size kSizes[] = {{1, 1, 1},       {6, 16, 8},   {5, 17, 3},    {13, 40, 65},
                       {128, 101, 128}, {7, 15, 300}, {64, 256, 513},
                       {70, 48, 1100},
                       {48, 48, 70}};

// Each size in each layout, to be held against a [m, k] b [k, n] in float64 of factors that
// `rounded` has gone over.
template <typename Multiplier, typename Rounding>
void ExpectProducts(Gemm gemm, const Multiplier& multiply, const Rounding& rounded) {
  for (const Size& size : kSizes) {
    const at::Tensor a = Draw(1, {size.m, size.k});
    const at::Tensor b = Draw(2, {size.k, size.n});
    const at::Tensor start = Draw(3, {size.m, size.n});
    const at::Tensor product = at::mm(rounded(a).to(at::kDouble), rounded(b).to(at::kDouble));
    gemm.m = size.m;
    gemm.n = size.n;
    gemm.k = size.k;
    for (int layout = 0; layout < 8; ++layout) {
      gemm.transpose_a = (layout & 1) != 0;
      gemm.transpose_b = (layout & 2) != 0;
      gemm.accumulate = (layout & 4) != 0;
      const at::Tensor stored_a = gemm.transpose_a ? a.t().contiguous() : a;
      const at::Tensor stored_b = gemm.transpose_b ? b.t().contiguous() : b;
      at::Tensor c = start.clone();
      multiply(gemm, stored_a.data_ptr<float>(), stored_b.data_ptr<float>(), c.data_ptr<float>());
      EXPECT_TRUE(AllClose(c.to(at::kDouble), gemm.accumulate ? product + start : product,
                           1e-5 * std::sqrt(static_cast<double>(size.k))))
          << size.m << " " << size.n << " " << size.k << " " << gemm.transpose_a
          << gemm.transpose_b << gemm.accumulate;
    }
  }
}

TEST(InstructionsTest, TheEnvironmentLimitsThem) {
  const char* const limit = std::getenv("POMPC_INSTRUCTIONS");
  if (limit == nullptr) GTEST_SKIP() << "POMPC_INSTRUCTIONS is not set";
  EXPECT_LE(BestInstructions(), Instructions::kAvx512Bf16);
  if (std::string_view(limit) == "BASELINE") {
    EXPECT_EQ(BestInstructions(), Instructions::kBaseline);
  }
  if (std::string_view(limit) == "AVX2") {
    EXPECT_LE(BestInstructions(), Instructions::kAvx2);
  }
}

TEST(InstructionsDeathTest, AnUnknownLimitIsRefusedWithThoseAllowed) {
  // In a process of its own, where nobody has asked before.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        setenv("POMPC_INSTRUCTIONS", "SSE9", 1);
        BestInstructions();
      },
      "POMPC_INSTRUCTIONS must be BASELINE, AVX2, AVX512, AVX512_BF16 or AMX");
}

TEST(GemmTest, Float32ProductsAgreeWithAten) {
  for (auto* multiply : {&MultiplySmall, &MultiplyBlas, &Multiply}) {
    ExpectProducts({}, *multiply, [](const at::Tensor& x) { return x; });
  }
}

TEST(GemmTest, Bfloat16ProductsAreThoseOfRoundedFactors) {
  if (!HasBfloat16()) GTEST_SKIP() << "no AVX512_BF16 or AMX here";
  Gemm gemm;
  gemm.bfloat16 = true;
  ExpectProducts(gemm, Multiply, [](const at::Tensor& x) { return x.to(at::kBFloat16); });
}

// Elsewhere the request is ignored.
TEST(GemmTest, Bfloat16IsFloat32WhereThereIsNone) {
  if (HasBfloat16()) GTEST_SKIP() << "AVX512_BF16 or AMX is here";
  Gemm gemm;
  gemm.bfloat16 = true;
  ExpectProducts(gemm, Multiply, [](const at::Tensor& x) { return x; });
}

TEST(GemmTest, Bfloat16ProductsKeepNanAndInfinity) {
  if (!HasBfloat16()) GTEST_SKIP() << "no AVX512_BF16 or AMX here";
  at::Tensor a = Draw(1, {40, 40});
  const at::Tensor b = at::ones({40, 40});
  a[3][7] = std::nanf("");
  a[5][9] = INFINITY;
  at::Tensor c = at::empty({40, 40});
  MultiplyBfloat16({false, false, 40, 40, 40}, a.data_ptr<float>(), b.data_ptr<float>(),
                   c.data_ptr<float>());
  EXPECT_TRUE(c[3].isnan().all().item<bool>());
  EXPECT_TRUE(c[5].isinf().all().item<bool>());
  EXPECT_TRUE(c[4].isfinite().all().item<bool>());
}

// Rows of x as Number with room for what products read beyond them, zeros there.
template <typename Number>
struct PaddedRows {
  explicit PaddedRows(const at::Tensor& x)
      : stride((x.size(1) + 31) / 32 * 32 + 32),
        numbers(static_cast<size_t>((x.size(0) + 15) / 16 * 16 * stride)) {
    for (int64_t r = 0; r < x.size(0); ++r) {
      for (int64_t i = 0; i < x.size(1); ++i) {
        const float number = x[r][i].item<float>();
        Number& to = numbers[static_cast<size_t>(r * stride + i)];
        if constexpr (std::is_same_v<Number, float>) {
          to = number;
        } else {
          to = ToBfloat16(number);
        }
      }
    }
  }
  RowsOf<const Number> rows() const { return {numbers.data(), stride}; }

  int64_t stride;
  std::vector<Number> numbers;
};

template <typename Matrix, typename Number, typename Rounding>
void ExpectPackedProducts(const Rounding& rounded) {
  for (const Size& size : kSizes) {
    if (size.m * size.k > 20000) continue;
    const at::Tensor a = Draw(1, {size.m, size.k});
    const at::Tensor b = Draw(2, {size.k, size.n});
    const at::Tensor start = Draw(3, {PaddedColumns(size.n)});
    at::Tensor c = at::full({size.m, PaddedColumns(size.n)}, 99.0f);
    const Matrix packed(size.k, size.n, b.data_ptr<float>());
    const PaddedRows<Number> x(a);
    MultiplyPacked(packed, size.m, x.rows(), start.data_ptr<float>(),
                   {c.data_ptr<float>(), PaddedColumns(size.n)});
    at::Tensor expected = start.expand_as(c).to(at::kDouble).clone();
    expected.narrow(1, 0, size.n)
        .add_(at::mm(rounded(a).to(at::kDouble), rounded(b).to(at::kDouble)));
    EXPECT_TRUE(
        AllClose(c.to(at::kDouble), expected, 1e-5 * std::sqrt(static_cast<double>(size.k))))
        << size.m << " " << size.n << " " << size.k;
  }
}

TEST(PackedTest, Float32ProductsAgreeWithAten) {
  ExpectPackedProducts<PackedMatrix, float>([](const at::Tensor& x) { return x; });
}

TEST(PackedTest, Bfloat16ProductsAreThoseOfRoundedFactors) {
  if (!HasBfloat16()) GTEST_SKIP() << "no AVX512_BF16 or AMX here";
  ExpectPackedProducts<PackedBfloat16Matrix, Bfloat16>(
      [](const at::Tensor& x) { return x.to(at::kBFloat16); });
}

TEST(PackedTest, NumbersAreRoundedAsAtenRounds) {
  const at::Tensor x = at::cat({Draw(1, {1000}) * 1e20, Draw(2, {1000}) * 1e-20,
                                at::tensor({0.0f, -0.0f, INFINITY, 1.00390625f, 1.01171875f})});
  const at::Tensor rounded = x.to(at::kBFloat16).to(at::kFloat);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const uint32_t bits = uint32_t{ToBfloat16(x[i].item<float>())} << 16;
    EXPECT_EQ(__builtin_bit_cast(float, bits), rounded[i].item<float>());
  }
  EXPECT_TRUE(std::isnan(__builtin_bit_cast(float, uint32_t{ToBfloat16(std::nanf(""))} << 16)));
}

TEST(PackedTest, NormsAgreeWithAten) {
  for (const int64_t width : {8, 16, 40, 128}) {
    for (const bool simnorm : {false, true}) {
      const at::Tensor y = Draw(1, {7, width}) * 3 + 2;
      NormedLinearParameters p;
      p.weight = at::eye(width, at::kDouble);
      p.bias = at::zeros({width}, at::kDouble);
      p.norm_weight = Draw(2, {width}, at::kDouble);
      p.norm_bias = Draw(3, {width}, at::kDouble);
      p.simnorm_dim = simnorm ? 8 : 0;
      const at::Tensor expected = NormedLinear(y.to(at::kDouble), p);
      const at::Tensor weight = p.norm_weight.to(at::kFloat);
      const at::Tensor shift = p.norm_bias.to(at::kFloat);
      const NormLayer layer = {width, simnorm, weight.data_ptr<float>(), shift.data_ptr<float>()};
      at::Tensor out = at::zeros({7, width + 5});
      NormInfer<float>(layer, 7, {y.data_ptr<float>(), width}, {out.data_ptr<float>(), width + 5});
      EXPECT_TRUE(AllClose(out.narrow(1, 0, width).to(at::kDouble), expected, 5e-6)) << width;
      if (!HasBfloat16()) continue;
      at::Tensor rounded = at::zeros({7, width}, at::kBFloat16);
      NormInfer<Bfloat16>(layer, 7, {y.data_ptr<float>(), width},
                          {reinterpret_cast<Bfloat16*>(rounded.data_ptr()), width});
      EXPECT_TRUE(
          AllClose(rounded.to(at::kDouble), expected, 0.005 * expected.abs().max().item<double>()))
          << width;
    }
  }
}

TEST(PackedTest, TwoHotRowsDecodeLikeTheReference) {
  const model::Bins bins{37, -6, 6};
  const int64_t padded = PaddedColumns(bins.count);
  at::Tensor logits = at::full({21, padded}, kNoLogit);
  logits.narrow(1, 0, bins.count).copy_(Draw(4, {21, bins.count}) * 4);
  logits[3].narrow(0, 0, bins.count).zero_();  // the middle: a value of 0
  std::vector<float> values(32, 0.0f);
  TwoHotDecodeRows({bins.count, bins.low, bins.width()}, 21, {logits.data_ptr<float>(), padded},
                   values.data());
  const at::Tensor expected =
      model::reference::TwoHotDecode(logits.narrow(1, 0, bins.count).to(at::kDouble), bins);
  for (int64_t r = 0; r < 21; ++r) {
    const double e = expected[r].item<double>();
    EXPECT_NEAR(values[static_cast<size_t>(r)], e, 2e-6 * (1 + std::fabs(e)) * 3) << r;
  }
}

TEST(PackedTest, PoliciesActAsTheirFormSays) {
  proto::RunConfig config = SmallConfig();
  for (const int64_t numbers : {1, 3, 38}) {
    for (const auto form :
         {proto::ModelConfig::CLIPPED_GAUSSIAN, proto::ModelConfig::TANH_GAUSSIAN}) {
      config.mutable_model()->set_policy_form(form);
      const at::Tensor raw = Draw(1, {30, 2 * numbers}) * 2;
      const at::Tensor noise = Draw(2, {30, numbers});
      at::Tensor actions = at::zeros({30, numbers});
      const PolicyForm kernel_form = {numbers, form == proto::ModelConfig::TANH_GAUSSIAN,
                                      static_cast<float>(config.model().log_std_min()),
                                      static_cast<float>(config.model().log_std_max())};
      PolicyActions(kernel_form, 30, {raw.data_ptr<float>(), 2 * numbers},
                    {noise.data_ptr<float>(), numbers}, {actions.data_ptr<float>(), numbers});
      const at::Tensor expected = SampleActions(PolicyFromRaw(raw.to(at::kDouble), config.model()),
                                                noise.to(at::kDouble), form);
      EXPECT_TRUE(AllClose(actions.to(at::kDouble), expected, 5e-6)) << numbers;
    }
  }
}

}  // namespace
}  // namespace pompc::model::kernels
