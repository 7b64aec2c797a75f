#include "run/control/waiting.h"

#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace pompc::run {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <typename Message>
Message Parse(const char* text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// A run in training of which nothing is out of order: an actor, an evaluator, a planner, a shard.
proto::RunStatus Healthy() {
  return Parse<proto::RunStatus>(R"pb(
    phase: TRAINING
    peers { role: ACTOR name: "host:1" }
    peers { role: EVALUATOR name: "host:2" }
    planners { name: "host:3" peer: "ipv4:1.2.3.4:5" connected: true }
    shards { address: "a:1" reachable: true }
  )pb");
}

LearnerWaits ForRows() {
  return {.step = "the learner waits for rows", .step_reason = proto::LimiterStatus::RATIO};
}

// Makes this the only lease that has ended.
void SetEnded(proto::RunStatus* status, proto::Role role, proto::LeaseEnd end, bool nothing_since) {
  auto peer = Parse<proto::EndedPeer>(
      R"pb(name: "host:9" rows: 3 how: "ValueError: wrong action" seconds_ago: 12)pb");
  peer.set_role(role);
  peer.set_end(end);
  peer.set_nothing_since(nothing_since);
  status->clear_ended_peers();
  *status->add_ended_peers() = peer;
}

TEST(WaitingTextTest, NothingIsSaidWhileNothingIsOutOfOrder) {
  EXPECT_EQ(WaitingText(Healthy(), {}), "");
  EXPECT_EQ(WaitingText(Healthy(), ForRows()), "the learner waits for rows");
}

TEST(WaitingTextTest, AMissingActorIsTheCauseOfMissingRowsAndTheLastOneIsNamed) {
  proto::RunStatus status = Healthy();
  status.clear_peers();
  EXPECT_THAT(WaitingText(status, ForRows()), HasSubstr("no actor is registered"));
  EXPECT_THAT(WaitingText(status, {}), Not(HasSubstr("registered"))) << "nobody waits for rows";
  SetEnded(&status, proto::ACTOR, proto::FAILED, true);
  status.add_ended_peers()->set_role(proto::EVALUATOR);
  EXPECT_THAT(WaitingText(status, ForRows()),
              HasSubstr("actor 0 (host:9) ended after 3 rows, 12 s ago: ValueError: wrong action"));
}

TEST(WaitingTextTest, AnActorThatFailedIsNamedUntilRowsCome) {
  proto::RunStatus status = Healthy();
  status.set_seconds_since_rows(5);
  for (const proto::LeaseEnd end : {proto::FAILED, proto::SILENT}) {
    SetEnded(&status, proto::ACTOR, end, true);
    EXPECT_THAT(WaitingText(status, ForRows()), HasSubstr("ended after 3 rows"));
  }
  SetEnded(&status, proto::ACTOR, proto::LEFT, true);
  EXPECT_THAT(WaitingText(status, ForRows()), Not(HasSubstr("ended"))) << "it was told to";
  SetEnded(&status, proto::ACTOR, proto::FAILED, false);
  EXPECT_THAT(WaitingText(status, ForRows()), Not(HasSubstr("ended"))) << "others bring rows";
}

TEST(WaitingTextTest, WhatActorsWaitForIsSaidOnceRowsStayAway) {
  proto::RunStatus status = Healthy();
  status.mutable_peers(0)->set_waiting("no plan: planner p:1: connection refused");
  EXPECT_THAT(WaitingText(status, ForRows()), Not(HasSubstr("no plan")));
  status.set_seconds_since_rows(5);
  EXPECT_THAT(WaitingText(status, ForRows()),
              HasSubstr("actor 0 (host:1) waits: no plan: planner p:1: connection refused"));
  EXPECT_THAT(WaitingText(status, {}), Not(HasSubstr("no plan"))) << "the learner does not wait";
  *status.add_peers() = Parse<proto::PeerStatus>(R"pb(role: ACTOR index: 1 waiting: "replay")pb");
  *status.add_peers() = Parse<proto::PeerStatus>(R"pb(role: ACTOR index: 2)pb");
  EXPECT_THAT(WaitingText(status, ForRows()), HasSubstr("2 of 3 actors wait, actor 0"));
}

TEST(WaitingTextTest, EvaluationsWaitForEvaluators) {
  proto::RunStatus status = Healthy();
  const LearnerWaits waits = {.step = "the learner waits for the last evaluations",
                              .step_reason = proto::LimiterStatus::EVALUATION};
  EXPECT_EQ(WaitingText(status, waits), "the learner waits for the last evaluations");
  status.mutable_peers(1)->set_waiting("4 plan requests without an answer");
  EXPECT_THAT(WaitingText(status, waits), HasSubstr("evaluator 0 (host:2) waits: 4 plan requests"));
  status.mutable_peers()->RemoveLast();
  SetEnded(&status, proto::EVALUATOR, proto::SILENT, true);
  EXPECT_THAT(WaitingText(status, waits), HasSubstr("no evaluator is registered; evaluator 0"));
}

TEST(WaitingTextTest, PlannersThatAreMissingOrBehindAreNamed) {
  proto::RunStatus status = Healthy();
  status.mutable_planners(0)->set_behind_seconds(9);
  EXPECT_EQ(WaitingText(status, {}), "") << "a version is on its way";
  status.mutable_planners(0)->set_behind_seconds(30);
  EXPECT_THAT(WaitingText(status, {}),
              HasSubstr("planner host:3 at ipv4:1.2.3.4:5 is 30 s behind"));
  status.mutable_planners(0)->set_connected(false);
  status.mutable_planners(0)->set_since_seconds(7);
  EXPECT_THAT(WaitingText(status, {}),
              HasSubstr("no planner is connected: actors that need plans wait (host:3 at "
                        "ipv4:1.2.3.4:5 was lost 7 s ago)"));
  status.clear_planners();
  EXPECT_EQ(WaitingText(status, {}), "no planner is connected: actors that need plans wait");
  status.set_phase(proto::SEED);
  EXPECT_EQ(WaitingText(status, {}), "") << "nobody needs plans yet";
}

TEST(WaitingTextTest, UnreachableShardsAndFailingCheckpointsAreNamedWithTheirAge) {
  proto::RunStatus status = Healthy();
  status.MergeFrom(Parse<proto::RunStatus>(R"pb(
    shards { index: 1 address: "b:2" problem: "serves another run" unreachable_seconds: 40 }
    checkpoint_error: "No space left on device"
    checkpoint_failing_seconds: 35
  )pb"));
  const std::string text = WaitingText(status, {});
  EXPECT_THAT(text, HasSubstr("shard 1 (b:2) has been unreachable for 40 s: serves another run"));
  EXPECT_THAT(text,
              HasSubstr("no checkpoint could be written for 35 s: No space left on device"));
}

TEST(WaitingTextTest, BlockedWritersHearTheReasonOfGrants) {
  proto::RunStatus status = Healthy();
  status.mutable_shards(0)->set_blocked_streams(2);
  EXPECT_EQ(WaitingText(status, {.grant = "rows run ahead"}), "2 writers wait: rows run ahead");
}

TEST(WaitingTextTest, ALearnerThatEndsSaysSoUnlessTheRunIsOver) {
  proto::RunStatus status = Healthy();
  const LearnerWaits waits = {.halted = "the policy is not finite"};
  EXPECT_THAT(WaitingText(status, waits), HasSubstr("wait for the next: the policy is not finite"));
  status.set_phase(proto::FINISHED);
  EXPECT_EQ(WaitingText(status, waits), "");
}

}  // namespace
}  // namespace pompc::run
