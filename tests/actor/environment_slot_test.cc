#include "actor/core/environment_slot.h"

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "actor/core/plan_source.h"
#include "gtest/gtest.h"
#include "tests/actor/fakes.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

#if defined(__GNUC__) && !defined(__clang__)
// GCC does not see that both operators below are replaced together.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

// Counts what the whole test binary allocates.
void* operator new(std::size_t size) {
  ++allocations;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace pompc::actor {
namespace {

// Answers at once, without allocating once the plan's buffers have their size.
class InstantPlanSource : public PlanSource {
 public:
  void Request(std::span<const PlanQuery> queries, const PlanMode& mode,
               PlanListener* listener) override {
    for (const PlanQuery& query : queries) {
      query.plan->action.assign(2, 0.5f);
      query.plan->mean.assign(2, 0.5f);
      query.plan->std.assign(2, 0.5f);
      query.plan->warm_start.assign(6, 0.5f);
      listener->OnPlans({&query.slot, 1}, absl::OkStatus());
    }
  }
};

TEST(EnvironmentSlotTest, DecisionsDoNotAllocateAfterTheFirstEpisode) {
  FakeClock clock;
  Mailbox mailbox(0, 1, &clock);
  InstantPlanSource plans;
  PlanAsker asker(&plans, &mailbox);
  auto slot = EnvironmentSlot::Make(FakeFactory({.episode_steps = 1000}), {});
  ASSERT_TRUE(slot.ok());
  std::vector<Letter> letters;
  letters.reserve(1);
  double rewards = 0;
  const auto play = [&](int decisions, bool random) {
    ASSERT_TRUE((*slot)->StartEpisode().ok());
    for (int i = 0; i < decisions; ++i) {
      if (random) {
        (*slot)->DrawAction();
      } else {
        asker.Add((*slot)->AskPlan(0), {}, clock.Now());
        asker.Send();
        mailbox.Take(absl::ZeroDuration(), &letters);
        ASSERT_TRUE((*slot)->AcceptPlan(letters[0].plan_status).ok());
      }
      ASSERT_TRUE((*slot)->Step().ok());
      rewards += (*slot)->row().Get<float>("rewards")[0];
      (*slot)->MoveOn();
    }
  };
  play(3, false);
  play(3, true);
  const int64_t before = allocations;
  play(500, false);
  play(500, true);
  EXPECT_EQ(allocations - before, 0);
  EXPECT_NE(rewards, 0);
}

TEST(EnvironmentSlotTest, ActionsOutsideTheRangeAreClamped) {
  auto slot = EnvironmentSlot::Make(FakeFactory({}), {});
  ASSERT_TRUE(slot.ok());
  ASSERT_TRUE((*slot)->StartEpisode().ok());
  *(*slot)->AskPlan(0).plan = {
      .action = {1.0001f, -3}, .mean = {0, 0}, .std = {1, 1}, .warm_start = {0, 0}};
  ASSERT_TRUE((*slot)->AcceptPlan(absl::OkStatus()).ok());
  ASSERT_TRUE((*slot)->Step().ok());
  EXPECT_EQ((*slot)->row().Get<float>("actions")[0], 1);
  EXPECT_EQ((*slot)->row().Get<float>("actions")[1], -1);
}

// What each of the numbers may be, whatever planner or environment gave it.
TEST(EnvironmentSlotTest, PlansWithNumbersOutOfTheirMeaningAreNotTaken) {
  auto slot = EnvironmentSlot::Make(FakeFactory({}), {}, StdRange{0.1f, 2});
  ASSERT_TRUE(slot.ok());
  ASSERT_TRUE((*slot)->StartEpisode().ok());
  const Plan good = {
      .action = {0, 0}, .mean = {1, -1}, .std = {0.1f, 2}, .warm_start = {1, -1}, .value = 1e18f};
  const auto accept = [&](auto spoil) {
    Plan plan = good;
    spoil(plan);
    *(*slot)->AskPlan(0).plan = plan;
    return (*slot)->AcceptPlan(absl::OkStatus());
  };
  EXPECT_TRUE(accept([](Plan&) {}).ok());
  const auto message = [&](auto spoil) {
    const absl::Status status = accept(spoil);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    return std::string(status.message());
  };
  EXPECT_EQ(message([](Plan& plan) { plan.mean[1] = 1e30f; }),
            "planner sent a plan whose mean number 1 is 1e+30, must be in [-1, 1]");
  EXPECT_EQ(message([](Plan& plan) { plan.std[0] = 1e-38f; }),
            "planner sent a plan whose std number 0 is 1e-38, must be in [0.1, 2]");
  EXPECT_NE(message([](Plan& plan) { plan.std[0] = 2.1f; }), "");
  EXPECT_NE(message([](Plan& plan) { plan.warm_start[0] = -1.5f; }), "");
  EXPECT_NE(message([](Plan& plan) { plan.value = 2e18f; }), "");
  EXPECT_NE(message([](Plan& plan) { plan.action[0] = 1e19f; }), "");
}

TEST(EnvironmentSlotTest, ARewardThatReplayWouldRefuseCutsTheEpisodeLikeNan) {
  for (const FakeWorld& world : {FakeWorld{.nan_reward_at = 2}, FakeWorld{.huge_reward_at = 2}}) {
    auto slot = EnvironmentSlot::Make(FakeFactory(world), {});
    ASSERT_TRUE(slot.ok());
    ASSERT_TRUE((*slot)->StartEpisode().ok());
    (*slot)->DrawAction();
    EXPECT_FALSE((*slot)->Step()->unstable);
    (*slot)->MoveOn();
    const double before = (*slot)->episode_return();
    const absl::StatusOr<StepOutcome> outcome = (*slot)->Step();
    ASSERT_TRUE(outcome.ok());
    EXPECT_TRUE(outcome->unstable);
    EXPECT_EQ(outcome->end(), EpisodeEnd::kUnstable);
    EXPECT_NE((*slot)->fault().message().find("the reward is "), std::string::npos);
    EXPECT_EQ((*slot)->episode_return(), before);
    EXPECT_EQ((*slot)->decisions(), 1u);
  }
}

TEST(StepOutcomeDeathTest, AnEpisodeThatGoesOnHasNoEnd) {
  EXPECT_DEATH(StepOutcome().end(), "done\\(\\)");
}

}  // namespace
}  // namespace pompc::actor
