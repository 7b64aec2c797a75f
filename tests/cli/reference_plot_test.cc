#include "cli/report/reference_plot.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "common/config/task_specs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kHeader[] = "method,task,frames,return_mean,seeds\n";
constexpr char kTable[] =
    "A,walker-run,0,10,3\n"
    "A,walker-run,1000,110,2\n"
    "A,walker-run,3000,210.5,3\n"
    "B,fish-swim,0,1,\n"
    "B,fish-swim,1000,2,\n"
    "C d (1),walker-run,0,0,\n"
    "C d (1),walker-run,1000,500,5\n";

class PublishedCurvesTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<PublishedCurve>> Read(const std::string& rows,
                                                   const std::vector<std::string>& methods = {}) {
    const std::string folder = testing::TempDir() + "/published";
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/dmc.csv") << kHeader << rows;
    return ReadPublishedCurves(folder, "walker-run", methods);
  }
};

TEST_F(PublishedCurvesTest, HoldWhatTheFileSays) {
  const auto curves = Read(kTable);
  ASSERT_TRUE(curves.ok()) << curves.status();
  ASSERT_EQ(curves->size(), 2u);
  EXPECT_EQ((*curves)[0].method, "A");
  EXPECT_THAT((*curves)[0].frames, ElementsAre(0, 1000, 3000));
  EXPECT_THAT((*curves)[0].return_mean, ElementsAre(10, 110, 210.5));
  EXPECT_THAT((*curves)[0].seeds, ElementsAre(3, 2, 3));
  EXPECT_EQ((*curves)[1].method, "C d (1)");
  EXPECT_THAT((*curves)[1].seeds, ElementsAre(std::nullopt, 5));
}

TEST_F(PublishedCurvesTest, AMethodKeepsItsPlaceWhateverIsChosen) {
  const auto chosen = Read(kTable, {"C d (1)"});
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  ASSERT_EQ(chosen->size(), 1u);
  EXPECT_EQ(chosen->front().index, 2u);
}

