#include <cmath>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "cli/report/csv.h"
#include "cli/report/progress_display.h"
#include "cli/report/run_report.h"
#include "common/values/text_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "run/control/status_report.h"

namespace pompc::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(FormatTest, CountsSecondsAndMeans) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(12345678), "12,345,678");
  EXPECT_EQ(FormatNumber(NAN), "?");
  EXPECT_EQ(FormatSeconds(0.4), "0:00");
  EXPECT_EQ(FormatSeconds(62), "1:02");
  EXPECT_EQ(FormatSeconds(3723.9), "1:02:03");
  EXPECT_EQ(FormatSeconds(NAN), "?");
  EXPECT_EQ(FormatMean(812.34, 20.06), "812.3 ± 20.1");
  EXPECT_EQ(FormatMean(812.34, NAN), "812.3");
}

TEST(FormatTest, ColumnsOfNumbersStandRightAndTheOthersLeft) {
  EXPECT_EQ(FormatTable({{"task", "size"}, {"a", "5"}, {"long name", "12345"}}),
            "  task        size\n"
            "  a              5\n"
            "  long name  12345\n");
  EXPECT_EQ(FormatTable({{"±", "x"}, {"ab", "y"}}), "  ±   x\n  ab  y\n");
  // One word makes a column text, and an address is no number though it begins with a digit.
  EXPECT_EQ(FormatTable({{"behind", "address", "return"},
                         {"1:02", "127.0.0.1:70", "-1.5 ± 0.2"},
                         {"no", "10.0.0.1:7", "812.3"}}),
            "  behind  address           return\n"
            "  1:02    127.0.0.1:70  -1.5 ± 0.2\n"
            "  no      10.0.0.1:7         812.3\n");
  EXPECT_EQ(FormatTable({{"rows", "return"}}), "  rows  return\n") << "headings alone";
}

TEST(FormatTest, FieldsStandLeftWhateverTheyHold) {
  EXPECT_EQ(FormatFields({{"rows", "5"}, {"updates", "12,345"}}),
            "  rows     5\n  updates  12,345\n");
}

class CsvTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = testing::TempDir() + "/table.csv";
    std::ofstream(path) << text;
    return path;
  }
};

TEST_F(CsvTest, ReadsColumnsByName) {
  const auto table = ReadCsv(Write("rows,return_mean,version\n10,1.5,1.1\n20,nan,x\n"));
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->column("rows"), ElementsAre(10, 20));
  EXPECT_DOUBLE_EQ(table->cell("return_mean", 0), 1.5);
  EXPECT_TRUE(std::isnan(table->cell("return_mean", 1)));
  EXPECT_TRUE(std::isnan(table->cell("version", 1)));
  EXPECT_TRUE(std::isnan(table->cell("rows", 2)));
  EXPECT_THAT(table->column("nothing"), IsEmpty());
}

TEST_F(CsvTest, LeavesOutALineThatIsBeingWritten) {
  EXPECT_THAT(ReadCsv(Write("rows\n1\n2"))->column("rows"), ElementsAre(1));
  EXPECT_THAT(ReadCsv(Write(""))->columns, IsEmpty());
}

TEST_F(CsvTest, ReadsWhatASpreadsheetSaved) {
  const auto table = ReadCsv(Write("\xef\xbb\xbfrows,return_mean\r\n10,1.5\r\n20,2.5\r\n"));
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->column("rows"), ElementsAre(10, 20));
  EXPECT_THAT(table->column("return_mean"), ElementsAre(1.5, 2.5));
}

TEST_F(CsvTest, ErrorsNameFileAndLine) {
  const absl::Status ragged = ReadCsv(Write("a,b\n1,2\n3\n")).status();
  EXPECT_EQ(ragged.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ragged.message()), HasSubstr("table.csv:3: 1 cells; the header has 2"));
  EXPECT_EQ(ReadCsv("/nowhere/x.csv").status().code(), absl::StatusCode::kNotFound);
}

