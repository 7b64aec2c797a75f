// What RunControl asks of its callers.
#include <optional>

#include "gtest/gtest.h"
#include "run/control/run_control.h"
#include "tests/run/control/run_control_fixture.h"

namespace pompc::run {
namespace {

using RunControlDeathTest = RunControlTest;

TEST_F(RunControlDeathTest, OrderMatters) {
  EXPECT_DEATH(control_.NextGrant(0), "a shard that does not answer is granted nothing");
  Rows(10);
  EXPECT_DEATH(control_.Restore(std::nullopt, {}), "the run has begun already");
  control_.Published({1, 2});
  EXPECT_DEATH(control_.Published({1, 1}), "versions ascend");
}

}  // namespace
}  // namespace pompc::run
