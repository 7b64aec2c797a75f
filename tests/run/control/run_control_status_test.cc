// What a run tells of those who take part in it, and of what it waits for.
#include <string>

#include "gtest/gtest.h"
#include "run/control/names.h"
#include "run/control/run_control.h"
#include "tests/run/control/run_control_fixture.h"

namespace pompc::run {
namespace {

using RunControlStatusTest = RunControlTest;

TEST_F(RunControlStatusTest, ALearnerThatDidNotRunEndsNoLeaseBeforeItHasReadHeartbeats) {
  FinishSeedPhase();
  control_.Tick();
  auto actor = *control_.Register(proto::ACTOR, "a", 1);
  auto silent = *control_.Register(proto::ACTOR, "b", 1);
  Evaluate();
  clock_.Advance(absl::Minutes(40));
  // What the paused process does first is not to be relied on.
  EXPECT_EQ(control_.Tick(), absl::Minutes(40));
  EXPECT_EQ(control_.Status().peers_size(), 3);
  ASSERT_TRUE(control_.Heartbeat(actor.lease_id(), {}).ok());
  for (int second = 0; second < 11; ++second) {
    clock_.Advance(absl::Seconds(1));
    EXPECT_EQ(control_.Tick(), absl::ZeroDuration());
    ASSERT_TRUE(control_.Heartbeat(actor.lease_id(), {}).ok());
  }
  // Whoever is gone all the same is found out.
  EXPECT_FALSE(control_.Heartbeat(silent.lease_id(), {}).ok());
  EXPECT_EQ(control_.Status().peers_size(), 1);
  EXPECT_TRUE(control_.TakeEvaluationNews().empty()) << "an evaluation was given up";
}

TEST_F(RunControlStatusTest, AProcessThatRegistersTwiceHoldsOneLease) {
  auto first = *control_.Register(proto::ACTOR, "a", 1, {.process_id = 7});
  ASSERT_TRUE(control_.Register(proto::ACTOR, "b", 1, {.process_id = 8}).ok());
  auto second = *control_.Register(proto::ACTOR, "a", 1, {.process_id = 7});
  EXPECT_EQ(second.index(), first.index());
  EXPECT_GT(second.incarnation(), first.incarnation());
  EXPECT_EQ(control_.Status().peers_size(), 2);
  EXPECT_TRUE(control_.Status().ended_peers().empty()) << "the process has not ended";
}

TEST_F(RunControlStatusTest, HowLeasesEndedIsTold) {
  Rows(10);
  auto failed = *control_.Register(proto::ACTOR, "failed", 1);
  auto stopped = *control_.Register(proto::ACTOR, "stopped", 1);
  ASSERT_TRUE(control_.Register(proto::ACTOR, "silent", 1).ok());
  ASSERT_TRUE(control_.Leave(failed.lease_id(), {.rows = 3}, "wrong action").ok());
  ASSERT_TRUE(control_.Leave(stopped.lease_id(), {}, "").ok());
  EXPECT_EQ(control_.Leave(stopped.lease_id(), {}, "").status().code(),
            absl::StatusCode::kNotFound);
  clock_.Advance(absl::Seconds(10));
  control_.Tick();
  Step();
  clock_.Advance(absl::Seconds(2));
  const proto::RunStatus status = control_.Status();
  ASSERT_EQ(status.ended_peers_size(), 3);
  EXPECT_EQ(status.ended_peers(0).how(), "wrong action");
  EXPECT_EQ(status.ended_peers(0).rows(), 3u);
  EXPECT_EQ(status.ended_peers(0).seconds_ago(), 12);
  EXPECT_TRUE(status.ended_peers(0).nothing_since());
  EXPECT_EQ(status.ended_peers(1).end(), proto::LEFT);
  EXPECT_EQ(status.ended_peers(2).how(), "no heartbeat came for 10s");
  ASSERT_EQ(status.ended_leases_size(), 3);
  for (const proto::EndedLeases& ended : status.ended_leases()) {
    EXPECT_EQ(ended.leases(), 1u) << Name(ended.end());
  }
  EXPECT_NE(status.waiting().find("no actor is registered; actor 2 (silent) ended after 0 rows"),
            std::string::npos)
      << status.waiting();
  Rows(11);
  EXPECT_FALSE(control_.Status().ended_peers(0).nothing_since());
}

TEST_F(RunControlStatusTest, AnEvaluatorThatLeavesFreesItsEvaluation) {
  FinishSeedPhase();
  auto evaluator = Evaluate();
  auto other = *control_.Register(proto::EVALUATOR, "f", 0);
  EXPECT_FALSE(control_.Heartbeat(other.lease_id(), {})->has_evaluation());
  ASSERT_TRUE(control_.Leave(evaluator.lease_id(), {}, "").ok());
  EXPECT_TRUE(control_.Heartbeat(other.lease_id(), {})->has_evaluation());
}

TEST_F(RunControlStatusTest, WhatPeersWaitForIsOfTheirNewestHeartbeat) {
  auto actor = *control_.Register(proto::ACTOR, "a", 1);
  ASSERT_TRUE(control_.Heartbeat(actor.lease_id(), {}, "no plan").ok());
  EXPECT_EQ(control_.Status().peers(0).waiting(), "no plan");
  ASSERT_TRUE(control_.Heartbeat(actor.lease_id(), {}).ok());
  EXPECT_EQ(control_.Status().peers(0).waiting(), "");
}

TEST_F(RunControlStatusTest, NoReasonOutlivesItsWait) {
  FinishSeedPhase();
  const auto waiting = [&] { return control_.Status().waiting(); };
  const std::string quiet = waiting();
  Rows(60);
  ASSERT_EQ(Step(), TrainerStep::kUpdate);
  // A batch that does not come, then rows that are missing: the batch is not waited for any more.
  control_.SetTrainerWait("the learner waits for shard 0");
  EXPECT_NE(waiting().find("shard 0"), std::string::npos);
  Answer(0, 0, true, 20);
  Answer(1, 0, true, 21);
  ASSERT_EQ(Step(), TrainerStep::kWait);
  EXPECT_EQ(waiting().find("waits for shard 0"), std::string::npos) << waiting();
  EXPECT_NE(waiting().find("replay to be filled"), std::string::npos);
  Answer(0, 60, true, 20);
  ASSERT_EQ(Step(), TrainerStep::kUpdate);
  EXPECT_EQ(waiting(), quiet);
  control_.ShardLost(1, "connection refused");
  EXPECT_NE(waiting().find("connection refused"), std::string::npos);
  clock_.Advance(absl::Seconds(40));
  control_.ShardLost(1, "no route");
  EXPECT_NE(waiting().find("unreachable for 40 s: no route"), std::string::npos) << waiting();
  Answer(1, 10, true, 21);
  EXPECT_EQ(waiting(), quiet);
  proto::RunStatus observed;
  observed.set_checkpoint_error("No space left on device");
  observed.set_checkpoint_failing_seconds(3);
  control_.Observe(observed);
  EXPECT_NE(waiting().find("No space left"), std::string::npos);
  control_.Observe({});
  EXPECT_EQ(waiting(), quiet);
  control_.SetTrainerWait("the learner waits for rank 1");
  control_.Stop("asked to");
  ASSERT_EQ(Step(), TrainerStep::kFinish);
  EXPECT_EQ(waiting(), "");
}

TEST_F(RunControlStatusTest, ALearnerThatEndsDoesNotEndTheRunAnyMore) {
  RunControlOptions options = Options();
  options.stop.max_time = absl::Minutes(1);
  RunControl control(options, &clock_);
  auto actor = *control.Register(proto::ACTOR, "a", 1);
  control.Tick();
  control.Halt("the policy is not finite");
  control.Halt();
  clock_.Advance(absl::Minutes(2));
  control.Tick();
  EXPECT_EQ(control.Heartbeat(actor.lease_id(), {})->phase(), proto::SEED);
  EXPECT_NE(control.Status().waiting().find("the policy is not finite"), std::string::npos);
}

class WantedEnvironmentsTest : public RunControlTest {
 protected:
  // Lets a minute pass, in which the learner waits if it must; returns what is wanted then.
  double AfterAMinute() {
    for (int i = 0; i < 240; ++i) {
      clock_.Advance(absl::Milliseconds(250));
      Step();
      control_.Tick();
      // Keeps the lease.
      EXPECT_TRUE(control_.Heartbeat(lease_, {}, "").ok());
    }
    return control_.Status().wanted_environments();
  }
  void Register() { lease_ = control_.Register(proto::ACTOR, "a", 4)->lease_id(); }
  // Both shards: rows, streams, and how many of these are held back.
  void Shards(uint64_t rows, uint32_t streams, uint32_t blocked) {
    for (int i = 0; i < 2; ++i) {
      proto::ShardInfo info;
      info.set_shard_incarnation(10 + i);
      info.set_accepted_rows(rows);
      info.set_stored_rows(rows);
      info.set_windows(rows);
      info.set_capacity_rows(capacity_);
      info.set_streams(streams);
      info.set_blocked_streams(blocked);
      control_.ShardAnswered(i, info, true);
    }
  }

