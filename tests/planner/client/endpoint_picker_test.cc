#include "planner/client/endpoint_picker.h"

#include "gtest/gtest.h"

namespace pompc::planner {
namespace {

const std::vector<bool> kNoneTried(3, false);
constexpr absl::Duration kNow = absl::Seconds(100);

TEST(EndpointPickerTest, CallsTakeTurns) {
  EndpointPicker picker(3, /*sticky=*/false, absl::Seconds(2));
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 0u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 1u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 2u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 0u);
}

TEST(EndpointPickerTest, TriedOnesAreNotPickedAgain) {
  EndpointPicker picker(3, false, absl::Seconds(2));
  EXPECT_EQ(picker.Pick({true, false, true}, kNow), 1u);
  EXPECT_EQ(picker.Pick({true, true, true}, kNow), std::nullopt);
}

TEST(EndpointPickerTest, FailedOneComesLastForAWhile) {
  EndpointPicker picker(3, false, absl::Seconds(2));
  picker.Failed(0, kNow);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 1u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 2u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 1u);
  EXPECT_EQ(picker.Pick({false, true, true}, kNow), 0u);
  EXPECT_EQ(picker.Pick({false, true, false}, kNow + absl::Seconds(2)), 2u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow + absl::Seconds(2)), 0u);
}

TEST(EndpointPickerTest, SuccessEndsTheAvoidance) {
  EndpointPicker picker(2, false, absl::Seconds(2));
  picker.Failed(0, kNow);
  picker.Succeeded(0);
  EXPECT_EQ(picker.Pick({false, false}, kNow), 0u);
}

TEST(EndpointPickerTest, StickyStaysWithTheOneThatAnswered) {
  EndpointPicker picker(3, /*sticky=*/true, absl::Seconds(2));
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 0u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 0u);
  picker.Failed(0, kNow);
  EXPECT_EQ(picker.Pick({true, false, false}, kNow), 1u);
  picker.Succeeded(1);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow + absl::Hours(1)), 1u);
}

}  // namespace
}  // namespace pompc::planner
