#ifndef POMPC_TESTS_LEARNER_LEARNER_FIXTURE_H_
#define POMPC_TESTS_LEARNER_LEARNER_FIXTURE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "common/config/run_config.h"
#include "common/metrics/metrics.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "learner/app.h"
#include "replay/app.h"
#include "replay/client/trajectory_writer.h"
#include "tests/learner/fake_engine.h"
#include "tests/rundir/scratch_folder.h"
#include "tests/support/await.h"
#include "tests/support/metrics_text.h"

namespace pompc::learner {

// 100 rows at random, 20 updates, then one update for two rows. Observations of 2 numbers, actions
// of 1, windows of 3 rows.
inline proto::RunConfig SmallConfig() {
  proto::RunConfig config = config::Resolve(proto::RunConfig());
  proto::EnvSpec* spec = config.mutable_env()->mutable_spec();
  spec->set_observation_size(2);
  spec->set_action_size(1);
  spec->set_episode_decisions(50);
  config.mutable_model()->set_size("tiny");
  config.mutable_replay()->set_capacity_rows(10000);
  config.mutable_replay()->set_slack_rows(40);
  config.mutable_replay()->set_min_rows(60);
  proto::LearnerConfig* learner = config.mutable_learner();
  learner->set_batch_size(16);
  learner->set_seed_rows(100);
  learner->set_pretrain_updates(20);
  learner->set_utd(0.5);
  learner->set_publish_every_updates(5);
  learner->set_checkpoint_every_updates(50);
  learner->set_log_every_updates(10);
  config.mutable_evaluation()->set_every_rows(100000);
  config.mutable_evaluation()->set_episodes(2);
  config.mutable_stop()->set_max_rows(0);
  return config;
}

// Fails the test if `condition` does not come to hold.
inline void AwaitThat(const std::function<bool()>& condition) { ASSERT_TRUE(Await(condition)); }

// A real learner app with a fake engine, real replay shards, and writers the test drives.
class LearnerFixture : public testing::Test {
 protected:
  ~LearnerFixture() override {
    if (engine_ != nullptr) engine_->Release();
    if (write_after_ != nullptr) write_after_->Set();
    writers_.clear();
    learner_.reset();
    shards_.clear();
  }

  // Shards are reached by port: a test may end one under a writer, which in-process channels do not
  // survive.
  void StartShards(int n) {
    for (int i = 0; i < n; ++i) {
      shards_.push_back(nullptr);
      StartShard(i, "127.0.0.1:0");
    }
  }
  void StartShard(int i, const std::string& listen) {
    replay::AppOptions options;
    options.listen = listen;
    options.metrics = std::make_shared<MetricsRegistry>();
    auto shard = replay::App::Start(options);
    ASSERT_TRUE(shard.ok()) << shard.status();
    shards_[i] = *std::move(shard);
  }

  AppOptions LearnerOptions() {
    AppOptions options;
    options.run_dir = folder_.File("run");
    options.config = config_;
    for (const auto& shard : shards_) {
      options.replay.push_back(rpc::Endpoint(shard->server().address()));
    }
    engine_ = std::make_shared<FakeEngine>(0, exchange_);
    options.world_size = world_size_;
    engine_->fail_at = fail_at_;
    engine_->failures_left = failures_;
    engine_->spoilt_at = spoilt_at_;
    engine_->bad_batch = bad_batch_;
    engine_->notices_late = notices_late_;
    engine_->write_after = write_after_;
    options.engine = engine_;
    options.grant_interval = absl::Milliseconds(2);
    options.shard_timeout = absl::Seconds(2);
    options.write_timeout = write_timeout_;
    options.keep_grants = keep_grants_;
    options.lease.heartbeat = absl::Milliseconds(5);
    metrics_ = std::make_shared<MetricsRegistry>();
    options.metrics = metrics_;
    return options;
  }
  absl::Status TryStartLearner() {
    auto learner = App::Start(LearnerOptions());
    if (learner.ok()) learner_ = *std::move(learner);
    return learner.status();
  }
  void StartLearner() {
    const absl::Status status = TryStartLearner();
    ASSERT_TRUE(status.ok()) << status;
  }

