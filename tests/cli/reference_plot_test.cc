#include "cli/report/reference_plot.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::cli {
namespace {

using learner::PublishedCurve;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

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
