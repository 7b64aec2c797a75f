#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/replay/faults/store_machine.h"

namespace pompc::replay {
namespace {

using Leaves = FragileDisk::Leaves;

uint64_t Seed() { return static_cast<uint64_t>(testing::UnitTest::GetInstance()->random_seed()); }

class PowerCutTest : public testing::TestWithParam<Leaves> {};

// The power is cut at each operation on the disk in turn, until a run comes to its end: while a
// store is made, written to, closed, opened again, written to and closed.
TEST_P(PowerCutTest, WhatIsDurableSurvivesAtEveryOperation) {
  bool done = false;
  for (uint64_t cut = 0; !done; ++cut) {
    SCOPED_TRACE(absl::StrCat("seed ", Seed(), ", power cut at operation ", cut));
    StoreMachine machine(Seed(), Durability::kSync);
    machine.disk().CutPowerAt(cut);
    for (int opening = 0; opening < 2; ++opening) ASSERT_TRUE(machine.Work(8).ok());
    done = !machine.disk().power_is_cut();
    machine.disk().Restart(GetParam(), Seed() + cut);
    // Once more, somewhere while the store recovers.
    machine.disk().CutPowerAt(machine.disk().operations() + cut % 40);
    absl::Status status = machine.Check(machine.durable());
    if (machine.disk().power_is_cut()) {
      machine.disk().Restart(GetParam(), Seed() + cut + 1);
      status = machine.Check(machine.durable());
    }
    ASSERT_TRUE(status.ok()) << status;
  }
}

// With BACKGROUND, the last second may be lost, but nothing before it and nothing out of order, and
// the store always opens. Every third operation, to save time; which ones depends on the seed.
TEST_P(PowerCutTest, WithBackgroundWhatIsOlderThanASecondSurvives) {
  bool done = false;
  for (uint64_t cut = Seed() % 3; !done; cut += 3) {
    SCOPED_TRACE(absl::StrCat("seed ", Seed(), ", power cut at operation ", cut));
    StoreMachine machine(Seed(), Durability::kBackground);
    machine.disk().CutPowerAt(cut);
    for (int opening = 0; opening < 2; ++opening) ASSERT_TRUE(machine.Work(12).ok());
    done = !machine.disk().power_is_cut();
    EXPECT_TRUE(!done || machine.settled() > 0);
    machine.disk().Restart(GetParam(), Seed() + cut);
    const absl::Status status = machine.Check(machine.settled());
    ASSERT_TRUE(status.ok()) << status;
  }
}

std::string NameOf(const testing::TestParamInfo<Leaves>& info) {
  constexpr const char* kNames[] = {"NothingElse", "APart", "Everything"};
  return kNames[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Leaving, PowerCutTest,
                         testing::Values(Leaves::kSafe, Leaves::kPart, Leaves::kAll), NameOf);

}  // namespace
}  // namespace pompc::replay
