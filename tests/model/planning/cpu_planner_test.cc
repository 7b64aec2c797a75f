// Plans by the kernels against plans by tensor operations. A program of its own, for it replaces
// operator new.
#include "model/planning/cpu_planner.h"

#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <new>
#include <tuple>
#include <vector>

#include "model/kernels/gemm_bfloat16.h"
#include "model/ops.h"
#include "model/planning/pass.h"
#include "model/tensor_file.h"
#include "tests/model/planning/plan_inputs.h"

namespace {

// Allocations of this thread since it began.
thread_local int64_t allocations = 0;

void* Allocate(std::size_t size, std::size_t alignment) {
  ++allocations;
  const std::size_t whole = (size + alignment) / alignment * alignment;
  if (void* const memory = std::aligned_alloc(alignment, whole)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return Allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace pompc::model {
namespace {

// One way in which plans may differ.
struct Case {
  proto::PlannerConfig::Method method = proto::PlannerConfig::MPPI;
  proto::PlannerConfig::Statistic statistic = proto::PlannerConfig::MEAN;
  proto::ModelConfig::PolicyForm form = proto::ModelConfig::CLIPPED_GAUSSIAN;
  proto::ModelConfig::ValueForm values = proto::ModelConfig::ACTION_VALUES;
  uint32_t num_q = 5;
  bool terminates = false;
  uint32_t horizon = 3;
  uint32_t policy_samples = 8;
  proto::ModelConfig::MatmulDtype dtype = proto::ModelConfig::FLOAT32;
  // Widths on and off the vectors' and tiles' multiples; more bins than a vector has lanes.
  uint32_t mlp_dim = 40, latent_dim = 24, encoder_layers = 3, num_bins = 37, samples = 200;
};

proto::RunConfig ConfigOf(const Case& c) {
  proto::RunConfig config = SmallConfig();
  proto::ModelConfig* model = config.mutable_model();
  model->set_mlp_dim(c.mlp_dim);
  model->set_latent_dim(c.latent_dim);
  model->set_encoder_layers(c.encoder_layers);
  model->set_num_bins(c.num_bins);
  model->set_num_q(c.num_q);
  model->set_policy_form(c.form);
  model->set_value_form(c.values);
  model->set_matmul_dtype(c.dtype);
  config.mutable_env()->mutable_spec()->set_terminates(c.terminates);
  proto::PlannerConfig* planner = config.mutable_planner();
  planner->set_method(c.method);
  planner->set_statistic(c.statistic);
  planner->set_horizon(c.horizon);
  planner->set_iterations(3);
  planner->set_samples(c.samples);
  planner->set_policy_samples(c.policy_samples);
  planner->set_elites(12);
  config.mutable_learner()->set_discount(0.97);
  return config;
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const auto method : {proto::PlannerConfig::MPPI, proto::PlannerConfig::CEM}) {
    Case base;
    base.method = method;
    const auto add = [&](const auto& change) {
      cases.push_back(base);
      change(cases.back());
    };
    add([](Case&) {});
    add([](Case& c) { c.statistic = proto::PlannerConfig::ELITE; });
    add([](Case& c) { c.statistic = proto::PlannerConfig::BEST; });
    add([](Case& c) { c.form = proto::ModelConfig::TANH_GAUSSIAN; });
    add([](Case& c) { c.num_q = 2; });
    add([](Case& c) { c.terminates = true; });
    add([](Case& c) { c.horizon = 1; });
    add([](Case& c) { c.values = proto::ModelConfig::STATE_VALUES; });
    add([](Case& c) { c.policy_samples = 0; });
    // More of them than a block has rows, and hardly any other candidates.
    add([](Case& c) { c.policy_samples = 130; });
    add([](Case& c) { c.samples = 71, c.policy_samples = 70; });
    add([](Case& c) { c.mlp_dim = 128, c.latent_dim = 64, c.num_bins = 101, c.num_q = 2; });
    add([](Case& c) {
      c.terminates = true, c.form = proto::ModelConfig::TANH_GAUSSIAN, c.horizon = 5, c.num_q = 2;
    });
  }
  return cases;
}

class CpuPlannerTest : public ::testing::TestWithParam<size_t> {
 protected:
  static Case Param() { return Cases()[GetParam()]; }
};

INSTANTIATE_TEST_SUITE_P(Cases, CpuPlannerTest, ::testing::Range(size_t{0}, Cases().size()));

Plans ReferencePlans(const WorldModel& model, const proto::RunConfig& config,
                     const PlanInputs& inputs) {
  const ReferenceScope scope;
  return Plan(model, config, inputs);
}

// |a - b| <= tolerance * max(1, |b|).
void ExpectClose(const at::Tensor& a, const at::Tensor& b, double tolerance, const char* what) {
  const double worst = ((a - b).abs() / b.abs().clamp_min(1)).max().item<double>();
  EXPECT_LE(worst, tolerance) << what;
}

TEST_P(CpuPlannerTest, PlansAreThoseOfTensorOperations) {
  const proto::RunConfig config = ConfigOf(Param());
  const WorldModel model = ModelWithValues(config);
  ASSERT_NE(CpuPlanner::Create(model, config), nullptr);
  const PlanInputs inputs = SomePlanInputs(config, 6, 5);
  const Plans plans = Plan(model, config, inputs);
  const Plans expected = ReferencePlans(model, config, inputs);
  // Other elites would move the mean by more than a hundredth.
  ExpectClose(plans.warm_start, expected.warm_start, 1e-4, "warm_start");
  ExpectClose(plans.mean, expected.mean, 1e-4, "mean");
  ExpectClose(plans.std, expected.std, 1e-4, "std");
  ExpectClose(plans.actions, expected.actions, 1e-4, "actions");
  ExpectClose(plans.value, expected.value, 1e-4, "value");
  EXPECT_EQ(plans.iterations, expected.iterations);
}

// The first iteration's candidates are the same numbers in both, so that equal elites are equal
// sequences: here the policy's are left out, which rounding may change in the last bit.
TEST_P(CpuPlannerTest, TheBestCandidateIsTheSame) {
  Case c = Param();
  c.policy_samples = 0;
  c.statistic = proto::PlannerConfig::BEST;
  proto::RunConfig config = ConfigOf(c);
  config.mutable_planner()->set_iterations(1);
  const WorldModel model = ModelWithValues(config);
  const PlanInputs inputs = SomePlanInputs(config, 6, 5);
  ExpectClose(Plan(model, config, inputs).mean, ReferencePlans(model, config, inputs).mean, 2e-7,
              "the best candidate's first action");
}

// Which of the first candidates are elites, the best first, by the kernels and by tensor operations
// for each of `inputs`; where one more elite is so near the next that rounding may change their
// order, nothing can be said. How many states were compared.
int64_t ExpectSameElites(const WorldModel& model, proto::RunConfig config,
                         const PlanInputs& inputs) {
  config.mutable_planner()->set_iterations(1);
  const auto elites = static_cast<int64_t>(config.planner().elites());
  const auto planner = CpuPlanner::Create(model, config);
  std::vector<int32_t> numbers(elites);
  std::vector<float> action(config.env().spec().action_size()), mean = action, std = action;
  std::vector<float> next(config.planner().horizon() * action.size());
  float value = 0;
  int iterations = 0;
  int64_t compared = 0;
  for (int64_t b = 0; b < inputs.observations.size(0); ++b) {
    const PlanInputs one = OneOf(inputs, b);
    CpuPlanRequest request;
    request.observation = one.observations.data_ptr<float>();
    if (one.has_warm_start[0]) request.warm_start = one.warm_start.data_ptr<float>();
    request.seed = one.seeds[0];
    planner->Plan(request, {action.data(), mean.data(), std.data(), &value, next.data(),
                            &iterations, numbers.data()});
    const ReferenceScope scope;
    proto::RunConfig one_more = config;
    one_more.mutable_planner()->set_elites(elites + 1);
    const Elites expected = SearchPass(model, one_more, MakePassInputs(model, one_more, one),
                                       absl::InfiniteDuration(), Clock::Real())
                                .elites;
    const at::Tensor values = expected.values[0];
    const at::Tensor gaps = values.narrow(0, 0, elites) - values.narrow(0, 1, elites);
    if (gaps.min().item<double>() < 2e-5 * std::max(1.0, values.abs().max().item<double>()))
      continue;
    ++compared;
    for (int64_t e = 0; e < elites; ++e)
      EXPECT_EQ(numbers[e], expected.numbers[0][e].item<int64_t>()) << "state " << b << ", " << e;
  }
  return compared;
}

TEST_P(CpuPlannerTest, ElitesAreTheSameCandidatesInTheSameOrder) {
  Case c = Param();
  c.policy_samples = std::min(c.policy_samples, 60u);
  const proto::RunConfig config = ConfigOf(c);
  EXPECT_GE(ExpectSameElites(ModelWithValues(config), config, SomePlanInputs(config, 12, 5)), 6)
      << "values lie too close together to tell anything";
}

// One iteration, all elites and equal weights: no choice between sequences of nearly one value.
proto::RunConfig WithoutChoice(proto::RunConfig config) {
  config.mutable_planner()->set_method(proto::PlannerConfig::CEM);
  config.mutable_planner()->set_statistic(proto::PlannerConfig::MEAN);
  config.mutable_planner()->set_iterations(1);
  config.mutable_planner()->set_elites(config.planner().samples());
  return config;
}

TEST_P(CpuPlannerTest, RoundedFactorsChangeLittle) {
  if (!kernels::HasBfloat16()) GTEST_SKIP() << "no AVX512_BF16 or AMX here";
  const auto plans_in = [](proto::ModelConfig::MatmulDtype dtype) {
    Case c = Param();
    c.dtype = dtype;
    const proto::RunConfig config = WithoutChoice(ConfigOf(c));
    return Plan(ModelWithValues(config), config, SomePlanInputs(config, 6, 5));
  };
  const Plans plans = plans_in(proto::ModelConfig::BFLOAT16);
  const Plans expected = plans_in(proto::ModelConfig::FLOAT32);
  ExpectClose(plans.mean, expected.mean, 2e-2, "mean");
  ExpectClose(plans.std, expected.std, 2e-2, "std");
  ExpectClose(plans.value, expected.value, 2e-2, "value");
  EXPECT_FALSE(at::equal(plans.value, expected.value)) << "nothing was rounded";
}

proto::RunConfig TrainedConfig(proto::PlannerConfig::Method method,
                               proto::ModelConfig::MatmulDtype dtype) {
  proto::RunConfig config;
  config.mutable_env()->mutable_spec()->set_observation_size(5);
  config.mutable_env()->mutable_spec()->set_action_size(1);
  config.mutable_env()->mutable_spec()->set_episode_decisions(250);
  proto::ModelConfig* model = config.mutable_model();
  model->set_size("tiny");
  model->set_encoder_dim(64);
  model->set_mlp_dim(64);
  model->set_latent_dim(32);
  model->set_num_q(3);
  model->set_num_bins(41);
  model->set_matmul_dtype(dtype);
  proto::PlannerConfig* planner = config.mutable_planner();
  planner->set_method(method);
  planner->set_horizon(3);
  planner->set_iterations(4);
  planner->set_samples(128);
  planner->set_policy_samples(8);
  planner->set_elites(16);
  config.mutable_learner()->set_discount(0.98);
  return *config::Derive(config);
}

// A model that has learned cartpole-swingup (a return of 848 after 2,950 updates), and states of
// its run: `pompc train --preset quickstart --seed 1` with the sizes above.
struct Trained {
  explicit Trained(proto::PlannerConfig::Method method,
                   proto::ModelConfig::MatmulDtype dtype = proto::ModelConfig::FLOAT32)
      : config(TrainedConfig(method, dtype)), model(WorldModel::Zeros(config, at::kCPU)) {
    auto file = ReadTensorFile(POMPC_SOURCE_DIR "/tests/data/trained_model.safetensors");
    EXPECT_TRUE(file.ok()) << file.status();
    const NamedTensor observations = file->tensors.back();
    EXPECT_EQ(observations.name, "observations");
    file->tensors.pop_back();
    EXPECT_TRUE(model.CopyFrom(file->tensors).ok());
    inputs = SomePlanInputs(config, observations.tensor.size(0), 5);
    inputs.observations = observations.tensor;
  }

  const proto::RunConfig config;
  WorldModel model;
  PlanInputs inputs;
};

class TrainedModelTest : public ::testing::TestWithParam<proto::PlannerConfig::Method> {};

INSTANTIATE_TEST_SUITE_P(Methods, TrainedModelTest,
                         ::testing::Values(proto::PlannerConfig::MPPI, proto::PlannerConfig::CEM));

TEST_P(TrainedModelTest, PlansAreThoseOfTensorOperations) {
  const Trained trained(GetParam());
  const Plans plans = Plan(trained.model, trained.config, trained.inputs);
  const Plans expected = ReferencePlans(trained.model, trained.config, trained.inputs);
  ExpectClose(plans.warm_start, expected.warm_start, 1e-4, "warm_start");
  ExpectClose(plans.mean, expected.mean, 1e-4, "mean");
  ExpectClose(plans.value, expected.value, 1e-4, "value");
}

TEST_P(TrainedModelTest, ElitesAreTheSameCandidatesInTheSameOrder) {
  const Trained trained(GetParam());
  EXPECT_GE(ExpectSameElites(trained.model, trained.config, trained.inputs), 12);
}

TEST_P(TrainedModelTest, RoundedFactorsChangeMeansLittle) {
  if (!kernels::HasBfloat16()) GTEST_SKIP() << "no AVX512_BF16 or AMX here";
  const Trained rounded(GetParam(), proto::ModelConfig::BFLOAT16);
  const Trained exact(GetParam());
  const Plans all = Plan(rounded.model, WithoutChoice(rounded.config), rounded.inputs);
  const Plans all_exact = Plan(exact.model, WithoutChoice(exact.config), exact.inputs);
  ExpectClose(all.mean, all_exact.mean, 2e-2, "mean");
  ExpectClose(all.std, all_exact.std, 2e-2, "std");
  EXPECT_FALSE(at::equal(all.value, all_exact.value)) << "nothing was rounded";
  // Rounding exchanges sequences of nearly one value where elites are chosen, so that some means
  // differ by more.
  const at::Tensor means = Plan(rounded.model, rounded.config, rounded.inputs).mean;
  const at::Tensor expected = Plan(exact.model, exact.config, exact.inputs).mean;
  const at::Tensor differences = (means - expected).abs().flatten();
  std::cout << "of " << differences.numel() << " means "
            << differences.le(2e-2).sum().item<int64_t>() << " differ by 0.02 or less, half by "
            << differences.median().item<double>() << " or less, one by "
            << differences.max().item<double>() << std::endl;
  EXPECT_LE(differences.median().item<double>(), 2e-2);
}

TEST_P(CpuPlannerTest, APlanIsTheSameToTheLastBitWhateverItsBatch) {
  for (const auto dtype : {proto::ModelConfig::FLOAT32, proto::ModelConfig::BFLOAT16}) {
    Case c = Param();
    c.dtype = dtype;
    const proto::RunConfig config = ConfigOf(c);
    const Planner planner(ModelWithValues(config), config);
    const PlanInputs inputs = SomePlanInputs(config, 4, 5);
    const Plans all = planner.Plan(inputs);
    const Plans alone = planner.Plan(OneOf(inputs, 3));
    EXPECT_TRUE(at::equal(all.actions[3], alone.actions[0]));
    EXPECT_TRUE(at::equal(all.mean[3], alone.mean[0]));
    EXPECT_TRUE(at::equal(all.std[3], alone.std[0]));
    EXPECT_TRUE(at::equal(all.value[3], alone.value[0]));
    EXPECT_TRUE(at::equal(all.warm_start[3], alone.warm_start[0]));
  }
}

// LibTorch's memory comes from its allocator, which is not operator new.
class CountingAllocator final : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}
  at::DataPtr allocate(size_t bytes) const override {
    ++allocations;
    return inner_->allocate(bytes);
  }

 private:
  c10::Allocator* const inner_;
};

TEST_P(CpuPlannerTest, PlansAllocateNothingAfterTheFirst) {
  static CountingAllocator counting(c10::GetCPUAllocator());
  c10::SetCPUAllocator(&counting, /*priority=*/100);
  for (const auto dtype : {proto::ModelConfig::FLOAT32, proto::ModelConfig::BFLOAT16}) {
    Case c = Param();
    c.dtype = dtype;
    const proto::RunConfig config = ConfigOf(c);
    const auto planner = CpuPlanner::Create(ModelWithValues(config), config);
    const std::vector<float> observation(3, 0.5f);
    const size_t numbers = config.planner().horizon() * 2;
    const std::vector<float> warm_start(numbers, 0.1f);
    std::vector<float> action(2), mean(2), std(2), next(numbers);
    float value = 0;
    int iterations = 0;
    CpuPlanRequest request;
    request.observation = observation.data();
    request.warm_start = warm_start.data();
    const auto plan = [&] {
      planner->Plan(request,
                    {action.data(), mean.data(), std.data(), &value, next.data(), &iterations});
    };
    plan();
    const int64_t before = allocations;
    plan();
    EXPECT_EQ(allocations, before);
    EXPECT_EQ(iterations, 3);
  }
  // The counters count.
  const int64_t before = allocations;
  const at::Tensor tensor = at::empty({8});
  EXPECT_GE(allocations, before + 2) << "the tensor's memory, and the tensor";
}

TEST(CpuPlannerMakingTest, ModelsWithoutKernelsHaveNone) {
  Case c;
  c.mlp_dim = 20;  // no multiple of 8
  proto::RunConfig config = ConfigOf(c);
  EXPECT_EQ(CpuPlanner::Create(ModelWithValues(config), config), nullptr);
  config = ConfigOf(Case());
  const WorldModel wide = WorldModel::Create(config, at::kCPU, 1, at::kDouble);
  EXPECT_EQ(CpuPlanner::Create(wide, config), nullptr);
}

TEST(CpuPlannerMakingTest, APlannerKeepsTheParametersItWasMadeWith) {
  const proto::RunConfig config = ConfigOf(Case());
  WorldModel model = ModelWithValues(config);
  const auto planner = CpuPlanner::Create(model, config);
  const std::vector<float> observation(3, 0.5f);
  std::vector<float> action(2), mean(2), std(2), next(6);
  float value = 0;
  int iterations = 0;
  CpuPlanRequest request;
  request.observation = observation.data();
  const auto value_now = [&] {
    planner->Plan(request,
                  {action.data(), mean.data(), std.data(), &value, next.data(), &iterations});
    return value;
  };
  const float before = value_now();
  model.flat().zero_();
  EXPECT_EQ(value_now(), before);
}

}  // namespace
}  // namespace pompc::model
