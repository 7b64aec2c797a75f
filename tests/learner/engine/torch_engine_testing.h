// What the tests of the engine share.
#ifndef POMPC_TESTS_LEARNER_ENGINE_TORCH_ENGINE_TESTING_H_
#define POMPC_TESTS_LEARNER_ENGINE_TORCH_ENGINE_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/config/run_config.h"
#include "common/values/float_bytes.h"
#include "gtest/gtest.h"
#include "learner/engine/torch_engine.h"
#include "replay/core/random.h"
#include "tests/replay/window_batch_testing.h"

namespace pompc::learner {

inline constexpr uint32_t kObservation = 3;
inline constexpr uint32_t kAction = 2;
inline constexpr uint32_t kHorizon = 3;

inline proto::RunConfig Config() {
  proto::RunConfig config = config::Resolve(proto::RunConfig());
  proto::EnvSpec* spec = config.mutable_env()->mutable_spec();
  spec->set_observation_size(kObservation);
  spec->set_action_size(kAction);
  spec->set_episode_decisions(500);
  proto::ModelConfig* model = config.mutable_model();
  model->set_size("tiny");
  model->set_mlp_dim(32);
  model->set_latent_dim(16);
  return config;
}

// `count` windows of random numbers, as a shard sends them.
inline proto::SampleReply Reply(uint32_t count, uint64_t seed, uint32_t shard = 0) {
  replay::Random random(seed);
  const auto floats = [&](uint32_t n, float low, float high) {
    std::vector<float> values(n);
    for (float& value : values) {
      value = low + (high - low) * static_cast<float>(random.Below(1000)) / 1000;
    }
    return ToBytes(absl::MakeConstSpan(values));
  };
  const uint32_t states = count * (kHorizon + 1), steps = count * kHorizon;
  proto::SampleReply reply;
  proto::Windows* w = reply.mutable_windows();
  w->set_count(count);
  w->set_horizon(kHorizon);
  w->set_observations(floats(states * kObservation, -1, 1));
  w->set_actions(floats(steps * kAction, -1, 1));
  w->set_rewards(floats(steps, 0, 1));
  w->set_terminated(std::string(steps, '\0'));
  w->set_plan_mean(floats(states * kAction, -1, 1));
  w->set_plan_std(floats(states * kAction, 0.1f, 1));
  w->set_has_plan(std::string(states, '\1'));
  std::vector<uint64_t> addresses(states);
  for (uint32_t i = 0; i < states; ++i) addresses[i] = 1000 * shard + i;
  w->set_addresses(ToBytes(absl::MakeConstSpan(addresses)));
  w->set_versions(std::string(count * 16, '\0'));
  w->set_draws(std::string(count * 8, '\0'));
  w->set_probabilities(floats(count, 0.1f, 1));
  reply.mutable_info()->set_shard_index(shard);
  reply.mutable_info()->set_shard_incarnation(77 + shard);
  return reply;
}

inline replay::WindowBatch Windows(uint32_t count, uint64_t seed, uint32_t shard = 0) {
  return *replay::BatchOf(Reply(count, seed, shard), {kObservation, kAction}, count, kHorizon);
}

inline std::vector<replay::WindowBatch> Shares(std::vector<uint32_t> counts, uint64_t seed) {
  std::vector<replay::WindowBatch> shares;
  for (uint32_t count : counts) shares.push_back(Windows(count, seed++));
  return shares;
}

inline std::shared_ptr<Engine> MakeEngine(const proto::RunConfig& config = Config()) {
  auto engine = MakeTorchEngine(config, {});
  EXPECT_TRUE(engine.ok()) << engine.status();
  return *std::move(engine);
}

// An update on shares of so many windows.
inline NamedValues StepOn(Engine& engine, std::vector<uint32_t> counts, uint64_t seed) {
  const auto batch = engine.MakeBatch(Shares(std::move(counts), seed), {});
  EXPECT_TRUE(batch.ok()) << batch.status();
  const auto values = engine.Step(**batch, true);
  EXPECT_TRUE(values.ok()) << values.status();
  return *values;
}

inline std::string Parameters(Engine& engine) {
  proto::ParametersDescription description;
  return **engine.PackParameters(&description);
}

}  // namespace pompc::learner

#endif  // POMPC_TESTS_LEARNER_ENGINE_TORCH_ENGINE_TESTING_H_
