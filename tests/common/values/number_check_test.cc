#include "common/values/number_check.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

void ExpectRefused(const absl::Status& status, const char* text) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(text));
}

TEST(NumberCheckTest, SumsOfSquaresOfTheLargestMagnitudeAreFinite) {
  float sum = 0;
  for (int i = 0; i < 100; ++i) sum += kMaxMagnitude * kMaxMagnitude;
  EXPECT_TRUE(std::isfinite(sum));
}

TEST(NumberCheckTest, MagnitudesAreBounded) {
  EXPECT_TRUE(CheckMagnitudes("x", {0.0f, -kMaxMagnitude, 1e-45f, kMaxMagnitude}).ok());
  EXPECT_TRUE(CheckMagnitudes("x", {}).ok());
  ExpectRefused(CheckMagnitudes("reward", {1.0f, 1.1e18f}),
                "reward number 1 is 1.1e+18, must be at most 1e+18 in magnitude");
  for (const float bad : {kNan, -kNan, kInf, -kInf}) {
    ExpectRefused(CheckMagnitudes("reward", {1.0f, 2.0f, bad}), "reward number 2 is ");
    EXPECT_FALSE(IsMagnitude(bad));
  }
  // Finite as double, not as float32.
  EXPECT_FALSE(IsMagnitude(1e39));
  EXPECT_FALSE(IsMagnitude(-1e300));
  EXPECT_TRUE(IsMagnitude(-kMaxMagnitude));
}

TEST(NumberCheckTest, ActionsAndMeansMayBeRounded) {
  EXPECT_TRUE(CheckActions("plan_mean", {-1.0f, std::nextafter(1.0f, 2.0f)}).ok());
  ExpectRefused(CheckActions("plan_mean", {0.0f, 1e30f}), "plan_mean number 1 is 1e+30");
  ExpectRefused(CheckActions("plan_mean", {-1.001f}), "must be in [-1, 1]");
  ExpectRefused(CheckActions("plan_mean", {kNan}), "plan_mean number 0 is nan");
}

TEST(NumberCheckTest, StandardDeviationsLieInTheirRange) {
  const StdRange range{0.05f, 2};
  EXPECT_TRUE(CheckStds("plan_std", range, {0.05f, std::nextafter(2.0f, 3.0f)}).ok());
  ExpectRefused(CheckStds("plan_std", range, {1, 0.04f}),
                "plan_std number 1 is 0.04, must be in [0.05, 2]");
  ExpectRefused(CheckStds("plan_std", range, {2.01f}), "plan_std number 0");
  for (const float bad : {0.0f, -1.0f, 1e-38f, 1e30f, kNan, kInf}) {
    EXPECT_FALSE(CheckStds("plan_std", range, {bad}).ok()) << bad;
    EXPECT_FALSE(CheckStds("plan_std", StdRange(), {bad}).ok()) << bad;
  }
}

TEST(NumberCheckTest, ReturnsAreBounded) {
  EXPECT_TRUE(IsReturn(-1e24));
  EXPECT_FALSE(IsReturn(1e25));
  EXPECT_FALSE(IsReturn(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(IsReturn(-std::numeric_limits<double>::infinity()));
}

}  // namespace
}  // namespace pompc
