#include "actor/core/evaluator.h"

#include <memory>
#include <optional>
#include <string>
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
using ::testing::SizeIs;

constexpr ParameterVersion kVersion = {2, 9};

// Between two calls of the fixture's methods the evaluator waits for the next event, unless it has
// ended.
class EvaluatorTest : public ::testing::Test {
 protected:
  ~EvaluatorTest() override {
    if (evaluator_ == nullptr) return;
    evaluator_->Cancel();
    while (plans_.waiting() > 0) plans_.Fail(absl::CancelledError("stopping"));
    thread_.Join();
  }

  void Start(const FakeWorld& world, const EvaluationTask& task, EvaluatorOptions options = {}) {
    evaluator_ =
        std::make_unique<Evaluator>(options, task, FakeFactory(world), &plans_, &stats_, &clock_);
    thread_ = Thread("evaluator", [this] { result_ = evaluator_->Run(); });
    clock_.AwaitWaits(1);
  }

  template <typename Action>
  void Do(Action action) {
    const int64_t before = clock_.waits();
    action();
    clock_.AwaitWaits(before + 1);
  }

  // Answers until the evaluation has ended; the episodes must need `plans` more.
  void AnswerAll(int plans) {
    for (int i = 0; i < plans; ++i) plans_.AnswerOne();
    thread_.Join();
    EXPECT_EQ(plans_.waiting(), 0u);
  }

  FakeClock clock_;
  ActorStats stats_{"evaluator", 1, &clock_, std::make_shared<MetricsRegistry>()};
  FakePlanSource plans_{2};
  std::unique_ptr<Evaluator> evaluator_;
  Thread thread_;
  absl::StatusOr<EvaluationOutcome> result_;
};

TEST_F(EvaluatorTest, PlaysEveryEpisodeAndSumsItsRewards) {
  Start({.episode_steps = 4}, {.version = kVersion, .episodes = 3, .seed = 11}, {.parallel = 2});
  AnswerAll(12);
  ASSERT_TRUE(result_.ok()) << result_.status();
  EXPECT_THAT(result_->decisions, ElementsAre(4, 4, 4));
  // Which episode a request belongs to shows in its observation: the environment's seed.
  std::vector<double> sums;
  std::vector<float> seeds;
  for (const auto& asked : plans_.log()) {
    if (asked.warm_start.empty()) {
      seeds.push_back(asked.observation[0]);
      sums.push_back(0);
    }
    for (size_t i = 0; i < seeds.size(); ++i) {
      if (seeds[i] == asked.observation[0]) sums[i] += static_cast<float>(asked.seed % 100) / 100;
    }
  }
  ASSERT_THAT(sums, SizeIs(3));
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(result_->returns[i], sums[i], 1e-5);
  EXPECT_EQ(stats_.counts().evaluations, 1u);
}

TEST_F(EvaluatorTest, EveryPlanIsNoiseFreeAndOfThePinnedVersion) {
  Start({.episode_steps = 3}, {.version = kVersion, .episodes = 2});
  AnswerAll(6);
  for (const auto& asked : plans_.log()) {
    EXPECT_TRUE(asked.evaluate);
    EXPECT_EQ(asked.pinned_version, kVersion);
  }
}

TEST_F(EvaluatorTest, SpectatorSeesTheFirstEpisodeFromItsStartToItsEnd) {
  std::vector<std::vector<float>> seen;
  Start({.episode_steps = 4}, {.episodes = 3},
        {.parallel = 2, .spectator = [&](env::FloatEnvironment& environment) {
           const auto observation = environment.observation();
           seen.emplace_back(observation.begin(), observation.end());
           return absl::OkStatus();
         }});
  AnswerAll(12);
  ASSERT_TRUE(result_.ok()) << result_.status();
  ASSERT_THAT(seen, SizeIs(5));
  for (int i = 0; i < 5; ++i) EXPECT_THAT(seen[i], ElementsAre(seen[0][0], 0, i));
}

TEST_F(EvaluatorTest, SpectatorsErrorEndsTheEvaluation) {
  Start({.episode_steps = 4}, {.episodes = 1},
        {.spectator = [calls = 0](env::FloatEnvironment&) mutable {
          return ++calls < 3 ? absl::OkStatus() : absl::DataLossError("no film left");
        }});
  AnswerAll(2);
  EXPECT_EQ(result_.status(), absl::DataLossError("no film left"));
}

TEST_F(EvaluatorTest, PlaysSeveralEpisodesAtATimeButNoMoreThanAllowed) {
  Start({}, {.episodes = 5}, {.parallel = 3});
  EXPECT_EQ(plans_.waiting(), 3u);
}

std::vector<double> Returns(uint64_t seed, int parallel) {
  FakeClock clock;
  ActorStats stats("evaluator", 1, &clock, std::make_shared<MetricsRegistry>());
  FakePlanSource plans(2);
  plans.AnswerNext(1000);
  Evaluator evaluator({.parallel = parallel}, {.episodes = 5, .seed = seed}, FakeFactory({}),
                      &plans, &stats, &clock);
  const auto outcome = evaluator.Run();
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  return outcome->returns;
}

TEST(EvaluatorSeedTest, EpisodesDependOnTheSeedAndNotOnHowManyPlayAtATime) {
  EXPECT_EQ(Returns(3, 1), Returns(3, 4));
  EXPECT_NE(Returns(3, 1), Returns(4, 1));
}

