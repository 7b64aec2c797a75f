#include <string>

#include "common/config/text_parser.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

proto::RunConfig Applied(const std::string& assignment) {
  proto::RunConfig config;
  const absl::Status status = ApplyOverride(assignment, &config);
  EXPECT_TRUE(status.ok()) << status;
  return config;
}

std::string ErrorOf(const std::string& assignment) {
  proto::RunConfig config;
  const absl::Status status = ApplyOverride(assignment, &config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << assignment;
  return std::string(status.message());
}

TEST(Overrides, SetsEveryKindOfField) {
  EXPECT_EQ(Applied("seed=18446744073709551615").seed(), 18446744073709551615u);
  EXPECT_EQ(Applied("planner.horizon=5").planner().horizon(), 5);
  EXPECT_EQ(Applied("learner.utd = 0.5").learner().utd(), 0.5);
  EXPECT_EQ(Applied("learner.learning_rate=1e-3").learner().learning_rate(), 1e-3);
  EXPECT_EQ(Applied("env.task=cartpole-balance").env().task(), "cartpole-balance");
  EXPECT_TRUE(Applied("env.spec.terminates=true").env().spec().terminates());
  EXPECT_EQ(Applied("po_mpc.prior_kl=REVERSE").po_mpc().prior_kl(), proto::PoMpcConfig::REVERSE);
}

TEST(Overrides, LeavesOtherFieldsAlone) {
  const proto::RunConfig config = Applied("learner.utd=2");
  EXPECT_FALSE(config.has_env());
  EXPECT_FALSE(config.learner().has_batch_size());
}

TEST(Overrides, UnknownFieldSuggestsTheNearest) {
  EXPECT_THAT(ErrorOf("learner.udt=1"),
              StartsWith("--set learner.udt=1: unknown field learner.udt; did you mean "
                         "learner.utd? Fields of learner: batch_size, utd"));
  EXPECT_THAT(ErrorOf("utd=1"), HasSubstr("did you mean learner.utd?"));
}

TEST(Overrides, BadValueNamesFlagFieldAndAllowedValues) {
  EXPECT_EQ(ErrorOf("planner.samples=1"),
            "--set planner.samples=1: planner.samples: 1 is out of range; allowed: integer, 2 to "
            "65536");
  EXPECT_EQ(ErrorOf("planner.samples=-3"),
            "--set planner.samples=-3: planner.samples: \"-3\" is not a valid value; allowed: "
            "integer, 2 to 65536");
  EXPECT_THAT(ErrorOf("learner.utd=fast"), HasSubstr("allowed: number, 0.001 to 100"));
  EXPECT_THAT(ErrorOf("learner.utd=nan"), HasSubstr("allowed: number, 0.001 to 100"));
  EXPECT_THAT(ErrorOf("po_mpc.prior_kl=UP"), HasSubstr("allowed: FORWARD or REVERSE"));
  EXPECT_THAT(ErrorOf("env.spec.terminates=perhaps"), HasSubstr("allowed: true or false"));
}

// A number is what it looks like, and nothing else is one.
TEST(Overrides, NumbersAreDecimal) {
  for (const char* text : {"010", "-1", "0x10", "+1", "1e3", "1.0", "", "18446744073709551616",
                           "1_000", "08"}) {
    EXPECT_THAT(ErrorOf(std::string("seed=") + text),
                HasSubstr(std::string("\"") + text + "\" is not a valid value; allowed: integer"));
  }
  for (const char* text : {"01", "0x1", "+1", "inf", "-inf", "1,5", "1e999", ""}) {
    EXPECT_THAT(ErrorOf(std::string("learner.utd=") + text), HasSubstr("allowed: number, 0.001"));
  }
  EXPECT_EQ(Applied("stop.return_mean=-250").stop().return_mean(), -250);
  EXPECT_EQ(Applied("stop.return_mean=-1e-6").stop().return_mean(), -1e-6);
}

TEST(Overrides, GroupsAreNotAssigned) {
  EXPECT_THAT(ErrorOf("learner=1"), HasSubstr("learner is a group; name a field of it"));
  EXPECT_THAT(ErrorOf("seed.x=1"), HasSubstr("seed is a field, not a group"));
}

TEST(Overrides, GroupsOfAListAreNumbered) {
  EXPECT_EQ(Applied("replay.tables.0.selector=LIFO").replay().tables(0).selector(),
            proto::TableConfig::LIFO);
  EXPECT_THAT(ErrorOf("replay.tables.1.name=a"),
              HasSubstr("replay.tables is a list of 0 groups; name a field of one, as in "
                        "replay.tables.0.name; allowed: 0 to 0, of which 0 adds one"));
  EXPECT_THAT(ErrorOf("replay.tables.x.name=a"), HasSubstr("is a list of 0 groups"));
  EXPECT_THAT(ErrorOf("replay.tables.name=a"), HasSubstr("is a list of 0 groups"));
  EXPECT_THAT(ErrorOf("replay.tables.0=a"),
              HasSubstr("replay.tables.0 is a group; name a field of it"));
  EXPECT_THAT(ErrorOf("replay.tables=a"), HasSubstr("replay.tables is a group"));
  EXPECT_THAT(ErrorOf("replay.tables.0.nam=a"),
              HasSubstr("unknown field replay.tables.0.nam; did you mean replay.tables.0.name?"));
  EXPECT_THAT(ErrorOf("replay.tables.0.beta=2"),
              HasSubstr("replay.tables.0.beta: 2 is out of range; allowed: number, 0 to 1"));
}

TEST(Overrides, NeedsAnAssignment) {
  EXPECT_THAT(ErrorOf("learner.utd"), HasSubstr("expected path.to.field=value"));
  EXPECT_THAT(ErrorOf("=1"), HasSubstr("expected path.to.field=value"));
}

}  // namespace
}  // namespace pompc::config
