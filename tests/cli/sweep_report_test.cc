#include <unistd.h>

#include <cmath>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/sweep/html.h"
#include "cli/sweep/report.h"
#include "cli/sweep/report_tables.h"
#include "cli/sweep/results.h"
#include "common/io/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class SweepResultsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(testing::TempDir(), "/sweep-results-", getpid());
    ASSERT_TRUE(RemoveAll(folder_).ok());
    ASSERT_TRUE(MakeFolders(folder_).ok());
  }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
  }

  std::string folder_;
};

TEST_F(SweepResultsTest, SumsARunUp) {
  // In the order of their rows, 100, 200 and 300, evaluations return 10, 20 and 60.
  Write("evaluations.csv",
        "rows,updates,elapsed_seconds,return_mean\n200,20,0,20\n100,10,0,10\n300,30,0,60\n");
  Write("metrics.csv",
        "update,rows,policy_prior_kl,prior_std\n"
        "10,80,1,\n20,160,2,\n30,240,3,\n40,320,4,\n");
  Write("timings.csv", "update,elapsed_seconds\n10,1\n20,2\n30,3\n40,4\n");
  Trial trial = {.key = {"a", "t", 1}};
  trial.config.mutable_env()->set_action_repeat(4);
  const auto results = SumUp(trial, folder_, 100);
  ASSERT_TRUE(results.ok()) << results.status();
  const TrialResult& result = results->trials[0];
  EXPECT_EQ(result.rows, 320);
  EXPECT_EQ(result.frames, 1280);
  EXPECT_EQ(result.updates, 40);
  EXPECT_EQ(result.return_last, 40);
  EXPECT_EQ(result.return_curve, 30);
  EXPECT_EQ(result.return_best, 60);
  EXPECT_EQ(result.metrics.at("policy_prior_kl"), 3.5);
  EXPECT_EQ(result.metrics.at("max_policy_prior_kl"), 4);
  EXPECT_EQ(result.metrics.count("prior_std"), 0u) << "a setting without a prior";
  ASSERT_EQ(results->curves.size(), 3u);
  EXPECT_EQ(results->curves[1].rows, 200);
  EXPECT_EQ(results->curves[1].frames, 800);
  EXPECT_EQ(results->curves[1].metrics.at("policy_prior_kl"), 2);
  ASSERT_EQ(results->times.size(), 4u);
  EXPECT_EQ(results->times[1].seconds, 2);
  EXPECT_EQ(results->times[3].seconds, 4);
  EXPECT_EQ(results->times[3].peak_memory_mib, 100);
}

