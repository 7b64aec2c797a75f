#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/sweep/plan.h"
#include "cli/sweep/schedule.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The text with a name and, where it has none, a base.
absl::StatusOr<SweepPlan> Parse(const std::string& text) {
  const bool based = absl::StrContains(text, "base {");
  return ParseSweep(
      absl::StrCat("name: \"s\" ", based ? "" : "base { preset: \"quickstart\" } ", text),
      "s.textproto", "/nowhere");
}

SweepPlan PlanOf(const std::string& text) {
  absl::StatusOr<SweepPlan> plan = Parse(text);
  EXPECT_TRUE(plan.ok()) << text << ": " << plan.status();
  return *std::move(plan);
}

std::vector<std::string> NamesOf(const SweepPlan& plan) {
  std::vector<std::string> names;
  for (const PlannedSetting& setting : plan.settings) names.push_back(setting.name);
  return names;
}

void ExpectRefused(const std::string& text, const std::vector<std::string>& words) {
  const absl::Status status = Parse(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text << ": " << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("s.textproto"));
  for (const std::string& word : words) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(word)) << text;
  }
}

TEST(SweepPlanTest, ABaseAloneIsOneSetting) {
  const SweepPlan plan = PlanOf("seeds: \"3,5-6\"");
  EXPECT_THAT(NamesOf(plan), ElementsAre("base"));
  EXPECT_THAT(plan.tasks, ElementsAre("cartpole-swingup"));
  EXPECT_THAT(plan.seeds, ElementsAre(3, 5, 6));
  ASSERT_EQ(plan.trials.size(), 3u);
  EXPECT_EQ(plan.trials[1].config.seed(), 5u);
  EXPECT_EQ(plan.trials[1].config.env().spec().action_size(), 1u);
  EXPECT_EQ(plan.trials[1].key.ToString(), "base, cartpole-swingup, seed 5");
}

TEST(SweepPlanTest, AxesMultiply) {
  const SweepPlan plan = PlanOf(R"(
    axis { field: "po_mpc.lambda" value: "0" value: "0.5" }
    axis { point { name: "learned" set: "po_mpc.prior=LEARNED" }
           point { name: "wide" set: "planner.horizon=5" set: "planner.samples=64" } }
    task: "cartpole-swingup" task: "reacher-easy" seeds: "1-2")");
  EXPECT_THAT(NamesOf(plan), ElementsAre("lambda=0+learned", "lambda=0+wide", "lambda=0.5+learned",
                                         "lambda=0.5+wide"));
  ASSERT_EQ(plan.trials.size(), 16u);
  // Seed by seed, then task by task.
  EXPECT_EQ(plan.trials[0].key.ToString(), "lambda=0+learned, cartpole-swingup, seed 1");
  EXPECT_EQ(plan.trials[4].key.ToString(), "lambda=0+learned, reacher-easy, seed 1");
  EXPECT_EQ(plan.trials[8].key.seed, 2u);
  EXPECT_EQ(plan.trials[7].config.po_mpc().lambda(), 0.5);
  EXPECT_EQ(plan.trials[7].config.planner().samples(), 64u);
  EXPECT_EQ(plan.trials[7].config.env().spec().action_size(), 2u);
  EXPECT_EQ(plan.settings[3].flags,
            "--preset quickstart --set po_mpc.lambda=0.5 --set planner.horizon=5 "
            "--set planner.samples=64");
}

TEST(SweepPlanTest, NamedSettingsComeBeforeAxes) {
  const SweepPlan plan = PlanOf(R"(
    setting { name: "a" }
    setting { name: "tdmpc2" preset: "tdmpc2" config { learner { utd: 0.25 } }
              set: "po_mpc.lambda=0" }
    axis { field: "learner.batch_size" value: "32" })");
  EXPECT_THAT(NamesOf(plan), ElementsAre("a+batch_size=32", "tdmpc2+batch_size=32"));
  EXPECT_EQ(plan.trials[1].config.learner().utd(), 0.25);
  EXPECT_EQ(plan.settings[1].flags,
            "--preset quickstart --preset tdmpc2 --set learner.utd=0.25 --set po_mpc.lambda=0 "
            "--set learner.batch_size=32");
}

