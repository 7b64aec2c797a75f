#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "model/kernels/gemm.h"
#include "model/kernels/gemm_amx.h"
#include "tests/model/testing.h"

namespace pompc::model::kernels {
namespace {

struct Size {
  int64_t m, n, k;
};

// Sizes on and off the kernel's tiles, panels and vectors.
const Size kSizes[] = {{1, 1, 1},       {6, 16, 8},   {5, 17, 3},    {13, 40, 65},
                       {128, 101, 128}, {7, 15, 300}, {64, 256, 513},
                       {70, 48, 1100},
                       {48, 48, 70}};

TEST(GemmTest, BothProductsAgreeWithAten) {
  for (const Size& size : kSizes) {
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        for (const bool accumulate : {false, true}) {
          const at::Tensor a = Draw(1, {size.m, size.k});
          const at::Tensor b = Draw(2, {size.k, size.n});
          const at::Tensor start = Draw(3, {size.m, size.n});
          const at::Tensor product = at::mm(a.to(at::kDouble), b.to(at::kDouble));
          const at::Tensor expected = accumulate ? product + start : product;
          const at::Tensor stored_a = transpose_a ? a.t().contiguous() : a;
          const at::Tensor stored_b = transpose_b ? b.t().contiguous() : b;
          const Gemm gemm{transpose_a, transpose_b, size.m, size.n, size.k, accumulate};
          for (auto* multiply : {&MultiplySmall, &MultiplyBlas, &Multiply}) {
            at::Tensor c = start.clone();
            (*multiply)(gemm, stored_a.data_ptr<float>(), stored_b.data_ptr<float>(),
                        c.data_ptr<float>());
            EXPECT_TRUE(AllClose(c.to(at::kDouble), expected,
                                 1e-5 * std::sqrt(static_cast<double>(size.k))))
                << size.m << " " << size.n << " " << size.k << " " << transpose_a << transpose_b
                << accumulate;
          }
        }
      }
    }
  }
}

// Sizes on and off its tiles, and deeper than what it works on at a time.
TEST(GemmTest, Bfloat16ProductsAreThoseOfRoundedFactors) {
  if (!HasAmx()) GTEST_SKIP() << "this processor has no AMX";
  const auto rounded = [](const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kDouble); };
  for (const Size& size : kSizes) {
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        for (const bool accumulate : {false, true}) {
          const at::Tensor a = Draw(1, {size.m, size.k});
          const at::Tensor b = Draw(2, {size.k, size.n});
          const at::Tensor start = Draw(3, {size.m, size.n});
          const at::Tensor product = at::mm(rounded(a), rounded(b));
          const at::Tensor stored_a = transpose_a ? a.t().contiguous() : a;
          const at::Tensor stored_b = transpose_b ? b.t().contiguous() : b;
          Gemm gemm{transpose_a, transpose_b, size.m, size.n, size.k, accumulate};
          gemm.bfloat16 = true;
          at::Tensor c = start.clone();
          Multiply(gemm, stored_a.data_ptr<float>(), stored_b.data_ptr<float>(),
                   c.data_ptr<float>());
          EXPECT_TRUE(AllClose(c.to(at::kDouble), accumulate ? product + start : product,
                               1e-5 * std::sqrt(static_cast<double>(size.k))))
              << size.m << " " << size.n << " " << size.k << " " << transpose_a << transpose_b
              << accumulate;
        }
      }
    }
  }
}

TEST(GemmTest, Bfloat16ProductsKeepNanAndInfinity) {
  if (!HasAmx()) GTEST_SKIP() << "this processor has no AMX";
  at::Tensor a = Draw(1, {40, 40});
  const at::Tensor b = at::ones({40, 40});
  a[3][7] = std::nanf("");
  a[5][9] = INFINITY;
  at::Tensor c = at::empty({40, 40});
  MultiplyAmx({false, false, 40, 40, 40}, a.data_ptr<float>(), b.data_ptr<float>(),
              c.data_ptr<float>());
  EXPECT_TRUE(c[3].isnan().all().item<bool>());
  EXPECT_TRUE(c[5].isinf().all().item<bool>());
  EXPECT_TRUE(c[4].isfinite().all().item<bool>());
}

}  // namespace
}  // namespace pompc::model::kernels
