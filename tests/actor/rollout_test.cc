#include "actor/core/rollout.h"

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actor/fakes.h"

namespace pompc::actor {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Drives a rollout step by step: between two calls of the fixture's methods the worker is parked,
// waiting for the next event.
class RolloutTest : public ::testing::Test {
 protected:
  ~RolloutTest() override { Stop(); }

  // Returns when the worker waits for the first time.
  void Start(const FakeWorld& world, RolloutOptions options = {}) {
    Launch(world, options);
    clock_.AwaitWaits(1);
  }
  // Does not wait.
  void Launch(const FakeWorld& world, RolloutOptions options = {}) {
    auto rollout = Rollout::Make(options, FakeFactory(world), &plans_, &stats_, &clock_);
    ASSERT_TRUE(rollout.ok()) << rollout.status();
    rollout_ = *std::move(rollout);
    sink_.SetListener(rollout_->listener());
    thread_ = Thread("rollout", [this] { result_ = rollout_->Run(&sink_); });
  }

  // Does something that wakes the worker, and returns when it waits again.
  template <typename Action>
  void Do(Action action) {
    const int64_t before = clock_.waits();
    action();
    clock_.AwaitWaits(before + 1);
  }
  void Answer(size_t i = 0) {
    Do([&] { plans_.AnswerOne(i); });
  }
  void Fail(const absl::Status& status) {
    Do([&] { plans_.Fail(status); });
  }
  void SetRoom(int environment, int rows) {
    Do([&] { sink_.SetRoom(environment, rows); });
  }
  // Lets time pass; the worker must be waiting for it.
  void Wait(absl::Duration time) {
    Do([&] { clock_.Advance(time); });
  }

  // Ends the rollout; plans still under way are cancelled.
  void Stop() {
    if (rollout_ == nullptr) return;
    rollout_->Stop();
    while (plans_.waiting() > 0) plans_.Fail(absl::CancelledError("stopping"));
    thread_.Join();
  }

  uint64_t ended(EpisodeEnd end) { return stats_.counts().episodes[static_cast<int>(end)]; }

  FakeClock clock_;
  std::shared_ptr<MetricsRegistry> metrics_ = std::make_shared<MetricsRegistry>();
  ActorStats stats_{"actor", 1, &clock_, metrics_};
  FakePlanSource plans_{2};
  FakeRowSink sink_;
  std::unique_ptr<Rollout> rollout_;
  Thread thread_;
  absl::Status result_;
};

TEST_F(RolloutTest, RowHoldsObservationActionRewardAndPlanOfOneDecision) {
  Start({});
  const auto request = plans_.Take();
  Do([&] { plans_.Answer(request); });
  const auto row = sink_.episodes()[0].rows[0];
  const float x = static_cast<float>(request.seed % 100) / 100;
  EXPECT_EQ(row.observation, request.observation);
  EXPECT_THAT(row.action, ElementsAre(x, x));
  EXPECT_FLOAT_EQ(row.reward, x);
  EXPECT_FALSE(row.terminated);
  EXPECT_THAT(row.plan_mean, ElementsAre(x / 2, x / 2));
  EXPECT_THAT(row.plan_std, ElementsAre(0.25f, 0.25f));
  EXPECT_FLOAT_EQ(row.plan_value, 10 * x);
  EXPECT_EQ(row.version, (ParameterVersion{1, 7}));
}

TEST_F(RolloutTest, WarmStartTravelsWithinTheEpisodeOnly) {
  Start({.episode_steps = 3});
  for (int i = 0; i < 4; ++i) Answer();
  const auto log = plans_.log();
  EXPECT_THAT(log[0].warm_start, IsEmpty());
  EXPECT_THAT(log[1].warm_start, ::testing::AllOf(SizeIs(6), Each(0.0f)));
  EXPECT_THAT(log[2].warm_start, ::testing::AllOf(SizeIs(6), Each(0.0078125f)));
  EXPECT_THAT(log[3].warm_start, IsEmpty()) << "first decision of the second episode";
  EXPECT_THAT(log[4].warm_start, Each(0.0f));
}

TEST_F(RolloutTest, TimeLimitTruncatesAndWritesFinalObservation) {
  Start({.episode_steps = 3});
  for (int i = 0; i < 3; ++i) Answer();
  const auto episode = sink_.episodes()[0];
  ASSERT_THAT(episode.rows, SizeIs(3));
  for (const auto& row : episode.rows) EXPECT_FALSE(row.terminated);
  EXPECT_EQ(episode.final_observation[2], 3);
  EXPECT_EQ(ended(EpisodeEnd::kTruncated), 1u);
}

TEST_F(RolloutTest, TerminalStateMarksTheLastRow) {
  Start({.episode_steps = 5, .terminates_at = 2});
  for (int i = 0; i < 2; ++i) Answer();
  const auto episode = sink_.episodes()[0];
  ASSERT_THAT(episode.rows, SizeIs(2));
  EXPECT_FALSE(episode.rows[0].terminated);
  EXPECT_TRUE(episode.rows[1].terminated);
  EXPECT_EQ(episode.final_observation[2], 2);
  EXPECT_EQ(ended(EpisodeEnd::kTerminated), 1u);
}

TEST_F(RolloutTest, ReturnIsTheSumOfRewards) {
  Start({.episode_steps = 3});
  double sum = 0;
  for (int i = 0; i < 3; ++i) {
    const auto request = plans_.Take();
    sum += static_cast<float>(request.seed % 100) / 100;
    Do([&] { plans_.Answer(request); });
  }
  EXPECT_NEAR(stats_.counts().last_return, sum, 1e-6);
}

TEST_F(RolloutTest, EnvironmentsStepWhileOthersWaitForPlans) {
  Start({.episode_steps = 100}, {.environments = 4});
  // The last of the four is answered again and again; the others never are.
  for (int i = 0; i < 10; ++i) Answer(3);
  EXPECT_THAT(sink_.episodes(0)[0].rows, IsEmpty());
  EXPECT_EQ(plans_.waiting(), 4u) << "one plan in flight per environment, no more";
}

// Shows what a FakeEnvironment shows, each time in another buffer: the one before is spoilt and
// freed.
class FreeingEnvironment final : public env::Wrapper {
 public:
  explicit FreeingEnvironment(std::unique_ptr<env::Environment> inner)
      : Wrapper(std::move(inner)) {}