TEST(SweepPlanTest, FieldsOfTheSameNameAreToldApart) {
  const SweepPlan plan = PlanOf(R"(axis { field: "learner.seed_rows" value: "600" }
                                   axis { field: "evaluation.every_rows" value: "500" })");
  EXPECT_THAT(NamesOf(plan), ElementsAre("seed_rows=600+every_rows=500"));
  const SweepPlan same = PlanOf(R"(axis { field: "learner.batch_size" value: "32" }
                                   axis { field: "learner.reanalyze.batch" value: "5" }
                                   axis { field: "planner.max_batch" value: "5" })");
  EXPECT_EQ(NamesOf(same)[0], "batch_size=32+batch=5+max_batch=5");
}

TEST(SweepPlanTest, DrawsRepeatAndStayWithinTheirBounds) {
  const std::string text = R"(random { draws: 40 seed: 7
      field { path: "learner.learning_rate" low: 1e-4 high: 1e-2 scale: LOG_UNIFORM }
      field { path: "learner.batch_size" low: 16 high: 18 } })";
  const SweepPlan plan = PlanOf(text);
  EXPECT_EQ(plan.settings[39].name, "draw-40");
  std::set<uint32_t> sizes;
  int below = 0;
  for (const Trial& trial : plan.trials) {
    const double rate = trial.config.learner().learning_rate();
    EXPECT_GE(rate, 1e-4);
    EXPECT_LE(rate, 1e-2);
    below += rate < 1e-3;
    sizes.insert(trial.config.learner().batch_size());
  }
  EXPECT_THAT(sizes, ElementsAre(16, 17, 18));
  // The middle of the logarithms; of a uniform draw a tenth would lie below.
  EXPECT_GE(below, 10);
  EXPECT_LE(below, 30);
  EXPECT_EQ(PlanOf(text).settings[39].flags, plan.settings[39].flags);
}

TEST(SweepPlanTest, BudgetsEndTrials) {
  const SweepPlan frames = PlanOf("budget { frames: 4041 }");
  // The quickstart holds actions for 4 frames, and ends at a goal.
  EXPECT_EQ(frames.trials[0].config.stop().max_rows(), 1011u);
  EXPECT_EQ(frames.trials[0].config.stop().return_mean(), 0);
  EXPECT_EQ(PlanOf("budget { rows: 1007 }").trials[0].config.stop().max_rows(), 1007u);
  const SweepPlan minutes = PlanOf("budget { minutes: 1.5 }");
  EXPECT_EQ(minutes.trials[0].config.stop().max_minutes(), 1.5);
  EXPECT_EQ(minutes.trials[0].config.stop().max_rows(), 0u);
}

