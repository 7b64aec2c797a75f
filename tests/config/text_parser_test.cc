#include "common/config/text_parser.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string ErrorOf(const std::string& text) {
  const auto config = ParseRunConfig(text, "my.textproto");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(config.status().message());
}

TEST(TextParser, ReadsWhatIsSetAndNothingElse) {
  const auto config = ParseRunConfig("# comment\nseed: 7\nlearner { utd: 0.5 }\n", "f");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->seed(), 7);
  EXPECT_EQ(config->learner().utd(), 0.5);
  EXPECT_FALSE(config->learner().has_batch_size());
  EXPECT_FALSE(config->has_planner());
}

TEST(TextParser, UnknownFieldIsLocatedAndTheNearestIsSuggested) {
  EXPECT_EQ(ErrorOf("seed: 1\nreplay {\n  slak_rows: 3\n}\n"),
            "my.textproto:3: unknown field replay.slak_rows; did you mean replay.slack_rows? "
            "Fields of replay: capacity_rows, capacity_bytes, slack_rows, min_rows, "
            "tables, import, durability, on_disk, row_cache_bytes");
}

TEST(TextParser, UnknownFieldThatStandsInAnotherGroupIsSuggestedThere) {
  EXPECT_THAT(ErrorOf("horizon: 5"),
              StartsWith("my.textproto:1: unknown field horizon; did you mean planner.horizon? "
                         "Fields of the run config: seed, env"));
}

TEST(TextParser, UnknownFieldFarFromAllListsTheFields) {
  EXPECT_EQ(ErrorOf("evaluation { xyzzyxyzzy: 5 }"),
            "my.textproto:1: unknown field evaluation.xyzzyxyzzy; fields of evaluation: "
            "every_rows, episodes, every_updates");
}

TEST(TextParser, UnknownGroupIsNamed) {
  EXPECT_THAT(ErrorOf("\n\nlerner { utd: 1 }"),
              StartsWith("my.textproto:3: unknown field lerner; did you mean learner?"));
}

TEST(TextParser, ValueOutOfRangeIsLocatedWithTheAllowedRange) {
  EXPECT_EQ(ErrorOf("learner {\n  utd: 0.5\n  batch_size: 70000\n}"),
            "my.textproto:3: learner.batch_size: 70000 is out of range; allowed: integer, 1 to "
            "65536");
  EXPECT_EQ(ErrorOf("po_mpc { alpha: 1.5 }"),
            "my.textproto:1: po_mpc.alpha: 1.5 is out of range; allowed: number, 0 to 1");
}

TEST(TextParser, NotANumberIsOutOfEveryRange) {
  EXPECT_THAT(ErrorOf("learner { utd: nan }"), HasSubstr("learner.utd: nan is out of range"));
  EXPECT_THAT(ErrorOf("learner { utd: inf }"), HasSubstr("learner.utd: inf is out of range"));
}

TEST(TextParser, NegativeValueForACountNamesFieldAndRange) {
  EXPECT_EQ(ErrorOf("planner {\n  samples: -5\n}"),
            "my.textproto:2: planner.samples: Expected integer, got: -5; allowed: integer, 2 to "
            "65536");
}

// protobuf would read octal and hexadecimal numbers; --set reads decimal ones.
TEST(TextParser, IntegersAreDecimal) {
  EXPECT_EQ(ErrorOf("env { task: \"010\" }\nseed: 010\n"),
            "my.textproto:2: seed: 010 is not decimal; allowed: integer");
  EXPECT_EQ(ErrorOf("learner {\n  utd: 1\n  batch_size: 0x10 }"),
            "my.textproto:3: learner.batch_size: 0x10 is not decimal; allowed: integer, 1 to "
            "65536");
  EXPECT_EQ(ErrorOf("seed: 08"), "my.textproto:1: seed: 08 is not decimal; allowed: integer");
  EXPECT_THAT(ErrorOf("learner { utd: 010 }"),
              StartsWith("my.textproto:1: learner.utd: 010 is not decimal"));
  EXPECT_THAT(ErrorOf("stop { return_mean: -010 }"),
              StartsWith("my.textproto:1: stop.return_mean: 010 is not decimal"));
  EXPECT_THAT(ErrorOf("po_mpc { prior_kl: 01 }"), HasSubstr("allowed: FORWARD or REVERSE"));
  const auto config = ParseRunConfig("# 010\nseed: 0 stop { return_mean: -0.5 }", "f");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->stop().return_mean(), -0.5);
}