  absl::Status Reset() override {
    const absl::Status status = Wrapper::Reset();
    Show();
    return status;
  }
  absl::StatusOr<env::StepResult> Step(std::span<const double> action) override {
    auto result = Wrapper::Step(action);
    Show();
    return result;
  }
  std::span<const double> observation() const override { return *shown_; }

 private:
  void Show() {
    const auto inner = Wrapper::observation();
    auto next = std::make_unique<std::vector<double>>(inner.begin(), inner.end());
    if (shown_ != nullptr) shown_->assign(shown_->size(), std::nan(""));
    shown_ = std::move(next);
  }

  std::unique_ptr<std::vector<double>> shown_;
};

// Plays two environments for `rows` rows each, answering always the `pick`-th waiting request.
std::vector<FakeRowSink::Episode> PlayInOrder(
    size_t pick, int rows,
    const EnvironmentFactory& factory = FakeFactory({.episode_steps = 4})) {
  FakeClock clock;
  ActorStats stats("actor", 1, &clock, std::make_shared<MetricsRegistry>());
  FakePlanSource plans(2);
  FakeRowSink sink;
  for (int e = 0; e < 2; ++e) sink.SetRoom(e, rows);
  auto rollout = Rollout::Make({.seeds = {.run_seed = 5}, .environments = 2}, factory, &plans,
                               &stats, &clock);
  sink.SetListener((*rollout)->listener());
  Thread thread("rollout", [&] { EXPECT_TRUE((*rollout)->Run(&sink).ok()); });
  for (int left = 2 * rows; left > 0; --left) {
    // Both wait until one of them has all its rows.
    const size_t waiting = left > rows ? 2 : 1;
    plans.AwaitWaiting(waiting);
    plans.AnswerOne(waiting == 2 ? pick : 0);
  }
  sink.AwaitRows(2 * rows);
  (*rollout)->Stop();
  thread.Join();
  auto episodes = sink.episodes(0);
  for (auto& episode : sink.episodes(1)) episodes.push_back(episode);
  return episodes;
}

TEST(RolloutOrderTest, EpisodesDoNotDependOnTheOrderOfAnswers) {
  const auto first = PlayInOrder(0, 10);
  EXPECT_EQ(first, PlayInOrder(1, 10));
  EXPECT_GE(first.size(), 6u);
}

TEST(RolloutBufferTest, RowsAreCopiesOfWhatAnEnvironmentShowed) {
  const auto freeing = [](uint32_t seed) -> absl::StatusOr<std::unique_ptr<env::FloatEnvironment>> {
    return std::make_unique<env::FloatEnvironment>(std::make_unique<FreeingEnvironment>(
        std::make_unique<FakeEnvironment>(FakeWorld{.episode_steps = 4}, seed)));
  };
  EXPECT_EQ(PlayInOrder(0, 10, freeing), PlayInOrder(0, 10));
}

TEST_F(RolloutTest, RandomPhaseDrawsActionsAndAsksForNoPlans) {
  for (int e = 0; e < 2; ++e) sink_.SetRoom(e, 50);
  Start({.episode_steps = 100}, {.environments = 2, .random_phase = true});
  EXPECT_THAT(plans_.log(), IsEmpty());
  double sum = 0, squares = 0;
  for (int e = 0; e < 2; ++e) {
    const auto episode = sink_.episodes(e)[0];
    for (const auto& row : episode.rows) {
      EXPECT_THAT(row.plan_mean, IsEmpty());
      EXPECT_EQ(row.version, ParameterVersion{});
      for (float a : row.action) {
        EXPECT_GE(a, -1);
        EXPECT_LT(a, 1);
        sum += a;
        squares += a * a;
      }
    }
  }
  // 200 draws of a uniform variable: mean 0, variance 1/3; five standard errors.
  EXPECT_NEAR(sum / 200, 0, 0.2);
  EXPECT_NEAR(squares / 200, 1.0 / 3, 0.11);
  EXPECT_NE(sink_.episodes(0)[0].rows[0].action, sink_.episodes(1)[0].rows[0].action);
  EXPECT_EQ(stats_.counts().random_rows, 100u);
}

TEST_F(RolloutTest, EndOfRandomPhaseDropsRandomEpisodesAndPlansNewOnes) {
  for (int e = 0; e < 2; ++e) sink_.SetRoom(e, 3);
  Start({.episode_steps = 100}, {.environments = 2, .random_phase = true});
  Do([&] { rollout_->SetRandomPhase(false); });
  for (int e = 0; e < 2; ++e) SetRoom(e, 100);
  for (int i = 0; i < 2; ++i) Answer();
  for (int e = 0; e < 2; ++e) {
    const auto episodes = sink_.episodes(e);
    ASSERT_THAT(episodes, SizeIs(2));
    EXPECT_THAT(episodes[0].final_observation, IsEmpty());
    for (const auto& row : episodes[1].rows) EXPECT_FALSE(row.plan_mean.empty());
    EXPECT_EQ(episodes[1].rows[0].observation[2], 0) << "starts from a reset";
  }
  EXPECT_EQ(ended(EpisodeEnd::kDropped), 2u);
}

TEST_F(RolloutTest, FullReplayHoldsOneEnvironmentAndNotTheOthers) {
  sink_.SetRoom(0, 2);
  Start({.episode_steps = 100}, {.environments = 2});
  for (int i = 0; i < 4; ++i) Answer();
  EXPECT_EQ(plans_.waiting(), 1u) << "the full environment asks for no plan it could not use";
  for (int i = 0; i < 5; ++i) Answer();
  EXPECT_THAT(sink_.episodes(0)[0].rows, SizeIs(2));
  SetRoom(0, 1);
  Answer(1);
  EXPECT_THAT(sink_.episodes(0)[0].rows, SizeIs(3));
}

TEST_F(RolloutTest, RefusedEpisodeIsGivenUpAndANewOneStartsAfterAPause) {
  Start({.episode_steps = 100}, {.restart_pause = absl::Seconds(1)});
  Answer();
  Do([&] { sink_.Refuse(0, absl::FailedPreconditionError("the seed phase is over")); });
  Answer();
  EXPECT_THAT(sink_.episodes(), SizeIs(1));
  EXPECT_EQ(plans_.waiting(), 0u);
  EXPECT_THAT(stats_.Waiting(), HasSubstr("the seed phase is over"));
  Wait(absl::Seconds(1));
  Answer();
  const auto episodes = sink_.episodes();
  ASSERT_THAT(episodes, SizeIs(2));
  EXPECT_THAT(episodes[0].final_observation, IsEmpty());
  EXPECT_EQ(episodes[1].rows[0].observation[2], 0);
  EXPECT_THAT(stats_.Waiting(), IsEmpty());
}

TEST_F(RolloutTest, EpisodeRefusedAtItsEndStillCounts) {
  Start({.episode_steps = 1}, {.restart_pause = absl::Seconds(1)});
  sink_.RefuseEnd(0, absl::FailedPreconditionError("fenced"));
  Answer();
  EXPECT_EQ(stats_.counts().finished_episodes(), 1u);
  EXPECT_EQ(plans_.waiting(), 0u);
  Wait(absl::Seconds(1));
  EXPECT_THAT(stats_.Waiting(), HasSubstr("replay refused environment 0: fenced"));
  Answer();
  EXPECT_EQ(stats_.counts().finished_episodes(), 2u);
}

TEST_F(RolloutTest, OtherSinkErrorsEndTheRollout) {
  Start({});
  sink_.Fail(0, absl::PermissionDeniedError("not an actor"));
  plans_.AnswerOne();
  thread_.Join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(result_.message()), HasSubstr("environment 0: not an actor"));
}