TEST(SweepPlanTest, ErrorsNameThePlaceAndWhatIsAllowed) {
  ExpectRefused("colour: 1", {"s.textproto:1", "unknown field colour", "seeds"});
  ExpectRefused("base { set: \"learner.udt=1\" }", {"learner.udt", "did you mean learner.utd"});
  ExpectRefused("base { config { learner { batch_size: 0 } } }",
                {"base.config.learner.batch_size", "1 to 65536"});
  ExpectRefused("axis { field: \"po_mpc.lambada\" value: \"1\" }",
                {"axis 1", "po_mpc.lambada", "did you mean po_mpc.lambda"});
  ExpectRefused("axis { field: \"po_mpc\" value: \"1\" }", {"axis 1", "is a group"});
  ExpectRefused("axis { field: \"po_mpc.prior\" value: \"BEST\" }", {"axis 1", "LEARNED or"});
  ExpectRefused("axis { field: \"po_mpc.lambda\" }", {"axis 1", "a field and its values"});
  ExpectRefused("axis { field: \"seed\" value: \"1\" }", {"axis 1", "`seeds`"});
  ExpectRefused("axis { field: \"env.task\" value: \"a\" }", {"axis 1", "`task`"});
  ExpectRefused("axis { field: \"po_mpc.lambda\" value: \"1\" value: \"1\" }",
                {"two settings", "lambda=1"});
  ExpectRefused("setting { name: \"a/b\" }", {"setting: name", "a/b", "letters, digits"});
  ExpectRefused("setting { set: \"learner.utd=1\" }", {"setting: name", "allowed"});
  ExpectRefused("random { draws: 2 }", {"random", "1 or more"});
  ExpectRefused("random { field { path: \"po_mpc.prior\" low: 0 high: 1 } }",
                {"random, po_mpc.prior", "is no number"});
  ExpectRefused("random { field { path: \"learner.tau\" low: 0 high: 1 scale: LOG_UNIFORM } }",
                {"random, learner.tau", "above 0"});
  ExpectRefused("random { field { path: \"learner.tau\" low: 1 high: 0 } }", {"low <= high"});
  ExpectRefused("task: \"cartpole-swingup\" task: \"cartpole-swingup\"", {"task", "twice"});
  ExpectRefused("task: \"external\"", {"external", "pompc tasks"});
  ExpectRefused("budget { rows: 1 frames: 2 }", {"budget", "2 of frames, rows and minutes"});
  ExpectRefused("budget { }", {"budget", "allowed: one"});
  ExpectRefused("retries: 1000", {"retries", "0 to 100"});
  ExpectRefused("seeds: \"1-2\" halving { seeds: 1 seeds: 3 }", {"halving", "from 1 to the 2"});
  ExpectRefused("seeds: \"1-2\" halving { seeds: 1 seeds: 2 pin: \"other\" }",
                {"halving: pin: \"other\"", "allowed: base"});
  ExpectRefused("score { task: \"reacher-easy\" one: 5 }", {"score", "cartpole-swingup"});
  ExpectRefused("score { task: \"cartpole-swingup\" one: 0 }", {"score", "differ"});
  // A rule between fields, which only a whole config breaks.
  ExpectRefused("base { set: \"stop.max_rows=10\" }", {"setting \"base\"", "stop.max_rows: 10"});
  ExpectRefused("seeds: \"1-10001\"", {"at most 10000"});
  ExpectRefused(
      "seeds: \"1-5000\" axis { field: \"learner.utd\" value: \"1\" value: \"2\" "
      "value: \"3\" }",
      {"15000 trials", "at most 10000"});
  EXPECT_EQ(Parse("task: \"no-such\"").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Parse("base { preset: \"no-such\" }").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Parse("base { file: \"a.textproto\" }").status().message()),
              HasSubstr("/nowhere/a.textproto"));
  EXPECT_THAT(std::string(ParseSweep("name: \"a b\"", "f", "").status().message()),
              HasSubstr("name: \"a b\"; allowed"));
}