TEST_F(PublishedCurvesTest, ErrorsNameWhatIsAllowed) {
  const absl::Status method = Read(kTable, {"A", "B"}).status();
  EXPECT_EQ(method.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(method.message()), AllOf(HasSubstr("\"B\""), HasSubstr("A, C d (1)")));
  const absl::Status task = Read("B,fish-swim,0,1,\nB,cup-catch,0,1,\n").status();
  EXPECT_EQ(task.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(task.message()),
              AllOf(HasSubstr("\"walker-run\""), HasSubstr("fish-swim, cup-catch")));
  EXPECT_EQ(ReadPublishedCurves("/nowhere", "walker-run").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(PublishedCurvesTest, RowsThatCannotBeDrawnAreNamed) {
  for (const char* row : {"A,walker-run,x,1,3\n", "A,walker-run,1,nan,3\n", "A,walker-run,-1,1,3\n",
                          "A,walker-run,1,1,0\n", "A,walker-run,1,1,x\n", "A,walker-run,0,1,3\n"}) {
    const absl::Status status = Read(std::string("A,walker-run,0,1,3\n") + row).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << row << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("dmc.csv:3:")) << row;
  }
  EXPECT_EQ(Read("A,walker-run,0\n").status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(PublishedCurvesTest, ReturnsAreInterpolatedWithinTheCurveAlone) {
  const std::vector<PublishedCurve> curves = *Read(kTable);
  const auto at = [&](size_t i, double frames) { return ReturnAt(curves[i], frames); };
  EXPECT_DOUBLE_EQ(at(0, 0)->return_mean, 10);
  EXPECT_DOUBLE_EQ(at(0, 250)->return_mean, 35);
  EXPECT_DOUBLE_EQ(at(0, 1000)->return_mean, 110);
  EXPECT_DOUBLE_EQ(at(0, 2000)->return_mean, 160.25);
  EXPECT_DOUBLE_EQ(at(0, 3000)->return_mean, 210.5);
  EXPECT_FALSE(at(0, 3001).has_value());
  EXPECT_FALSE(at(0, -1).has_value());
  EXPECT_EQ(at(0, 3000)->seeds, 3);
  EXPECT_EQ(at(0, 2000)->seeds, 2);
  EXPECT_EQ(at(1, 500)->seeds, std::nullopt);
}

TEST_F(PublishedCurvesTest, AreCutBetweenTheirPoints) {
  const std::vector<PublishedCurve> curves = *Read(kTable);
  EXPECT_THAT(UpTo(curves[0], 2000).frames, ElementsAre(0, 1000, 2000));
  EXPECT_THAT(UpTo(curves[0], 2000).return_mean, ElementsAre(10, 110, 160.25));
  EXPECT_THAT(UpTo(curves[0], 1000).frames, ElementsAre(0, 1000));
  EXPECT_THAT(UpTo(curves[0], INFINITY).frames, ElementsAre(0, 1000, 3000));
  EXPECT_THAT(UpTo(curves[0], -1).frames, IsEmpty());
}

TEST(PublishedFileTest, HasEveryMethodOnTasksOfPompc) {
  std::map<std::string, int> tasks_of;
  for (const config::TaskSpec& task : config::TaskSpecs()) {
    const auto curves = ReadPublishedCurves(DefaultPublishedDir(), task.task);
    if (!curves.ok()) {
      EXPECT_EQ(curves.status().code(), absl::StatusCode::kNotFound) << curves.status();
      continue;
    }
    for (const PublishedCurve& curve : *curves) {
      ++tasks_of[curve.method];
      EXPECT_LE(curve.frames.front(), 1e5) << curve.method << " " << task.task;
      EXPECT_GE(curve.frames.back(), 1e6) << curve.method << " " << task.task;
    }
  }
  EXPECT_EQ(tasks_of.size(), 7u);
  for (const auto& [method, tasks] : tasks_of) EXPECT_EQ(tasks, 28) << method;
}

// 300 decisions of two frames each.
RunCurve SomeRunCurve() {
  RunCurve run;
  run.config.mutable_env()->set_task("walker-run");
  run.config.mutable_env()->set_action_repeat(2);
  run.training = {.name = "training", .color = "#111111", .x = {100, 300}, .y = {5, 50}};
  run.evaluations = {.name = "evaluations",
                     .color = "#222222",
                     .x = {100, 250},
                     .y = {6, 71.25},
                     .half_width = {1, 2.5},
                     .markers = true};
  return run;
}

PublishedCurve SomeCurve() {
  return {
      .method = "A", .frames = {0, 400, 1000}, .return_mean = {0, 100, 160}, .seeds = {3, 3, 2}};
}

TEST(ReferencePlotTest, StandsOverFramesWithDecisionsAsTheSecondAxis) {
  RunCurve run = SomeRunCurve();
  run.options = {.width = 696, .height = 674};
  const std::string svg = DrawReferencePlot(run, {SomeCurve()}, 600).svg;
  // The plot lies between 72 and 672 from the left, one point for each frame, and between 114 and
  // 614 from the top, ten points for three returns. 250 decisions are 500 frames.
  EXPECT_THAT(svg, HasSubstr("<circle cx=\"272.0\" cy=\"594.0\""));
  EXPECT_THAT(svg, HasSubstr("<circle cx=\"572.0\" cy=\"376.5\""));
  // The published curve is cut at 600 frames, where it has 120.
  EXPECT_THAT(svg, HasSubstr("<polyline points=\"72.0,614.0 472.0,280.7 672.0,214.0 \""));
  // 300 decisions stand at the right end above, 600 frames below.
  EXPECT_THAT(svg, HasSubstr("<text x=\"672.0\" y=\"105.0\" text-anchor=\"middle\">300</text>"));
  EXPECT_THAT(svg, HasSubstr("<text x=\"672.0\" y=\"632.0\" text-anchor=\"middle\">600</text>"));
  for (const char* text : {"frames", "decisions of this run (rows), 2 frames each", ">A<"}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
}

TEST(ReferencePlotTest, TableComparesAtTheLastEvaluation) {
  EXPECT_EQ(DrawReferencePlot(SomeRunCurve(), {SomeCurve()}, {}).table,
            "Returns at 500 frames (250 decisions of the run), published ones interpolated:\n"
            "  method                         return  seeds  published up to\n"
            "  this run, last evaluation  71.2 ± 2.5      1\n"
            "  A                               110.0      2            1,000\n");
}

TEST(ReferencePlotTest, TableSaysWhatIsNotThere) {
  RunCurve run = SomeRunCurve();
  run.evaluations.x.clear();
  PublishedCurve curve = SomeCurve();
  curve.seeds = {{}, {}, {}};
  std::string table = DrawReferencePlot(run, {curve}, {}).table;
  EXPECT_THAT(table, AllOf(HasSubstr("600 frames"), HasSubstr("this run, training"),
                           HasSubstr("120.0      ?")));
  run.training.x = {600};
  run.training.y = {7};
  table = DrawReferencePlot(run, {curve}, {}).table;
  EXPECT_THAT(table, HasSubstr("A                        ?      ?            1,000"));
  run.training.y = {NAN};
  EXPECT_EQ(DrawReferencePlot(run, {curve}, {}).table, "The run has no return yet.\n");
}

TEST(ReferencePlotTest, EndsWithTheRunUnlessToldOtherwise) {
  const auto picture = [](const RunCurve& run, std::optional<uint64_t> frames) {
    return DrawReferencePlot(run, {SomeCurve()}, frames).svg;
  };
  // The run ends at 600 frames.
  EXPECT_THAT(picture(SomeRunCurve(), {}), AllOf(HasSubstr(">600<"), Not(HasSubstr(">700<"))));
  EXPECT_THAT(picture(SomeRunCurve(), 1000), HasSubstr(">1000<"));
  RunCurve fresh = SomeRunCurve();
  fresh.training.x.clear();
  fresh.evaluations.x.clear();
  EXPECT_THAT(picture(fresh, {}), HasSubstr(">1000<"));
}

TEST(ReferencePlotTest, MethodsDifferInColourAndDashes) {
  std::vector<PublishedCurve> curves(7, SomeCurve());
  for (size_t i = 0; i < curves.size(); ++i) curves[i].index = i;
  const std::string svg = DrawReferencePlot(SomeRunCurve(), curves, {}).svg;
  std::vector<std::string> looks;
  for (size_t at = svg.find("<polyline"); at != std::string::npos;
       at = svg.find("<polyline", at + 1)) {
    const size_t color = svg.find("stroke=", at);
    looks.push_back(svg.substr(color, svg.find("/>", color) - color));
  }
  EXPECT_EQ(looks.size(), 9u);
  std::sort(looks.begin(), looks.end());
  EXPECT_EQ(std::adjacent_find(looks.begin(), looks.end()), looks.end());
  // The run's own lines alone are solid.
  EXPECT_EQ(std::count_if(looks.begin(), looks.end(),
                          [](const std::string& look) {
                            return look.find("dasharray") == std::string::npos;
                          }),
            2);
}

}  // namespace
}  // namespace pompc::cli