TEST_F(RolloutTest, EndsWhenReplayTurnsItAwayForLong) {
  sink_.TurnAway(absl::FailedPreconditionError("serves another run"));
  Start({.episode_steps = 100},
        {.restart_pause = absl::Seconds(3), .give_up_after = absl::Seconds(10)});
  for (int i = 0; i < 4; ++i) {
    Answer();
    Wait(absl::Seconds(3));
  }
  plans_.AnswerOne();
  thread_.Join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(result_.message()), HasSubstr("serves another run"));
}

// A shard that takes the rows and refuses them later, while the other environment's shard is well.
TEST_F(RolloutTest, EndsWhenOneEnvironmentsRowsAreRefusedForLongThoughTheyWereTaken) {
  sink_.HoldBack(0);
  Start({.episode_steps = 1}, {.environments = 2, .give_up_after = absl::Seconds(10)});
  const absl::Status why = absl::InvalidArgumentError("observations has 3 numbers, expected 4");
  for (int i = 0; i < 5; ++i) {
    Answer();
    Answer();
    Do([&] { sink_.RefuseEarlier(0, why); });
    EXPECT_THAT(stats_.Waiting(), HasSubstr("replay refused environment 0: observations has 3"));
    clock_.Advance(absl::Seconds(2));
  }
  EXPECT_EQ(stats_.counts().rows, 10u) << "every row was taken";
  sink_.RefuseEarlier(0, why);
  while (plans_.waiting() > 0) plans_.Fail(absl::CancelledError("stopping"));
  thread_.Join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result_.message()), HasSubstr("environment 0: observations has 3"));
}

