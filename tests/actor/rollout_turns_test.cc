#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actor/core/rollout.h"
#include "common/base/threads.h"
#include "common/base/turns.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actor/fakes.h"

namespace pompc::actor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A rollout that plays in turns, each of which the test hands out and awaits.
class TurnsTest : public ::testing::Test {
 protected:
  ~TurnsTest() override {
    rollout_->Stop();
    while (plans_.waiting() > 0) plans_.Fail(absl::CancelledError("stopping"));
  }

  void Start(const FakeWorld& world, RolloutOptions options) {
    auto rollout = Rollout::Make(options, FakeFactory(world), &plans_, &stats_, &clock_);
    ASSERT_TRUE(rollout.ok()) << rollout.status();
    rollout_ = *std::move(rollout);
    sink_.SetListener(rollout_->listener());
    thread_ = Thread("rollout", [this] {
      result_ = rollout_->RunInTurns(&sink_, &turns_, [this] {
        // Environments and rows of all episodes when a row was to be stored.
        std::string rows;
        for (const auto& episode : sink_.episodes()) {
          absl::StrAppend(&rows, episode.environment, ":", episode.rows.size(), " ");
        }
        flushed_.push_back(rows);
        return flush_;
      });
    });
  }
  // A turn in which at most `plans` plans are asked for.
  void Play(ParameterVersion version, int plans) {
    plans_.AnswerNext(plans);
    turns_.Give({version});
    ASSERT_TRUE(turns_.AwaitBack(absl::Seconds(20)));
  }

  uint64_t ended(EpisodeEnd end) { return stats_.counts().episodes[static_cast<int>(end)]; }

  FakeClock clock_;
  std::shared_ptr<MetricsRegistry> metrics_ = std::make_shared<MetricsRegistry>();
  ActorStats stats_{"actor", 1, &clock_, metrics_};
  FakePlanSource plans_{2};
  FakeRowSink sink_;
  Turns turns_{Clock::Real()};
  // Used by the rollout's thread while a turn is out.
  std::vector<std::string> flushed_;
  absl::Status flush_;
  absl::Status result_;
  std::unique_ptr<Rollout> rollout_;
  Thread thread_;
};

TEST_F(TurnsTest, EachEnvironmentMakesOneRowInItsOrder) {
  Start({}, {.environments = 3});
  Play({4, 2}, 3);
  EXPECT_THAT(flushed_, ElementsAre("0:1 ", "0:1 1:1 ", "0:1 1:1 2:1 "));
  Play({4, 3}, 3);
  EXPECT_THAT(flushed_, SizeIs(6));
  EXPECT_EQ(flushed_[5], "0:2 1:2 2:2 ");
  const auto log = plans_.log();
  ASSERT_THAT(log, SizeIs(6));
  EXPECT_EQ(log[0].pinned_version, (ParameterVersion{4, 2}));
  EXPECT_EQ(log[5].pinned_version, (ParameterVersion{4, 3}));
}

TEST_F(TurnsTest, NothingIsPlayedBetweenTurns) {
  Start({}, {.environments = 2, .random_phase = true});
  Play({}, 0);
  EXPECT_EQ(plans_.waiting(), 0u);
  EXPECT_EQ(stats_.counts().rows, 2u);
  rollout_->SetRandomPhase(false);
  Play({}, 0);
  EXPECT_EQ(stats_.counts().random_rows, 4u);
}

TEST_F(TurnsTest, TheFirstTurnWithAVersionBeginsEpisodesWithPlans) {
  Start({}, {.environments = 1, .random_phase = true});
  Play({}, 0);
  Play({}, 0);
  Play({1, 1}, 1);
  const auto episodes = sink_.episodes();
  ASSERT_THAT(episodes, SizeIs(2));
  EXPECT_THAT(episodes[0].rows, SizeIs(2));
  EXPECT_THAT(episodes[0].rows[1].plan_mean, IsEmpty());
  ASSERT_THAT(episodes[1].rows, SizeIs(1));
  EXPECT_THAT(episodes[1].rows[0].plan_mean, SizeIs(2));
}

TEST_F(TurnsTest, AStepThatFailedIsNoRowAndTheTurnGoesOn) {
  Start({.unstable_at = 2}, {.environments = 1});
  for (int row = 1; row <= 3; ++row) {
    Play({1, 1}, 2);
    EXPECT_EQ(stats_.counts().rows, static_cast<uint64_t>(row));
  }
  EXPECT_GE(ended(EpisodeEnd::kUnstable), 1u);
}

TEST_F(TurnsTest, APlanThatFailedIsAskedForAgainWithinTheTurn) {
  Start({}, {.environments = 1});
  turns_.Give({{1, 1}});
  clock_.AwaitWaits(1);
  const int before = clock_.waits();
  plans_.Fail(absl::UnavailableError("the planner does not hold parameters 1.1"));
  plans_.AnswerNext(1);
  // Until it waits for the next try.
  clock_.AwaitWaits(before + 1);
  clock_.Advance(absl::Minutes(1));
  ASSERT_TRUE(turns_.AwaitBack(absl::Seconds(20)));
  const auto log = plans_.log();
  ASSERT_THAT(log, SizeIs(2));
  EXPECT_EQ(log[0].seed, log[1].seed);
  EXPECT_EQ(stats_.counts().rows, 1u);
}

TEST_F(TurnsTest, RowsThatCannotBeStoredEndTheRollout) {
  flush_ = absl::InvalidArgumentError("no such shard");
  Start({}, {.environments = 2});
  Play({1, 1}, 2);
  thread_.Join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(flushed_, SizeIs(1));
}

}  // namespace
}  // namespace pompc::actor
