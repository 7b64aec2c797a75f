#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "model/kernels/gemm.h"
#include "model/kernels/gemm_bfloat16.h"
#include "model/kernels/instructions.h"
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

}  // namespace
}  // namespace pompc::model::kernels