TEST_F(SweepResultsTest, ARunWithoutAnEvaluationIsNone) {
  EXPECT_EQ(SumUp({.key = {"a", "t", 1}}, folder_, 1).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(SweepResultsTest, FilesReadBackAndKeepTheOrderOfThePlan) {
  SweepResults results;
  results.trials = {{.key = {"b,\"x\"", "t", 2}, .rows = 10, .flags = "--set a='1 2'"},
                    {.key = {"a", "t", 1}, .rows = 0.1234567, .return_last = NAN}};
  results.trials[1].metrics["policy_std"] = 0.25;
  results.curves = {{{"a", "t", 1}, 5, 20, 7.5, {{"value", 1.5}}}};
  results.times = {{{"a", "t", 1}, 5, 1.25, NAN}};
  ASSERT_TRUE(WriteResults(folder_, results).ok());
  SweepResults read = *ReadResults(folder_);
  ASSERT_EQ(read.trials.size(), 2u);
  EXPECT_EQ(read.trials[0].key, results.trials[0].key);
  EXPECT_EQ(read.trials[0].flags, "--set a='1 2'");
  EXPECT_EQ(read.trials[1].rows, 0.123457);
  EXPECT_TRUE(std::isnan(read.trials[1].return_last));
  EXPECT_EQ(read.trials[1].metrics, results.trials[1].metrics);
  EXPECT_EQ(read.curves[0].metrics, results.curves[0].metrics);
  EXPECT_EQ(read.times[0].seconds, 1.25);
  SweepPlan plan;
  plan.trials = {{.key = {"a", "t", 1}}, {.key = {"b", "t", 1}}};
  read.SortBy(plan);
  EXPECT_EQ(read.trials[0].key.setting, "a");
  SweepResults other;
  other.trials = {{.key = {"a", "t", 1}, .rows = 9}};
  read.Replace(other);
  EXPECT_EQ(read.Find({"a", "t", 1})->rows, 9);
  EXPECT_TRUE(read.curves.empty()) << "those of the result that was replaced";
}

TEST_F(SweepResultsTest, ACurveWithoutAResultIsLeftOut) {
  SweepResults results;
  results.trials = {{.key = {"a", "t", 1}}};
  results.curves = {{{"a", "t", 1}}, {{"b", "t", 1}}};
  ASSERT_TRUE(WriteResults(folder_, results).ok());
  EXPECT_EQ(ReadResults(folder_)->curves.size(), 1u);
  Write("results.csv", "setting,task,seed\na,t\n");
  const absl::Status status = ReadResults(folder_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("results.csv:2: 2 cells"));
}

TEST_F(SweepResultsTest, ReadsTheTablesOfEarlierSweeps) {
  for (const char* name : {"family.csv", "family-epyc.csv"}) {
    const auto trials = ReadTrialResults(absl::StrCat(POMPC_SOURCE_DIR, "/docs/results/", name));
    ASSERT_TRUE(trials.ok()) << trials.status();
    EXPECT_GE(trials->size(), 13u);
    EXPECT_EQ(trials->front().key.task, "all");
    EXPECT_GT(trials->front().return_curve, 0);
    EXPECT_GT(trials->front().metrics.at("policy_std"), 0);
  }
}

// Two settings on two tasks with three seeds: `b` is better by 100 on the first task.
ReportData Data() {
  ReportData data = {.name = "x", .settings = {"a", "b", "c"}, .tasks = {"one", "two"}};
  data.scores = {{0, 1000}, {0, 100}};
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (const char* name : {"a", "b"}) {
      const std::string setting = name;
      const double base = 100.0 * static_cast<double>(seed) + (setting == "b" ? 100 : 0);
      TrialResult one = {.key = {setting, "one", seed}, .return_curve = base};
      TrialResult two = {.key = {setting, "two", seed}, .return_curve = 50};
      for (const TrialResult& trial : {one, two}) {
        data.results.trials.push_back(trial);
        for (const double part : {0.5, 1.5}) {
          data.results.curves.push_back(
              {trial.key, 100 * part, 200 * part, trial.return_curve * part, {}});
          data.results.times.push_back({trial.key, 100 * part, 60 * part, NAN});
        }
      }
    }
  }
  // A setting that is not finished.
  data.results.trials.push_back({.key = {"c", "one", 1}, .return_curve = 7});
  return data;
}

TEST(SweepReportTest, ScoresAndReturnsOfSettings) {
  const ReportData data = Data();
  EXPECT_THAT(RunsOf(data, "b"),
              ElementsAre(ElementsAre(0.2, 0.3, 0.4), ElementsAre(0.5, 0.5, 0.5)));
  EXPECT_THAT(RunsOf(data, "a", false)[0], ElementsAre(100, 200, 300));
  EXPECT_FALSE(IsComplete(RunsOf(data, "c")));
}

TEST(SweepReportTest, TablesHaveTheNumbers) {
  const SweepReport report = MakeReport(Data(), {.repetitions = 2000});
  const std::string& text = report.markdown;
  EXPECT_THAT(text, HasSubstr("| a | 6 | 0.350 ["));
  // Its difference to the first is the same for each seed: there is no interval.
  EXPECT_THAT(text, HasSubstr("| 0.050 |"));
  EXPECT_THAT(text, HasSubstr("| c | 1 | – | – | – | – | – | – |"));
  EXPECT_THAT(text, HasSubstr("| b | 300 [200, 400] (3) | 50 (3) |"));
  // 500 is reached by two runs of b, 450 and 600 at row 150; none reaches 800.
  EXPECT_THAT(text, HasSubstr("| b | one | 500 | 1 of 3 | 150 | 300 | 1.5 |"));
  EXPECT_THAT(text, HasSubstr("| b | one | 800 | 0 of 3 | – | – | – |"));
  EXPECT_THAT(text, HasSubstr("returns of 0 and 1000 on one, 0 and 100 on two"));
}

TEST(SweepReportTest, FilesHaveTheNumbers) {
  const SweepReport report = MakeReport(Data(), {.thresholds = {50}, .repetitions = 2000});
  EXPECT_THAT(report.files.at("summary.csv"), HasSubstr("a,6,mean,0.35,"));
  EXPECT_THAT(report.files.at("returns.csv"), HasSubstr("b,one,3,CURVE,300,200,400"));
  // P(b > a): 6 of 9 and half of 2 on one task, ties on the other.
  EXPECT_THAT(report.files.at("improvement.csv"), HasSubstr("b,a,0.638888889,"));
  EXPECT_THAT(report.files.at("thresholds.csv"), HasSubstr("a,one,50,3,3,50,100"));
  EXPECT_THAT(report.files.at("minutes.csv"), HasSubstr("a,one,50,0.5"));
  EXPECT_THAT(report.files.at("profile.csv"), HasSubstr("b,0.5,0,0,0"));
  for (const char* name : {"curves-one.svg", "curves-two.svg", "scores.svg", "profile.svg"}) {
    EXPECT_THAT(report.files.at(name), HasSubstr("<polyline")) << name;
  }
  // The page needs nothing from elsewhere.
  EXPECT_THAT(report.html, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(report.html, Not(HasSubstr("src=")));
  EXPECT_THAT(report.html, Not(HasSubstr("href=")));
  EXPECT_EQ(MakeReport(Data(), {.thresholds = {50}, .repetitions = 2000}).html, report.html);
}

TEST(SweepReportTest, PublishedCurvesAreDrawnWhereTheTaskHasThem) {
  ReportData data = Data();
  data.tasks[0] = "walker-run";
  for (TrialResult& trial : data.results.trials) {
    if (trial.key.task == "one") trial.key.task = "walker-run";
  }
  for (CurvePoint& point : data.results.curves) {
    if (point.key.task == "one") point.key.task = "walker-run";
    point.frames *= 2000;
  }
  const std::string dir = std::string(POMPC_SOURCE_DIR) + "/bench/learning/published";
  const SweepReport report = MakeReport(data, {.repetitions = 100, .published_dir = dir});
  EXPECT_THAT(report.files.at("curves-walker-run.svg"), HasSubstr("TD-MPC2"));
  EXPECT_THAT(report.files.at("curves-two.svg"), Not(HasSubstr("TD-MPC2")));
}

// Two runs that end in 500 and 700 at 100,000 frames; TD-MPC2 published 519.1 there.
TEST(SweepReportTest, ReturnsStandBesidePublishedOnesAtEqualFrames) {
  ReportData data;
  data.settings = {"mine"};
  data.tasks = {"cheetah-run"};
  data.scores.resize(1);
  for (const uint64_t seed : {1, 2}) {
    const TrialKey key = {"mine", "cheetah-run", seed};
    data.results.trials.push_back({.key = key, .return_last = 1});
    data.results.curves.push_back({key, 25'000, 50'000, 10, {}});
    data.results.curves.push_back({key, 50'000, 100'000, seed == 1 ? 500.0 : 700.0, {}});
  }
  // One that went a little further does not leave the other one out.
  data.results.curves.push_back({{"mine", "cheetah-run", 2}, 50'002, 100'004, 900, {}});
  const std::string dir = std::string(POMPC_SOURCE_DIR) + "/bench/learning/published";
  const SweepReport report = MakeReport(data, {.repetitions = 100, .published_dir = dir});
  EXPECT_THAT(report.markdown, HasSubstr("Returns at 100000 frames"));
  EXPECT_THAT(report.markdown, HasSubstr("| mine | 600 | 600 |"));
  EXPECT_THAT(report.markdown, HasSubstr("| TD-MPC2 | 519 | 519 |"));
  EXPECT_THAT(MakeReport(data, {.repetitions = 100}).markdown, Not(HasSubstr("TD-MPC2")));
}

TEST(SweepHtmlTest, TextIsEscaped) {
  const ReportTable table = {.title = "<t>", .note = "", .rows = {{"a|b"}, {"<script>"}}};
  EXPECT_THAT(HtmlTable(table), HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(MarkdownTable(table), HasSubstr("a\\|b"));
  EXPECT_THAT(Sparkline({1, NAN, 1e300, 2}), Not(HasSubstr("nan")));
  EXPECT_THAT(HtmlPage("<x>", "", 5), HasSubstr("content=\"5\""));
}

}  // namespace
}  // namespace pompc::cli