TEST(ProgressDisplayTest, RewritesOneLineOfATerminal) {
  std::ostringstream out;
  ProgressDisplay display({.terminal = true, .width = 10}, &out);
  display.Show("first state, too long");
  display.Show("±second");
  display.Finish();
  EXPECT_EQ(out.str(), "\r\x1b[Kfirst sta\r\x1b[K±second\n");
}

TEST(ProgressDisplayTest, AddsLinesNowAndThenElsewhere) {
  std::ostringstream out;
  FakeClock clock;
  ProgressDisplay display({.line_every = absl::Seconds(5), .clock = &clock}, &out);
  display.Show("a");
  clock.Advance(absl::Seconds(4));
  display.Show("b");
  clock.Advance(absl::Seconds(1));
  display.Show("c");
  display.Say("d");
  display.Finish();
  EXPECT_EQ(out.str(), "a\nc\nd\n");
}

proto::GetRunReply SomeRun() {
  proto::GetRunReply run;
  run.set_run_id("run-7");
  run.mutable_config()->mutable_env()->set_task("cartpole-swingup");
  proto::RunStatus& status = *run.mutable_status();
  status.set_phase(proto::TRAINING);
  status.set_rows(12345);
  status.set_updates(6172);
  status.set_episodes(24);
  status.set_training_return_mean(512.34);
  status.set_rows_per_second(52.3);
  status.set_updates_per_second(26.1);
  status.set_elapsed_seconds(192);
  status.set_remaining_seconds(61);
  status.set_waiting("updates wait for rows");
  for (double mean : {650.0, 601.2}) {
    proto::EvaluationResult& result = *status.add_evaluations();
    result.set_rows(1000);
    result.set_return_mean(mean);
    result.set_return_ci95(20);
    result.set_episodes(3);
  }
  status.set_best_evaluation(0);
  proto::PeerStatus& peer = *status.add_peers();
  peer.set_role(proto::ACTOR);
  peer.set_name("host:77");
  proto::ShardStatus& shard = *status.add_shards();
  shard.set_address("127.0.0.1:9");
  shard.set_reachable(false);
  shard.set_problem("connection refused");
  shard.set_unreachable_seconds(75);
  peer.set_waiting("no plan: planner p:1");
  proto::EndedPeer& ended = *status.add_ended_peers();
  ended.set_role(proto::EVALUATOR);
  ended.set_name("host:78");
  ended.set_seconds_ago(12);
  ended.set_how("ValueError: wrong action");
  proto::PlannerStatus& planner = *status.add_planners();
  planner.set_name("host:79");
  planner.set_peer("ipv4:1.2.3.4:5");
  planner.set_connected(true);
  planner.mutable_version()->set_incarnation(1);
  planner.mutable_version()->set_number(40);
  planner.set_behind_seconds(31);
  proto::PlannerStatus& lost = *status.add_planners();
  lost.set_name("host:80");
  lost.set_since_seconds(8);
  status.set_checkpoint_error("No space left on device");
  status.set_checkpoint_failing_seconds(70);
  return run;
}

TEST(RunReportTest, ProgressLineSaysWhatMatters) {
  EXPECT_EQ(run::ProgressLine(SomeRun().status()),
            "TRAINING  12,345 rows, 6,172 updates, 24 episodes | training return 512.3 | "
            "evaluation 601.2 ± 20.0, best 650.0 | 52 rows/s, 26 updates/s | 3:12, at most 1:01 "
            "left | updates wait for rows");
}

TEST(RunReportTest, ProgressLineOfAFreshRunLeavesOutWhatIsNotThere) {
  proto::RunStatus status;
  status.set_phase(proto::SEED);
  EXPECT_EQ(run::ProgressLine(status),
            "SEED  0 rows, 0 updates, 0 episodes | 0 rows/s, 0 updates/s | 0:00");
}