TEST_F(EvaluatorTest, GoesOnWhereItStoodWhenThePlannerComesBack) {
  Start({.episode_steps = 4}, {.version = kVersion, .episodes = 1, .seed = 3});
  Do([&] { plans_.AnswerOne(); });
  for (int i = 0; i < 20; ++i) {
    Do([&] { plans_.Fail(absl::UnavailableError("planner is gone")); });
    EXPECT_THAT(stats_.Waiting(), HasSubstr("planner is gone"));
    Do([&] { clock_.Advance(absl::Seconds(2)); });
  }
  AnswerAll(3);
  ASSERT_TRUE(result_.ok()) << result_.status();
  EXPECT_EQ(result_->returns, [] {
    FakeClock clock;
    ActorStats stats("evaluator", 1, &clock, std::make_shared<MetricsRegistry>());
    FakePlanSource plans(2);
    plans.AnswerNext(100);
    Evaluator undisturbed({}, {.version = kVersion, .episodes = 1, .seed = 3},
                          FakeFactory({.episode_steps = 4}), &plans, &stats, &clock);
    return undisturbed.Run()->returns;
  }());
}

TEST_F(EvaluatorTest, CancelEndsItWithoutAResult) {
  Start({}, {.episodes = 2});
  evaluator_->Cancel();
  for (int i = 0; i < 2; ++i) plans_.Fail(absl::CancelledError("closing"));
  thread_.Join();
  EXPECT_EQ(result_.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(stats_.counts().evaluations, 0u);
}

TEST_F(EvaluatorTest, CancelBeforeTheStartIsNotLost) {
  Evaluator evaluator({}, {.episodes = 1}, FakeFactory({}), &plans_, &stats_, &clock_);
  evaluator.Cancel();
  plans_.AnswerNext(1);
  EXPECT_EQ(evaluator.Run().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(EvaluatorTest, GivesUpWithTheReasonWhenNoPlanComesForTooLong) {
  Start({}, {.episodes = 1}, {.patience = absl::Minutes(1)});
  Do([&] { plans_.Fail(absl::UnavailableError("version 2.9 is not here yet")); });
  for (int i = 0; i < 29; ++i) {
    Do([&] { clock_.Advance(absl::Seconds(2)); });
    Do([&] { plans_.Fail(absl::UnavailableError("version 2.9 is not here yet")); });
  }
  clock_.Advance(absl::Seconds(2));
  thread_.Join();
  EXPECT_EQ(result_.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(result_.status().message()), HasSubstr("version 2.9 is not here yet"));
}

TEST_F(EvaluatorTest, GivesUpSoonWhenRequestsAreRefusedForGood) {
  Start({}, {.episodes = 1});
  for (int i = 0; i < 5; ++i) {
    Do([&] { plans_.Fail(absl::InvalidArgumentError("observation has 3 numbers, not 5")); });
    Do([&] { clock_.Advance(absl::Seconds(2)); });
  }
  plans_.Fail(absl::InvalidArgumentError("observation has 3 numbers, not 5"));
  thread_.Join();
  EXPECT_EQ(result_.status().code(), absl::StatusCode::kInvalidArgument);
}

// With costs, the part of an episode that was played would be the best evaluation of the run.
TEST_F(EvaluatorTest, UnstableEpisodeIsPlayedAgainAndCountsAsAWholeOneAlone) {
  Start({.episode_steps = 5, .unstable_at = 3, .unstable_episodes = 2, .reward_scale = -1},
        {.episodes = 1});
  AnswerAll(3 + 3 + 5);
  ASSERT_TRUE(result_.ok()) << result_.status();
  EXPECT_THAT(result_->decisions, ElementsAre(5));
  const auto asked = plans_.log();
  double cost = 0;
  for (size_t i = asked.size() - 5; i < asked.size(); ++i) {
    cost += static_cast<float>(asked[i].seed % 100) / 100;
  }
  EXPECT_GT(cost, 0);
  EXPECT_NEAR(result_->returns[0], -cost, 1e-5);
  // Each try is another one.
  EXPECT_NE(asked[0].seed, asked[3].seed);
  EXPECT_NE(asked[0].observation, asked[3].observation);
  EXPECT_TRUE(asked[3].warm_start.empty());
  EXPECT_EQ(stats_.counts().episodes[static_cast<int>(EpisodeEnd::kUnstable)], 2u);
  EXPECT_EQ(stats_.counts().episodes[static_cast<int>(EpisodeEnd::kTruncated)], 1u);
}

TEST_F(EvaluatorTest, AnEpisodeThatIsUnstableInEveryTryFailsTheEvaluation) {
  Start({.unstable_at = 1}, {.episodes = 1});
  AnswerAll(3);
  EXPECT_EQ(result_.status(),
            absl::AbortedError("episode 1: the simulation failed in each of 3 attempts: exploded"));
  EXPECT_EQ(stats_.counts().evaluations, 0u);
}

TEST_F(EvaluatorTest, ANumberThatIsNoneFailsTheEvaluationToo) {
  Start({.nan_reward_at = 1}, {.episodes = 1});
  AnswerAll(3);
  EXPECT_EQ(result_.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(result_.status().message()), HasSubstr("the reward is inf"));
}

TEST_F(EvaluatorTest, EnvironmentErrorsEndIt) {
  Evaluator evaluator({}, {.episodes = 2}, FakeFactory({.aborted_resets = 1000}), &plans_, &stats_,
                      &clock_);
  EXPECT_EQ(evaluator.Run().status().code(), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace pompc::actor
