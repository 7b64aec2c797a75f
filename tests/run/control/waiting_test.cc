#include "run/control/waiting.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::run {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A run in training of which nothing is out of order: an actor, an evaluator, a planner, a shard.
RunStatus Healthy() {
  RunStatus status;
  status.phase = Phase::kTraining;
  status.peers.push_back({.role = Role::kActor, .name = "host:1"});
  status.peers.push_back({.role = Role::kEvaluator, .name = "host:2"});
  status.planners.push_back({.name = "host:3", .peer = "ipv4:1.2.3.4:5", .connected = true});
  status.shards.push_back({.address = "a:1", .reachable = true});
  return status;
}

LearnerWaits ForRows() {
  return {.step = "the learner waits for rows", .step_for = LearnerWaits::For::kActors};
}

EndedPeer Ended(Role role, LeaseEnd end, bool nothing_since) {
  return {.role = role,
          .name = "host:9",
          .rows = 3,
          .end = end,
          .how = "ValueError: wrong action",
          .seconds_ago = 12,
          .nothing_since = nothing_since};
}

TEST(WaitingTextTest, NothingIsSaidWhileNothingIsOutOfOrder) {
  EXPECT_EQ(WaitingText(Healthy(), {}), "");
  EXPECT_EQ(WaitingText(Healthy(), ForRows()), "the learner waits for rows");
}

TEST(WaitingTextTest, AMissingActorIsTheCauseOfMissingRowsAndTheLastOneIsNamed) {
  RunStatus status = Healthy();
  status.peers.clear();
  EXPECT_THAT(WaitingText(status, ForRows()), HasSubstr("no actor is registered"));
  EXPECT_THAT(WaitingText(status, {}), Not(HasSubstr("registered"))) << "nobody waits for rows";
  status.ended_peers.push_back(Ended(Role::kActor, LeaseEnd::kFailed, true));
  status.ended_peers.push_back(Ended(Role::kEvaluator, LeaseEnd::kLeft, true));
  EXPECT_THAT(WaitingText(status, ForRows()),
              HasSubstr("actor 0 (host:9) ended after 3 rows, 12 s ago: ValueError: wrong action"));
}

TEST(WaitingTextTest, AnActorThatFailedIsNamedUntilRowsCome) {
  RunStatus status = Healthy();
  status.seconds_since_rows = 5;
  for (const LeaseEnd end : {LeaseEnd::kFailed, LeaseEnd::kSilent}) {
    status.ended_peers = {Ended(Role::kActor, end, true)};
    EXPECT_THAT(WaitingText(status, ForRows()), HasSubstr("ended after 3 rows"));
  }
  status.ended_peers = {Ended(Role::kActor, LeaseEnd::kLeft, true)};
  EXPECT_THAT(WaitingText(status, ForRows()), Not(HasSubstr("ended"))) << "it was told to";
  status.ended_peers = {Ended(Role::kActor, LeaseEnd::kFailed, false)};
  EXPECT_THAT(WaitingText(status, ForRows()), Not(HasSubstr("ended"))) << "others bring rows";
}

TEST(WaitingTextTest, WhatActorsWaitForIsSaidOnceRowsStayAway) {
  RunStatus status = Healthy();
  status.peers[0].waiting = "no plan: planner p:1: connection refused";
  EXPECT_THAT(WaitingText(status, ForRows()), Not(HasSubstr("no plan")));
  status.seconds_since_rows = 5;
  EXPECT_THAT(WaitingText(status, ForRows()),
              HasSubstr("actor 0 (host:1) waits: no plan: planner p:1: connection refused"));
  EXPECT_THAT(WaitingText(status, {}), Not(HasSubstr("no plan"))) << "the learner does not wait";
  status.peers.push_back({.role = Role::kActor, .index = 1, .waiting = "replay"});
  status.peers.push_back({.role = Role::kActor, .index = 2});
  EXPECT_THAT(WaitingText(status, ForRows()), HasSubstr("2 of 3 actors wait, actor 0"));
}

TEST(WaitingTextTest, EvaluationsWaitForEvaluators) {
  RunStatus status = Healthy();
  const LearnerWaits waits = {.step = "the learner waits for the last evaluations",
                              .step_for = LearnerWaits::For::kEvaluators};
  EXPECT_EQ(WaitingText(status, waits), "the learner waits for the last evaluations");
  status.peers[1].waiting = "4 plan requests without an answer";
  EXPECT_THAT(WaitingText(status, waits), HasSubstr("evaluator 0 (host:2) waits: 4 plan requests"));
  status.peers.pop_back();
  status.ended_peers = {Ended(Role::kEvaluator, LeaseEnd::kSilent, true)};
  EXPECT_THAT(WaitingText(status, waits), HasSubstr("no evaluator is registered; evaluator 0"));
}

TEST(WaitingTextTest, PlannersThatAreMissingOrBehindAreNamed) {
  RunStatus status = Healthy();
  status.planners[0].behind_seconds = 9;
  EXPECT_EQ(WaitingText(status, {}), "") << "a version is on its way";
  status.planners[0].behind_seconds = 30;
  EXPECT_THAT(WaitingText(status, {}),
              HasSubstr("planner host:3 at ipv4:1.2.3.4:5 is 30 s behind"));
  status.planners[0].connected = false;
  status.planners[0].since_seconds = 7;
  EXPECT_THAT(WaitingText(status, {}),
              HasSubstr("no planner is connected: actors that need plans wait (host:3 at "
                        "ipv4:1.2.3.4:5 was lost 7 s ago)"));
  status.planners.clear();
  EXPECT_EQ(WaitingText(status, {}), "no planner is connected: actors that need plans wait");
  status.phase = Phase::kSeed;
  EXPECT_EQ(WaitingText(status, {}), "") << "nobody needs plans yet";
}

TEST(WaitingTextTest, UnreachableShardsAndFailingCheckpointsAreNamedWithTheirAge) {
  RunStatus status = Healthy();
  status.shards.push_back(
      {.address = "b:2", .problem = "serves another run", .unreachable_seconds = 40});
  status.checkpoints = {.error = "No space left on device", .failing_seconds = 35};
  const std::string text = WaitingText(status, {});
  EXPECT_THAT(text, HasSubstr("shard 1 (b:2) has been unreachable for 40 s: serves another run"));
  EXPECT_THAT(text,
              HasSubstr("no checkpoint could be written for 35 s: No space left on device"));
}

TEST(WaitingTextTest, BlockedWritersHearTheReasonOfGrants) {
  RunStatus status = Healthy();
  status.shards[0].state.blocked_streams = 2;
  EXPECT_EQ(WaitingText(status, {.grant = "rows run ahead"}), "2 writers wait: rows run ahead");
}

TEST(WaitingTextTest, ALearnerThatEndsSaysSoUnlessTheRunIsOver) {
  RunStatus status = Healthy();
  const LearnerWaits waits = {.halted = "the policy is not finite"};
  EXPECT_THAT(WaitingText(status, waits), HasSubstr("wait for the next: the policy is not finite"));
  status.phase = Phase::kFinished;
  EXPECT_EQ(WaitingText(status, waits), "");
}

}  // namespace
}  // namespace pompc::run