TEST_F(RolloutTest, RefusalIsToldUntilReplayAcknowledgesWhateverPlansDo) {
  sink_.HoldBack(0);
  Start({.episode_steps = 100}, {.restart_pause = absl::Seconds(1)});
  Answer();
  Do([&] { sink_.RefuseEarlier(0, absl::InvalidArgumentError("bad row")); });
  Answer();
  EXPECT_THAT(stats_.Waiting(), HasSubstr("bad row")) << "a row on its way is no success";
  Fail(absl::UnavailableError("no planner"));
  EXPECT_THAT(stats_.Waiting(), ::testing::AllOf(HasSubstr("no planner"), HasSubstr("bad row")));
  Wait(absl::Seconds(1));
  Answer();
  EXPECT_EQ(stats_.Waiting(), "replay refused environment 0: bad row");
}

TEST_F(RolloutTest, RefusalsThatTheLearnersNextWordMendsAreWaitedForWithoutEnd) {
  sink_.HoldBack(0);
  Start({.episode_steps = 1});
  for (int i = 0; i < 100; ++i) {
    Answer();
    Do([&] { sink_.RefuseEarlier(0, absl::FailedPreconditionError("the seed phase is over")); });
    clock_.Advance(absl::Seconds(10));
  }
  EXPECT_EQ(stats_.counts().rows, 100u);
}

TEST_F(RolloutTest, AcknowledgedRowsBeginThePatienceAnew) {
  Start({.episode_steps = 1}, {.give_up_after = absl::Seconds(10)});
  for (int i = 0; i < 5; ++i) {
    Answer();
    Do([&] { sink_.RefuseEarlier(0, absl::InvalidArgumentError("now and then")); });
    clock_.Advance(absl::Seconds(9));
  }
  Answer();
  EXPECT_EQ(stats_.counts().rows, 6u);
  EXPECT_THAT(stats_.Waiting(), IsEmpty());
}

