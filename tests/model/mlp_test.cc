#include "model/mlp.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "model/kernels/gemm_bfloat16.h"
#include "model/kernels/packed_mlp.h"
#include "model/ops.h"
#include "tests/model/testing.h"

namespace pompc::model {
namespace {

MlpSpec Spec(int members, int simnorm_dim) {
  MlpSpec spec;
  spec.name = "net";
  spec.members = members;
  spec.input = 7;
  spec.hidden = {24, 40};
  spec.output = simnorm_dim > 0 ? 16 : 11;
  spec.simnorm_dim = simnorm_dim;
  return spec;
}

// A network with arbitrary numbers in every parameter, so that none hides behind a zero or a one.
Mlp MakeMlp(const MlpSpec& spec, at::Tensor& gradient) {
  Mlp mlp(spec, Draw(11, {spec.NumParameters()}) * 0.5 + 0.1);
  gradient = at::zeros_like(mlp.flat());
  mlp.EnableGradients(gradient);
  return mlp;
}

struct Case {
  std::string name;
  int members;
  int simnorm_dim;
  bool shared_x;
  bool dropout;
  std::vector<int64_t> chosen;
};

class MlpKernelTest : public ::testing::TestWithParam<Case> {};

TEST_P(MlpKernelTest, AgreesWithAtenForwardAndBackward) {
  const Case& c = GetParam();
  at::Tensor gradient;
  const Mlp mlp = MakeMlp(Spec(c.members, c.simnorm_dim), gradient);
  const int64_t blocks = c.chosen.empty() ? c.members : static_cast<int64_t>(c.chosen.size());
  const int64_t rows = 13;  // not a multiple of the kernels' blocks of rows
  const std::vector<int64_t> shape =
      c.shared_x ? std::vector<int64_t>{rows, 7} : std::vector<int64_t>{blocks, rows, 7};
  Mlp::Options options;
  if (!c.chosen.empty()) options.members = at::tensor(c.chosen, at::kLong);
  if (c.dropout) {
    const std::vector<int64_t> mask =
        c.members > 0 ? std::vector<int64_t>{blocks, rows, 24} : std::vector<int64_t>{rows, 24};
    options.dropout = DrawDropout(3, {1, 1}, mask, 0.3);
  }

  at::Tensor outputs[2], inferred[2], x_gradients[2], frozen_x_gradients[2], gradients[2];
  for (const bool reference : {false, true}) {
    std::optional<ReferenceScope> scope;
    if (reference) scope.emplace();
    at::Tensor x = Draw(5, shape).requires_grad_(true);
    options.train = true;
    gradient.zero_();
    outputs[reference] = mlp.Forward(x, options);
    const at::Tensor upstream = Draw(6, outputs[reference].sizes());
    (outputs[reference] * upstream).sum().backward();
    x_gradients[reference] = x.grad().clone();
    gradients[reference] = gradient.clone();

    // Frozen parameters: the same gradient of x, and none of theirs.
    options.train = false;
    x.mutable_grad() = at::Tensor();
    (mlp.Forward(x, options) * upstream).sum().backward();
    frozen_x_gradients[reference] = x.grad().clone();
    EXPECT_TRUE(at::equal(gradient, gradients[reference]));

    at::NoGradGuard no_grad;
    inferred[reference] = mlp.Forward(x, options);
  }
  EXPECT_TRUE(AllClose(outputs[0], outputs[1], 2e-5));
  EXPECT_TRUE(AllClose(inferred[0], outputs[1], 2e-5));
  EXPECT_TRUE(AllClose(x_gradients[0], x_gradients[1], 2e-4));
  EXPECT_TRUE(AllClose(frozen_x_gradients[0], x_gradients[1], 2e-4));
  EXPECT_TRUE(AllClose(gradients[0], gradients[1], 2e-4 * gradients[1].abs().max().item<double>()));
  EXPECT_GT(gradients[1].abs().max().item<double>(), 1);
}

INSTANTIATE_TEST_SUITE_P(
    All, MlpKernelTest,
    ::testing::Values(Case{"Plain", 0, 0, true, false, {}},
                      Case{"PlainWithDropout", 0, 0, true, true, {}},
                      Case{"SimNorm", 0, 8, true, false, {}},
                      Case{"Ensemble", 3, 0, true, true, {}},
                      Case{"EnsembleWithOwnInputs", 3, 0, false, false, {}},
                      Case{"ChosenMembers", 3, 0, true, true, {2, 0}},
                      Case{"RepeatedMembersWithOwnInputs", 3, 0, false, false, {1, 1, 0, 2}},
                      Case{"SimNormEnsemble", 2, 8, true, false, {}}),
    [](const auto& info) { return info.param.name; });

// Norm of the difference over that of `expected`.
double RelativeError(const at::Tensor& x, const at::Tensor& expected) {
  return ((x.detach() - expected.detach()).norm() / expected.detach().norm()).item<double>();
}

// Output, gradient of x and gradient of the parameters.
std::vector<at::Tensor> Pass(proto::ModelConfig::MatmulDtype dtype) {
  MlpSpec spec = Spec(2, 0);
  spec.matmul_dtype = dtype;
  at::Tensor gradient;
  const Mlp mlp = MakeMlp(spec, gradient);
  at::Tensor x = Draw(5, {40, 7}).requires_grad_(true);
  Mlp::Options options;
  options.train = true;
  const at::Tensor out = mlp.Forward(x, options);
  (out * Draw(6, out.sizes())).sum().backward();
  return {out, x.grad(), gradient};
}

TEST(MlpTest, Bfloat16ChangesEveryPassByItsRoundingAlone) {
  const std::vector<at::Tensor> exact = Pass(proto::ModelConfig::FLOAT32);
  const std::vector<at::Tensor> kernel = Pass(proto::ModelConfig::BFLOAT16);
  const ReferenceScope scope;
  const std::vector<at::Tensor> aten = Pass(proto::ModelConfig::BFLOAT16);
  for (size_t i = 0; i < exact.size(); ++i) {
    // Eight significant bits: 0.4 % at most of each number.
    EXPECT_LT(RelativeError(kernel[i], exact[i]), 0.02) << i;
    EXPECT_LT(RelativeError(aten[i], exact[i]), 0.02) << i;
    EXPECT_GT(RelativeError(aten[i], exact[i]), 1e-4) << i;
    if (kernels::HasBfloat16()) {
      EXPECT_GT(RelativeError(kernel[i], exact[i]), 1e-4) << i;
    } else {
      EXPECT_TRUE(at::equal(kernel[i], exact[i])) << i;
    }
  }
}

TEST(MlpTest, WithoutKernelsProductsOnTheCpuStayFloat32) {
  const at::NoGradGuard no_grad;
  MlpSpec spec = Spec(0, 0);
  spec.hidden = {23, 40};
  const at::Tensor parameters = Draw(11, {spec.NumParameters()});
  const at::Tensor x = Draw(5, {3, 7});
  const at::Tensor expected = Mlp(spec, parameters).Forward(x);
  spec.matmul_dtype = proto::ModelConfig::BFLOAT16;
  EXPECT_TRUE(at::equal(Mlp(spec, parameters).Forward(x), expected));
}

TEST(MlpTest, InferenceOfManyRowsEqualsThatOfEach) {
  at::NoGradGuard no_grad;
  at::Tensor gradient;
  const Mlp mlp = MakeMlp(Spec(2, 0), gradient);
  const at::Tensor x = Draw(5, {600, 7});
  const at::Tensor all = mlp.Forward(x);
  for (const int64_t row : {0, 255, 256, 599}) {
    EXPECT_TRUE(AllClose(mlp.Forward(x.narrow(0, row, 1)), all.narrow(1, row, 1), 1e-5)) << row;
  }
}

// Whole rows, and rows that share their first numbers, through packed weights.
TEST(PackedMlpTest, PassesEqualThoseOfTheMlp) {
  const at::NoGradGuard no_grad;
  for (const int64_t prefix_width : {1, 5, 6}) {
    for (const int simnorm : {0, 8}) {
      const MlpSpec spec = Spec(0, simnorm);
      const Mlp mlp(spec, Draw(11, {spec.NumParameters()}));
      const at::Tensor prefix = Draw(5, {1, prefix_width});
      const at::Tensor rest = Draw(6, {30, 7 - prefix_width});
      const at::Tensor whole = at::cat({prefix.expand({30, prefix_width}), rest}, 1);
      const at::Tensor expected = mlp.Forward(whole);
      const kernels::PackedMlp<float> packed(*mlp.kernel_layers(), 0, prefix_width, -7);
      at::Tensor sums = at::empty({32, packed.widest_sums()});
      at::Tensor hidden = at::empty({32, packed.widest_hidden()});
      const kernels::MlpScratch<float> scratch = {
          {sums.data_ptr<float>(), packed.widest_sums()},
          {hidden.data_ptr<float>(), packed.widest_hidden()}};
      const auto outputs = [&](const at::Tensor& x, const kernels::PackedMlp<float>::First& first) {
        at::Tensor out = at::empty({30, spec.output});
        const kernels::RowsOf<const float> rows = {x.data_ptr<float>(), x.size(1)};
        if (simnorm > 0) {
          packed.NormedOutputs(30, first, rows, scratch, {out.data_ptr<float>(), spec.output});
          return out;
        }
        const kernels::RowsOf<const float> y = packed.Outputs(30, first, rows, scratch);
        EXPECT_EQ(y.data[spec.output], -7) << "the columns beyond the outputs";
        for (int64_t r = 0; r < 30; ++r) {
          std::copy_n(y.From(r).data, spec.output, out[r].data_ptr<float>());
        }
        return out;
      };
      EXPECT_TRUE(AllClose(outputs(whole, packed.Whole()), expected, 1e-5));
      std::vector<float> start(static_cast<size_t>(packed.start_size()));
      const at::Tensor row = at::cat({prefix, at::zeros({1, 7 - prefix_width})}, 1);
      packed.StartOf({row.data_ptr<float>(), 7}, start.data());
      EXPECT_TRUE(
          AllClose(outputs(rest.contiguous(), packed.AfterPrefix(start.data())), expected, 1e-5));
    }
  }
}

TEST(MlpTest, GradientsAddUpOverPasses) {
  at::Tensor gradient;
  const Mlp mlp = MakeMlp(Spec(0, 0), gradient);
  Mlp::Options options;
  options.train = true;
  const at::Tensor x = Draw(5, {4, 7});
  mlp.Forward(x, options).sum().backward();
  const at::Tensor once = gradient.clone();
  (mlp.Forward(x, options).sum() + mlp.Forward(x, options).sum()).backward();
  EXPECT_TRUE(AllClose(gradient, 3 * once, 1e-3));
}

TEST(MlpTest, WidthsWithoutKernelsUseAten) {
  MlpSpec spec = Spec(2, 0);
  spec.hidden = {13, 9};
  at::Tensor gradient;
  const Mlp mlp = MakeMlp(spec, gradient);
  Mlp::Options options;
  options.train = true;
  const at::Tensor out = mlp.Forward(Draw(5, {4, 7}), options);
  EXPECT_EQ(out.sizes(), (std::vector<int64_t>{2, 4, 11}));
  out.sum().backward();
  EXPECT_GT(gradient.abs().max().item<double>(), 0);
}

TEST(MlpTest, LeadingDimensionsAreKept) {
  at::Tensor gradient;
  const Mlp plain = MakeMlp(Spec(0, 0), gradient);
  EXPECT_EQ(plain.Forward(Draw(1, {7})).sizes(), (std::vector<int64_t>{11}));
  EXPECT_EQ(plain.Forward(Draw(1, {2, 3, 5, 7})).sizes(), (std::vector<int64_t>{2, 3, 5, 11}));
  const Mlp ensemble = MakeMlp(Spec(3, 0), gradient);
  EXPECT_EQ(ensemble.Forward(Draw(1, {5, 7})).sizes(), (std::vector<int64_t>{3, 5, 11}));
  EXPECT_EQ(ensemble.Forward(Draw(1, {3, 5, 7})).sizes(), (std::vector<int64_t>{3, 5, 11}));
}

TEST(MlpTest, InitializesAsDocumented) {
  MlpSpec spec = Spec(3, 0);
  spec.hidden = {128, 128};
  spec.zero_last = true;
  const Mlp mlp(spec, at::empty({spec.NumParameters()}));
  mlp.Initialize(4);
  for (const NamedTensor& named : mlp.Parameters()) {
    const double largest = named.tensor.abs().max().item<double>();
    if (named.name == "net.2.weight" || named.name.ends_with("bias")) {
      EXPECT_EQ(largest, 0) << named.name;
    } else if (named.name.ends_with("norm.weight")) {
      EXPECT_TRUE(at::equal(named.tensor, at::ones_like(named.tensor))) << named.name;
    } else {
      EXPECT_NEAR(named.tensor.std().item<double>(), 0.02, 0.002) << named.name;
    }
  }
  // The members differ, and so do other seeds and names.
  const at::Tensor weight = mlp.Parameters()[0].tensor;
  EXPECT_FALSE(at::equal(weight[0], weight[1]));
  const at::Tensor before = mlp.flat().clone();
  mlp.Initialize(4);
  EXPECT_TRUE(at::equal(before, mlp.flat()));
  mlp.Initialize(5);
  EXPECT_FALSE(at::equal(before, mlp.flat()));
}

}  // namespace
}  // namespace pompc::model