TEST(TextParser, FilesOfOtherEditorsRead) {
  const auto config =
      ParseRunConfig("\xef\xbb\xbf# comment\r\nseed: 7\r\nlearner {\r\n  utd: 0.5\r\n}\r\n", "f");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->seed(), 7);
  EXPECT_EQ(config->learner().utd(), 0.5);
  EXPECT_EQ(ErrorOf("\xef\xbb\xbfseed: 1\r\nplanner { samples: 1 }\r\n"),
            "my.textproto:2: planner.samples: 1 is out of range; allowed: integer, 2 to 65536");
  EXPECT_EQ(ErrorOf(std::string("\xff\xfes\0e\0", 6)),
            "my.textproto:1: the text is in UTF-16; allowed: UTF-8");
}

TEST(TextParser, TabsDoNotMoveWhatAnErrorNames) {
  EXPECT_EQ(ErrorOf("learner {\n\t\tbatch_size: -5\n}"),
            "my.textproto:2: learner.batch_size: Expected integer, got: -5; allowed: integer, 1 to "
            "65536");
  EXPECT_EQ(ErrorOf("learner {\tbatch_size:\t-7\t}"),
            "my.textproto:1: learner.batch_size: Expected integer, got: -7; allowed: integer, 1 to "
            "65536");
  EXPECT_THAT(ErrorOf("replay {\n\t\tslak_rows: 3\n}"),
              StartsWith("my.textproto:2: unknown field replay.slak_rows"));
  EXPECT_THAT(ErrorOf("\t\tseed: -"), StartsWith("my.textproto:1: seed: "));
}

TEST(TextParser, WordForANumberNamesFieldAndRange) {
  EXPECT_THAT(ErrorOf("planner {\n  # how many\n  samples: many\n}"),
              AllOf(StartsWith("my.textproto:3: planner.samples: "), HasSubstr("many"),
                    HasSubstr("allowed: integer, 2 to 65536")));
}

TEST(TextParser, UnknownEnumerationValueIsLocatedOnItsOwnLine) {
  EXPECT_THAT(ErrorOf("po_mpc {\n  prior_kl: SIDEWAYS\n\n  lambda: 2\n}"),
              AllOf(StartsWith("my.textproto:2: po_mpc.prior_kl: "), HasSubstr("SIDEWAYS"),
                    HasSubstr("allowed: FORWARD or REVERSE")));
}

TEST(TextParser, UnspecifiedEnumerationValueIsRefused) {
  EXPECT_THAT(ErrorOf("po_mpc { prior_kl: PRIOR_KL_UNSPECIFIED }"),
              HasSubstr("allowed: FORWARD or REVERSE"));
}

TEST(TextParser, FieldGivenTwiceIsRefused) {
  EXPECT_THAT(ErrorOf("seed: 1\nseed: 2\n"),
              AllOf(StartsWith("my.textproto:2: seed: "), HasSubstr("multiple times")));
}

TEST(TextParser, BrokenSyntaxIsLocated) {
  EXPECT_THAT(ErrorOf("learner {\n  utd: 1\n"),
              StartsWith("my.textproto:2: learner.utd: the text ends too early"));
  EXPECT_THAT(ErrorOf("seed 1"), StartsWith("my.textproto:1: "));
  EXPECT_THAT(ErrorOf("}"), StartsWith("my.textproto:1: "));
  EXPECT_THAT(ErrorOf("env { task: \"unterminated }"), StartsWith("my.textproto:1: "));
}

// A resolved config of an earlier version has the field with its default; it means what it did.
TEST(TextParser, AFieldThatIsGoneIsReadOverUnlessItSaidSomethingElse) {
  const std::string rest = "po_mpc { actor_weights: MIX scale_kl: ";
  const auto config = ParseRunConfig(rest + "true lambda: 3 }", "my.textproto");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->po_mpc().lambda(), 3);
  EXPECT_THAT(ErrorOf("\n" + rest + "false }"),
              StartsWith("my.textproto:2: po_mpc.scale_kl: false is gone; what is left is true"));
}

// Whatever the bytes, there is an answer.
TEST(TextParser, RefusesGarbageWithoutFailing) {
  const std::string good =
      "seed: 1\tenv { task: \"a\" spec {\n\t\tterminates: true } } learner{\tutd:\t1}";
  uint32_t random = 12345;
  for (int i = 0; i < 2000; ++i) {
    std::string text = good;
    for (int change = 0; change < 3; ++change) {
      random = random * 1664525 + 1013904223;
      text[(random >> 8) % text.size()] = static_cast<char>(random >> 24);
    }
    const auto config = ParseRunConfig(text, "f");
    if (!config.ok()) {
      EXPECT_THAT(std::string(config.status().message()), StartsWith("f:")) << "round " << i;
    }
  }
}

}  // namespace
}  // namespace pompc::config