struct BadStep {
  const char* name;
  FakeWorld world;
};

class BadStepTest : public RolloutTest, public ::testing::WithParamInterface<BadStep> {};

TEST_P(BadStepTest, IsForgottenAndTheEpisodeCutBeforeIt) {
  Start(GetParam().world);
  for (int i = 0; i < 3; ++i) Answer();
  const auto episode = sink_.episodes()[0];
  ASSERT_THAT(episode.rows, SizeIs(2)) << "the third step failed";
  for (const auto& row : episode.rows) {
    for (float x : row.observation) EXPECT_TRUE(std::isfinite(x));
    EXPECT_TRUE(std::isfinite(row.reward));
    EXPECT_FALSE(row.terminated);
  }
  EXPECT_EQ(episode.final_observation[2], 2);
  EXPECT_EQ(stats_.counts().rows, 2u);
  EXPECT_EQ(ended(EpisodeEnd::kUnstable), 1u);
  EXPECT_EQ(stats_.counts().finished_episodes(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, BadStepTest,
                         ::testing::Values(BadStep{"Unstable", {.unstable_at = 3}},
                                           BadStep{"NanObservation", {.nan_observation_at = 3}},
                                           BadStep{"InfiniteReward", {.nan_reward_at = 3}}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(RolloutTest, BadFirstStepLeavesNothingBehind) {
  Start({.unstable_at = 1});
  Answer();
  for (const auto& episode : sink_.episodes()) {
    EXPECT_THAT(episode.rows, IsEmpty());
    EXPECT_THAT(episode.final_observation, IsEmpty());
  }
}

TEST_F(RolloutTest, EnvironmentThatFailsAtOnceIsTriedAgainAfterAPause) {
  Start({.unstable_at = 1}, {.random_phase = true, .restart_pause = absl::Seconds(1)});
  EXPECT_EQ(ended(EpisodeEnd::kUnstable), 1u);
  Wait(absl::Seconds(1));
  EXPECT_EQ(ended(EpisodeEnd::kUnstable), 2u);
}

TEST_F(RolloutTest, MisuseOfAnEnvironmentEndsTheRolloutAndIsNamed) {
  Start({.misused_at = 2});
  Answer();
  plans_.AnswerOne();
  thread_.Join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result_.message()), HasSubstr("fake: action of another size"));
}

TEST_F(RolloutTest, EnvironmentWithoutAValidStartEndsTheRollout) {
  Launch({.aborted_resets = 1000});
  thread_.Join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(result_.message()), HasSubstr("fake: no valid start"));
}

TEST_F(RolloutTest, ResetIsTriedAgainWhereAStartIsHardToFind) {
  Start({.aborted_resets = 3});
  Answer();
  EXPECT_EQ(stats_.counts().rows, 1u);
}

TEST_F(RolloutTest, FailedPlanIsAskedForAgainAfterAPauseWithTheSameRequest) {
  Start({});
  Fail(absl::UnavailableError("no planner"));
  EXPECT_EQ(plans_.waiting(), 0u);
  EXPECT_THAT(stats_.Waiting(), HasSubstr("no planner"));
  Wait(absl::Milliseconds(50));
  Answer();
  const auto log = plans_.log();
  EXPECT_EQ(log[0].seed, log[1].seed);
  EXPECT_EQ(log[0].observation, log[1].observation);
  EXPECT_NE(log[1].seed, log[2].seed);
  EXPECT_EQ(stats_.counts().plan_failures, 1u);
  EXPECT_THAT(stats_.Waiting(), IsEmpty());
}

TEST_F(RolloutTest, MissingPlannerIsWaitedForWithoutEnd) {
  Start({});
  for (int i = 0; i < 100; ++i) {
    Fail(absl::UnavailableError("no planner"));
    Wait(absl::Seconds(2));
  }
  Answer();
  EXPECT_EQ(stats_.counts().rows, 1u);
}

TEST_F(RolloutTest, LastingPlanErrorEndsTheRolloutAfterAWhile) {
  Start({}, {.give_up_after = absl::Seconds(10)});
  for (int i = 0; i < 5; ++i) {
    Fail(absl::FailedPreconditionError("run a, not run b"));
    Wait(absl::Seconds(2));
  }
  plans_.Fail(absl::FailedPreconditionError("run a, not run b"));
  thread_.Join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(result_.message()), HasSubstr("run a, not run b"));
}

