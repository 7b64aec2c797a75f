#include "actor/env/wrappers.h"

#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace pompc::env {
namespace {

// What happened to a CountingEnvironment.
struct Log {
  std::vector<double> last_action;
  int steps = 0;
  int terminate_at = -1;
  // Step of an episode (0: its start) whose observation has a number too many.
  int grows_at = -1;
};

// Two actions with ranges [-1, 3] and [0, 0.5]; the observation and the reward count the steps of
// the episode, in tenths.
class CountingEnvironment final : public Environment {
 public:
  explicit CountingEnvironment(Log* log) : log_(log) {
    spec_.task = "counting";
    spec_.observation_size = 1;
    spec_.action_size = 2;
    spec_.action_low = {-1, 0};
    spec_.action_high = {3, 0.5};
    spec_.episode_steps = 5;
    spec_.step_seconds = 0.01;
  }
  const EnvironmentSpec& spec() const override { return spec_; }
  absl::Status Reset() override {
    log_->steps = 0;
    Observe();
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> Step(std::span<const double> action) override {
    log_->last_action.assign(action.begin(), action.end());
    ++log_->steps;
    Observe();
    return StepResult{.reward = observation_[0], .terminated = log_->steps == log_->terminate_at};
  }
  std::span<const double> observation() const override { return observation_; }
  const absl::Status& fault() const override { return fault_; }

 private:
  void Observe() {
    observation_.assign(log_->steps == log_->grows_at ? 2 : 1, log_->steps / 10.0);
  }

  Log* const log_;
  EnvironmentSpec spec_;
  std::vector<double> observation_ = {0};
  absl::Status fault_;
};

const std::vector<double> kAction = {0, 0};

TEST(ActionScalingTest, MapsTheUnitRangeOntoEachActuatorsRange) {
  Log log;
  ActionScaling environment(std::make_unique<CountingEnvironment>(&log));
  EXPECT_EQ(environment.spec().action_low, (std::vector<double>{-1, -1}));
  EXPECT_EQ(environment.spec().action_high, (std::vector<double>{1, 1}));
  ASSERT_TRUE(environment.Step(std::vector{-1.0, 1.0}).ok());
  EXPECT_EQ(log.last_action, (std::vector<double>{-1, 0.5}));
  ASSERT_TRUE(environment.Step(std::vector{0.5, 0.0}).ok());
  EXPECT_EQ(log.last_action, (std::vector<double>{2, 0.25}));
}

TEST(ActionScalingTest, WrongSizeIsRefused) {
  Log log;
  ActionScaling environment(std::make_unique<CountingEnvironment>(&log));
  for (const std::vector<double>& action : {std::vector<double>{0}, std::vector<double>{0, 0, 0}}) {
    EXPECT_EQ(environment.Step(action).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(log.steps, 0);
}

TEST(TimeLimitTest, CutsByTruncationAndThenNeedsAReset) {
  Log log;
  TimeLimit environment(std::make_unique<CountingEnvironment>(&log));
  EXPECT_EQ(environment.Step(kAction).status().code(), absl::StatusCode::kFailedPrecondition);
  for (int episode = 0; episode < 2; ++episode) {
    ASSERT_TRUE(environment.Reset().ok());
    for (int step = 1; step <= 5; ++step) {
      const StepResult result = *environment.Step(kAction);
      EXPECT_EQ(result.truncated, step == 5);
      EXPECT_FALSE(result.terminated);
    }
    EXPECT_EQ(environment.Step(kAction).status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(log.steps, 5);
  }
}

TEST(TimeLimitTest, TerminalStateAtTheLimitIsNotATruncation) {
  Log log{.terminate_at = 5};
  TimeLimit environment(std::make_unique<CountingEnvironment>(&log));
  ASSERT_TRUE(environment.Reset().ok());
  StepResult result;
  for (int step = 0; step < 5; ++step) result = *environment.Step(kAction);
  EXPECT_TRUE(result.terminated);
  EXPECT_FALSE(result.truncated);
}

TEST(ActionRepeatTest, SumsRewardsAndShowsTheLastObservation) {
  Log log;
  ActionRepeat environment(std::make_unique<CountingEnvironment>(&log), 3);
  EXPECT_EQ(environment.spec().episode_steps, 2);
  EXPECT_NEAR(environment.spec().step_seconds, 0.03, 1e-12);
  ASSERT_TRUE(environment.Reset().ok());
  const StepResult result = *environment.Step(kAction);
  EXPECT_NEAR(result.reward, 0.1 + 0.2 + 0.3, 1e-12);
  EXPECT_NEAR(environment.observation()[0], 0.3, 1e-12);
  EXPECT_EQ(log.steps, 3);
}

TEST(ActionRepeatTest, StopsWhereTheEpisodeEnds) {
  Log log{.terminate_at = 2};
  ActionRepeat terminating(std::make_unique<CountingEnvironment>(&log), 3);
  ASSERT_TRUE(terminating.Reset().ok());
  StepResult result = *terminating.Step(kAction);
  EXPECT_TRUE(result.terminated);
  EXPECT_NEAR(result.reward, 0.1 + 0.2, 1e-12);
  EXPECT_EQ(log.steps, 2);

  log = Log();
  ActionRepeat limited(std::make_unique<TimeLimit>(std::make_unique<CountingEnvironment>(&log)), 3);
  ASSERT_TRUE(limited.Reset().ok());
  EXPECT_FALSE(limited.Step(kAction)->done());
  result = *limited.Step(kAction);
  EXPECT_TRUE(result.truncated);
  EXPECT_NEAR(result.reward, 0.4 + 0.5, 1e-12);
}

TEST(FloatEnvironmentTest, CastsActionsAndObservationsAndReusesItsBuffer) {
  Log log;
  FloatEnvironment environment(std::make_unique<CountingEnvironment>(&log));
  ASSERT_TRUE(environment.Reset().ok());
  EXPECT_EQ(environment.observation()[0], 0.0f);
  const float* buffer = environment.observation().data();
  ASSERT_TRUE(environment.Step(std::vector{0.1f, 0.2f}).ok());
  EXPECT_EQ(environment.observation()[0], 0.1f);
  EXPECT_EQ(environment.observation().data(), buffer);
  EXPECT_EQ(log.last_action, (std::vector<double>{0.1f, 0.2f}));
}

TEST(FloatEnvironmentTest, ObservationOfAnotherSizeIsAnErrorThatNamesBoth) {
  for (const int grows_at : {0, 1}) {
    Log log;
    log.grows_at = grows_at;
    FloatEnvironment environment(std::make_unique<CountingEnvironment>(&log));
    absl::Status status = environment.Reset();
    if (status.ok()) status = environment.Step(std::vector{0.1f, 0.2f}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_EQ(status.message(), "counting returned an observation of 2 numbers, its spec says 1");
  }
}

TEST(FloatEnvironmentTest, WrongSizeIsRefused) {
  Log log;
  FloatEnvironment environment(std::make_unique<CountingEnvironment>(&log));
  EXPECT_EQ(environment.Step(std::vector{0.1f}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pompc::env
