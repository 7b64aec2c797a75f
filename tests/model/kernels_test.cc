#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "model/kernels/gemm.h"
#include "tests/model/testing.h"

namespace pompc::model::kernels {
namespace {

struct Size {
  int64_t m, n, k;
};

// Sizes on and off the kernel's tiles, panels and vectors.
const Size kSizes[] = {{1, 1, 1},       {6, 16, 8},   {5, 17, 3},    {13, 40, 65},
                       {128, 101, 128}, {7, 15, 300}, {64, 256, 513}};

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

}  // namespace
}  // namespace pompc::model::kernels