  // All but its shard.
  replay::TrajectoryWriterOptions WriterOptions(uint64_t incarnation) {
    replay::TrajectoryWriterOptions options;
    options.run_id = learner_->run_id();
    options.incarnation = incarnation;
    options.spec = {2, 1};
    options.shard_of_environment = {0};
    options.chunk_rows = 4;
    options.flush_after = absl::Milliseconds(1);
    return options;
  }
  // A writer of its own environment to each shard, as an actor with this incarnation has.
  void StartWriters(uint64_t incarnation) {
    writers_.clear();
    for (size_t i = 0; i < shards_.size(); ++i) {
      replay::TrajectoryWriterOptions options = WriterOptions(incarnation);
      options.actor_index = static_cast<uint32_t>(i);
      options.shards = {rpc::Endpoint(shards_[i]->server().address()).Channel()};
      writers_.push_back(std::make_unique<replay::TrajectoryWriter>(options, Clock::Real()));
    }
  }

  // Begins an episode at the shard and writes rows, with plans or without; every `poison_every`-th
  // one has a reward that the engine makes no update with.
  absl::Status TryWrite(size_t shard, int rows, bool planned, int poison_every = 0) {
    replay::TrajectoryWriter& writer = *writers_[shard];
    writer.BeginEpisode(0);
    const std::vector<float> observation = {0.5f, -0.5f}, action = {0.25f}, std = {0.5f};
    for (int i = 0; i < rows; ++i) {
      const bool poisoned = poison_every > 0 && (i + 1) % poison_every == 0;
      const float reward = poisoned ? FakeEngine::kPoison : 0, value = 0;
      const uint8_t terminated = 0, has_plan = 1;
      const ParameterVersion version = {1, 1};
      replay::RowView row;
      row.Set<float>("observations", observation);
      row.Set<float>("actions", action);
      row.Set<float>("rewards", reward);
      row.Set<uint8_t>("terminated", terminated);
      if (planned) {
        row.Set<uint8_t>("has_plan", has_plan);
        row.Set<float>("plan_mean", action);
        row.Set<float>("plan_std", std);
        row.Set<float>("plan_value", value);
        row.Set<ParameterVersion>("versions", version);
      }
      const absl::Status status = writer.Append(0, row, absl::Seconds(20));
      if (!status.ok()) return status;
    }
    absl::Status status = writer.EndEpisode(0, observation);
    return status.ok() ? writer.Flush(absl::Seconds(20)) : status;
  }
  void Write(size_t shard, int rows, bool planned) {
    const absl::Status status = TryWrite(shard, rows, planned);
    ASSERT_TRUE(status.ok()) << status;
  }

  // The random phase of 100 rows over all shards, up to the first version.
  void FinishSeedPhase() {
    StartWriters(1);
    const int each = 100 / static_cast<int>(shards_.size());
    for (size_t i = 0; i < shards_.size(); ++i) Write(i, each, false);
    AwaitTraining();
  }
  void AwaitTraining() {
    AwaitThat([&] { return learner_->Status().phase() == proto::TRAINING; });
  }
  void AwaitUpdates(uint64_t updates) {
    AwaitThat([&] { return learner_->Status().updates() >= updates; });
  }

  ScratchFolder folder_;
  proto::RunConfig config_ = SmallConfig();
  // The faults of the engine: see FakeEngine.
  uint64_t fail_at_ = 0;
  int failures_ = 1;
  uint64_t spoilt_at_ = 0;
  std::function<bool(int)> bad_batch_;
  bool notices_late_ = false;
  std::shared_ptr<Event> write_after_;
  absl::Duration write_timeout_ = absl::Seconds(10);
  absl::Duration keep_grants_ = AppOptions().keep_grants;
  // With other ranks.
  int world_size_ = 1;
  std::shared_ptr<FakeExchange> exchange_;
  std::vector<std::unique_ptr<replay::App>> shards_;
  std::shared_ptr<FakeEngine> engine_;
  std::shared_ptr<MetricsRegistry> metrics_;
  std::unique_ptr<App> learner_;
  std::vector<std::unique_ptr<replay::TrajectoryWriter>> writers_;
};

}  // namespace pompc::learner

#endif  // POMPC_TESTS_LEARNER_LEARNER_FIXTURE_H_