TEST_F(RolloutTest, PlanWithBadNumbersIsNotExecuted) {
  Start({});
  auto request = plans_.Take();
  request.plan->action = {0, 0, 0};
  Do([&] { request.done(absl::OkStatus()); });
  EXPECT_THAT(stats_.Waiting(), HasSubstr("wrong size"));
  Wait(absl::Seconds(2));
  request = plans_.Take();
  *request.plan = {.action = {0, NAN}, .mean = {0, 0}, .std = {1, 1}, .warm_start = {0, 0}};
  Do([&] { request.done(absl::OkStatus()); });
  EXPECT_THAT(stats_.Waiting(), HasSubstr("action number 1 is nan"));
  Wait(absl::Seconds(2));
  request = plans_.Take();
  *request.plan = {.action = {0, 0}, .mean = {0, 0}, .std = {1, 0}, .warm_start = {0, 0}};
  Do([&] { request.done(absl::OkStatus()); });
  EXPECT_THAT(stats_.Waiting(), HasSubstr("std number 1 is 0"));
  EXPECT_THAT(sink_.episodes()[0].rows, IsEmpty());
}

TEST_F(RolloutTest, StopCutsEpisodesWhereTheyStand) {
  Start({.episode_steps = 100}, {.environments = 2});
  Answer();
  Stop();
  EXPECT_TRUE(result_.ok()) << result_;
  int ended = 0;
  for (const auto& episode : sink_.episodes()) {
    EXPECT_EQ(episode.rows.empty(), episode.final_observation.empty());
    ended += !episode.rows.empty();
  }
  EXPECT_EQ(ended, 1);
}

TEST_F(RolloutTest, TimeIsSplitByWhatTheWorkerWaitsFor) {
  Start({.episode_steps = 100});
  clock_.Advance(absl::Seconds(3));
  Do([&] { sink_.SetRoom(0, 1); });
  Answer();
  clock_.Advance(absl::Seconds(5));
  Do([&] { sink_.Refuse(0, absl::FailedPreconditionError("fenced")); });
  SetRoom(0, 100);
  Answer();
  clock_.Advance(absl::Milliseconds(100));
  const auto seconds = stats_.timer(0)->Seconds();
  EXPECT_NEAR(seconds[static_cast<int>(WorkerState::kWaitingForPlan)], 3, 1e-9);
  EXPECT_NEAR(seconds[static_cast<int>(WorkerState::kWaitingForReplay)], 5, 1e-9);
  EXPECT_NEAR(seconds[static_cast<int>(WorkerState::kWaitingForLearner)], 0.1, 1e-9);
  EXPECT_NEAR(seconds[0] + seconds[1] + seconds[2] + seconds[3], 8.1, 1e-9);
}

TEST_F(RolloutTest, PlanLatencyRunsFromRequestToAnswer) {
  Start({});
  clock_.Advance(absl::Milliseconds(30));
  Answer();
  EXPECT_THAT(metrics_->ToText(),
              HasSubstr("pompc_actor_plan_latency_seconds_sum{role=\"actor\"} 0.03"));
}

TEST(RolloutSeedTest, IncarnationsPlayDifferentEpisodesAndTheSameSeedsTheSame) {
  const auto play = [](const SeedSource& seeds) {
    FakeClock clock;
    ActorStats stats("actor", 1, &clock, std::make_shared<MetricsRegistry>());
    FakePlanSource plans(2);
    FakeRowSink sink;
    sink.SetRoom(static_cast<int>(seeds.environment), 20);
    auto rollout = Rollout::Make({.seeds = seeds, .random_phase = true}, FakeFactory({}), &plans,
                                 &stats, &clock);
    sink.SetListener((*rollout)->listener());
    Thread thread("rollout", [&] { EXPECT_TRUE((*rollout)->Run(&sink).ok()); });
    sink.AwaitRows(20);
    (*rollout)->Stop();
    thread.Join();
    return sink.episodes()[0].rows;
  };
  const SeedSource base = {.run_seed = 1, .actor_index = 2, .incarnation = 3, .environment = 4};
  const auto rows = play(base);
  EXPECT_EQ(rows, play(base));
  for (int field = 0; field < 4; ++field) {
    SeedSource other = base;
    (field == 0   ? other.run_seed
     : field == 1 ? other.actor_index
     : field == 2 ? other.incarnation
                  : other.environment) += 1;
    EXPECT_NE(rows, play(other)) << "field " << field;
  }
}

}  // namespace
}  // namespace pompc::actor
