// What the tests of learner/update/ share.
#ifndef POMPC_TESTS_LEARNER_UPDATE_TESTING_H_
#define POMPC_TESTS_LEARNER_UPDATE_TESTING_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "learner/update/batch.h"
#include "learner/update/updater.h"
#include "tests/model/testing.h"

namespace pompc::update {

// A batch of arbitrary numbers; every row has a plan.
inline Batch MakeBatch(const proto::RunConfig& config, uint64_t seed, int64_t batch = 6,
                       int64_t horizon = 3) {
  using model::Draw;
  const proto::EnvSpec& spec = config.env().spec();
  Batch b;
  b.observations = Draw(seed, {batch, horizon + 1, spec.observation_size()});
  b.actions = Draw(seed + 100, {batch, horizon, spec.action_size()}).clamp(-1, 1);
  b.rewards = Draw(seed + 200, {batch, horizon});
  b.terminated = at::zeros({batch, horizon});
  b.plan_mean = Draw(seed + 300, {batch, horizon + 1, spec.action_size()}).clamp(-1, 1);
  b.plan_std = Draw(seed + 400, {batch, horizon + 1, spec.action_size()}).abs() * 0.5 + 0.1;
  b.has_plan = at::ones({batch, horizon + 1});
  return b;
}

inline std::unique_ptr<Updater> MakeUpdater(const proto::RunConfig& config, uint64_t seed = 1,
                                            at::ScalarType dtype = at::kFloat) {
  return Updater::Create(config, at::kCPU, seed, dtype);
}

// The draws of an update on the CPU.
inline Draws DrawUpdate(const proto::RunConfig& config, BatchSize size, uint64_t seed,
                        uint32_t update) {
  return MakeDraws(DrawNumbers(config, size, seed, update), config, size,
                   at::TensorOptions(at::kFloat));
}

// A tensor of the exported state by name.
inline at::Tensor Exported(const Updater& updater, const std::string& name) {
  for (const model::NamedTensor& named : updater.Export().tensors) {
    if (named.name == name) return named.tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return at::Tensor();
}

}  // namespace pompc::update

#endif  // POMPC_TESTS_LEARNER_UPDATE_TESTING_H_