TEST(RunReportTest, AProgressLineTellsWhoWaits) {
  proto::RunStatus status = SomeRun().status();
  EXPECT_EQ(run::WaitingOf(run::ProgressLine(status)), "updates wait for rows");
  status.set_waiting("a | b");
  EXPECT_EQ(run::WaitingOf(run::ProgressLine(status)), "a | b");
  status.clear_waiting();
  EXPECT_EQ(run::WaitingOf(run::ProgressLine(status)), "");
  proto::RunStatus fresh;
  fresh.set_phase(proto::SEED);
  EXPECT_EQ(run::WaitingOf(run::ProgressLine(fresh)), "");
  fresh.set_waiting("no planner is connected");
  EXPECT_EQ(run::WaitingOf(run::ProgressLine(fresh)), "no planner is connected");
  for (const char* other : {"", "run directory runs/a, status page http://127.0.0.1:1/", "TRAINING",
                            "TRAINING  12 rows | 3", "2026 W pompc: a | b | c | d"}) {
    EXPECT_EQ(run::WaitingOf(other), std::nullopt) << other;
  }
}

// The status may come from a program of another version.
TEST(RunReportTest, ABestEvaluationThatIsNotThereIsNone) {
  proto::GetRunReply run = SomeRun();
  for (const uint32_t best : {uint32_t(run.status().evaluations_size()), 4294967295u}) {
    run.mutable_status()->set_best_evaluation(best);
    EXPECT_EQ(run::BestEvaluation(run.status()), nullptr);
    EXPECT_THAT(RunReport(run), HasSubstr("650.0 ± 20.0"));
  }
}

TEST(RunReportTest, ReportShowsEvaluationsPeersAndShards) {
  const std::string report = RunReport(SomeRun());
  for (const char* text : {"run-7", "cartpole-swingup", "updates wait for rows", "host:77",
                           "127.0.0.1:9", "650.0 ± 20.0", "best"}) {
    EXPECT_THAT(report, HasSubstr(text));
  }
}

TEST(RunReportTest, ReportShowsWhatIsOutOfOrder) {
  const std::string report = RunReport(SomeRun());
  for (const char* text :
       {"unreachable for 1:15: connection refused", "no plan: planner p:1",
        "0:12 ago  ValueError: wrong action", "ipv4:1.2.3.4:5", "connected for 0:00", "1.40",
        "0:31", "lost 0:08 ago", "none could be written for 1:10: No space left on device"}) {
    EXPECT_THAT(report, HasSubstr(text));
  }
  EXPECT_THAT(RunReport({}), HasSubstr("none is connected"));
}

// A checkpoint of the run, with its return.
rundir::ChosenCheckpoint Chosen(std::string folder, std::optional<double> return_mean) {
  rundir::ChosenCheckpoint chosen;
  chosen.checkpoint.folder = std::move(folder);
  chosen.checkpoint.return_mean = return_mean;
  return chosen;
}

TEST(RunReportTest, SummaryNamesTheBestEvaluation) {
  const auto none = absl::NotFoundError("there is no checkpoint");
  EXPECT_THAT(RunSummary(SomeRun(), none, none), HasSubstr("return 650.0 ± 20.0 over 3 episodes"));
  EXPECT_THAT(RunSummary({}, none, none), HasSubstr("no evaluation was made"));
}

TEST(RunReportTest, SummaryNamesTheCheckpointsThatThereAre) {
  rundir::ChosenCheckpoint best = Chosen("c/update-000000060", 247.1);
  best.passed_over = {"c/update-000000090 is damaged"};
  const std::string summary = RunSummary(SomeRun(), best, Chosen("c/update-000000100", {}));
  for (const char* text : {"c/update-000000060, return 247.1", "c/update-000000090 is damaged",
                           "c/update-000000100\n"}) {
    EXPECT_THAT(summary, HasSubstr(text));
  }
  EXPECT_THAT(RunSummary(SomeRun(), absl::NotFoundError("all are damaged"), best),
              HasSubstr("none: all are damaged"));
}

TEST(RunReportTest, SummaryTellsAGoalFromALimit) {
  proto::GetRunReply run = SomeRun();
  run.mutable_status()->set_phase(proto::FINISHED);
  run.mutable_status()->set_over_reason("all 2000 rows are stored");
  const auto none = absl::NotFoundError("there is no checkpoint");
  EXPECT_THAT(RunSummary(run, none, none), HasSubstr("FINISHED: all 2000 rows are stored"));
}

}  // namespace
}  // namespace pompc::cli
