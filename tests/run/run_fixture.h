#ifndef POMPC_TESTS_RUN_RUN_FIXTURE_H_
#define POMPC_TESTS_RUN_RUN_FIXTURE_H_

#include <memory>
#include <string>

#include "common/base/threads.h"
#include "common/config/run_config.h"
#include "common/rpc/server.h"
#include "gtest/gtest.h"
#include "run/control/run_control.h"
#include "run/service.h"

namespace pompc::run {

// A small run whose shards the test plays.
inline RunControlOptions SmallRun(uint64_t learner_incarnation = 1) {
  RunControlOptions options;
  options.learner_incarnation = learner_incarnation;
  options.shards = {"a:1", "b:2"};
  options.ratio.seed_rows = 100;
  options.ratio.pretrain_updates = 0;
  options.ratio.utd = 1;
  options.ratio.slack_rows = 20;
  options.ratio.min_rows = 50;
  options.evaluation.every_rows = 200;
  options.evaluation.episodes = 2;
  return options;
}

inline RunServiceOptions SmallRunService(const std::string& run_id) {
  RunServiceOptions options;
  options.run_id = run_id;
  options.run_dir = "/runs/one";
  options.config = config::Resolve(proto::RunConfig());
  options.config.mutable_env()->set_task("cartpole-swingup");
  options.config.mutable_learner()->set_seed_rows(100);
  return options;
}

// Control plane and server of one learner.
struct ServedRun {
  ServedRun(const RunControlOptions& options, const std::string& run_id, Clock* clock,
            const std::string& listen = "")
      : control(options, clock), service(&control, Keeping(SmallRunService(run_id))) {
    auto started = rpc::Server::Start({.listen = listen}, {&service});
    EXPECT_TRUE(started.ok()) << started.status();
    if (started.ok()) server = *std::move(started);
  }

  // Both shards hold `each` rows.
  void Rows(uint64_t each) {
    for (int i = 0; i < 2; ++i) {
      proto::ShardInfo info;
      info.set_shard_incarnation(10 + i);
      info.set_accepted_rows(each);
      info.set_stored_rows(each);
      info.set_windows(each);
      info.set_capacity_rows(1000000);
      control.ShardAnswered(i, info, true);
    }
  }
  // Publishes version (incarnation, number) at 200 rows and asks for its evaluation.
  void BeginEvaluation(ParameterVersion version) {
    Rows(100);
    control.StartTraining();
    control.Published(version);
    control.AddEvaluation(version);
  }

  // What keeps changed limits: keep_status, and what it was given last.
  RunServiceOptions Keeping(RunServiceOptions options) {
    options.keep_limits = [this](const proto::KeptLimits& limits) {
      if (keep_status.ok()) kept = limits;
      return keep_status;
    };
    return options;
  }

  absl::Status keep_status;
  proto::KeptLimits kept;
  RunControl control;
  RunService service;
  std::unique_ptr<rpc::Server> server;
};

}  // namespace pompc::run

#endif  // POMPC_TESTS_RUN_RUN_FIXTURE_H_