  uint64_t lease_ = 0;
};

TEST_F(WantedEnvironmentsTest, FollowFromWhoWaits) {
  EXPECT_EQ(control_.Status().environments(), 0u);
  EXPECT_EQ(control_.Status().wanted_environments(), 1) << "those of one actor";
  FinishSeedPhase();
  Register();
  EXPECT_EQ(control_.Status().environments(), 4u);
  // No row comes: after the updates that the seed rows allow the learner only waits.
  while (Step() == TrainerStep::kUpdate) control_.UpdateDone();
  EXPECT_NEAR(AfterAMinute(), 16, 0.2) << "four times as many, at most";
  // Rows for more updates than are made, and three quarters of the writers are held back.
  Shards(70, 4, 3);
  EXPECT_NEAR(AfterAMinute(), 1, 0.2);
  Shards(70, 4, 0);
  EXPECT_NEAR(AfterAMinute(), 4, 0.1) << "nobody waits";
}

TEST(WantedEnvironmentsLockstepTest, AreNoneWhereRowsComeInTurns) {
  FakeClock clock;
  RunControlOptions options = Options();
  options.lockstep = true;
  EXPECT_EQ(RunControl(options, &clock).Status().wanted_environments(), 0);
}

}  // namespace
}  // namespace pompc::run