TEST(SweepPlanTest, SeedsAreDecimalAndEachStandsOnce) {
  for (const char* text : {"", "1,", "3-", "-3", "1 ", "010", "+1", "a", "5-1", "1-3,2"}) {
    EXPECT_EQ(ParseSeeds(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_THAT(*ParseSeeds("18446744073709551615"), ElementsAre(18446744073709551615u));
  EXPECT_THAT(*ParseSeeds("18446744073709551614-18446744073709551615"),
              ElementsAre(18446744073709551614u, 18446744073709551615u));
}

TEST(SweepPlanTest, FilesOfThisRepositoryAreRead) {
  for (const char* file : {"presets/sweeps/lambda.textproto", "bench/learning/family.textproto",
                           "bench/learning/defaults.textproto"}) {
    const auto plan = ReadSweepFile(absl::StrCat(POMPC_SOURCE_DIR, "/", file));
    ASSERT_TRUE(plan.ok()) << plan.status();
    for (const Trial& trial : plan->trials) {
      EXPECT_EQ(trial.config.schedule(), proto::RunConfig::LOCKSTEP);
      EXPECT_EQ(trial.config.stop().return_mean(), 0);
    }
  }
}

// Five settings, two tasks, rounds of two, three and five seeds.
class HalvingTest : public ::testing::Test {
 protected:
  HalvingTest()
      : plan_(PlanOf(R"(axis { field: "learner.utd" value: "1" value: "2" value: "3" value: "4"
                               value: "5" }
                        task: "cartpole-swingup" task: "reacher-easy" seeds: "11-15"
                        halving { seeds: 2 seeds: 3 seeds: 5 })")),
        outcomes_(plan_.trials.size()) {}

  // Finishes what is wanted: the setting's place is its score.
  void FinishWanted() {
    const Schedule schedule = MakeSchedule(plan_, outcomes_);
    for (size_t i = 0; i < outcomes_.size(); ++i) {
      if (schedule.needs[i] == TrialNeed::kWanted && !outcomes_[i].failed) {
        outcomes_[i].score = static_cast<double>(plan_.trials[i].setting);
      }
    }
  }

  size_t Count(TrialNeed need) const {
    const Schedule schedule = MakeSchedule(plan_, outcomes_);
    return static_cast<size_t>(std::count(schedule.needs.begin(), schedule.needs.end(), need));
  }

  const SweepPlan plan_;
  std::vector<TrialOutcome> outcomes_;
};

TEST_F(HalvingTest, GivesMoreSeedsToTheBetterHalfAndTheFirst) {
  EXPECT_EQ(Count(TrialNeed::kWanted), 20u);
  EXPECT_EQ(Count(TrialNeed::kLater), 30u);
  FinishWanted();
  // Three of five and the first; then two of four and the first.
  EXPECT_EQ(Count(TrialNeed::kWanted), 20u + 8u);
  EXPECT_EQ(Count(TrialNeed::kDropped), 6u);
  FinishWanted();
  EXPECT_EQ(Count(TrialNeed::kWanted), 28u + 12u);
  FinishWanted();
  EXPECT_THAT(MakeSchedule(plan_, outcomes_).decisions,
              ElementsAre("after 2 seeds 4 of 5 settings go on: utd=1, utd=3, utd=4, utd=5",
                          "after 3 seeds 3 of 4 settings go on: utd=1, utd=4, utd=5"));
  EXPECT_EQ(Count(TrialNeed::kLater), 0u);
  EXPECT_EQ(MostTrials(plan_), 40u);
}

TEST(HalvingPinTest, PinnedSettingsGoOnWhateverTheirRankIs) {
  const SweepPlan plan = PlanOf(R"(axis { field: "learner.utd" value: "1" value: "2" value: "3"
                                          value: "4" }
                                   task: "cartpole-swingup" seeds: "1-2"
                                   halving { seeds: 1 seeds: 2 keep: 0.25 pin: "utd=2" })");
  std::vector<TrialOutcome> outcomes(plan.trials.size());
  for (size_t i = 0; i < 4; ++i) outcomes[i].score = static_cast<double>(i);
  EXPECT_THAT(MakeSchedule(plan, outcomes).decisions,
              ElementsAre("after 1 seeds 3 of 4 settings go on: utd=1, utd=2, utd=4"));
  EXPECT_EQ(MostTrials(plan), 4u + 3u);
}

TEST_F(HalvingTest, ARoundEndsWhenAllItsTrialsHave) {
  FinishWanted();
  outcomes_[3].score.reset();
  EXPECT_EQ(Count(TrialNeed::kWanted), 20u);
}

TEST_F(HalvingTest, ASettingWithAFailureRanksLast) {
  // The best one: setting 4 on the second task with the first seed.
  outcomes_[9].failed = true;
  FinishWanted();
  EXPECT_THAT(MakeSchedule(plan_, outcomes_).decisions,
              ElementsAre("after 2 seeds 4 of 5 settings go on: utd=1, utd=2, utd=3, utd=4"));
}

}  // namespace
}  // namespace pompc::cli
