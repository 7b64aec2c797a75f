#include "cli/report/line_chart.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

int Count(const std::string& text, const std::string& what) {
  int count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(RoundTicksTest, AreRoundAndCoverTheRange) {
  EXPECT_THAT(RoundTicks(0, 1000, 6), ElementsAre(0, 200, 400, 600, 800, 1000));
  EXPECT_THAT(RoundTicks(0, 0.37, 5), ElementsAre(0, 0.1, 0.2, testing::DoubleEq(0.3), 0.4));
  EXPECT_THAT(RoundTicks(-30, 45, 4), ElementsAre(-50, 0, 50));
}

TEST(RoundTicksTest, HoldForAnyRange) {
  for (double low : {-1e6, -3.7, 0.0, 0.1234, 999.0}) {
    for (double span : {0.0, 1e-7, 0.31, 7.0, 1234.5, 9e7}) {
      const std::vector<double> ticks = RoundTicks(low, low + span, 7);
      ASSERT_GE(ticks.size(), 2u) << low << " " << span;
      EXPECT_LE(ticks.size(), 20u) << low << " " << span;
      EXPECT_LE(ticks.front(), low + 1e-9 * std::abs(low)) << low << " " << span;
      EXPECT_GE(ticks.back(), low + span - 1e-9 * std::abs(low + span)) << low << " " << span;
    }
  }
}

TEST(LineChartTest, DrawsLinesBandsAndMarkers) {
  const std::string svg =
      LineChartSvg({.title = "a run",
                    .x_label = "rows",
                    .y_label = "return",
                    .reference = 700.0,
                    .reference_name = "goal"},
                   {{.name = "training", .color = "#111111", .x = {0, 10}, .y = {1, 2}},
                    {.name = "evaluation",
                     .color = "#222222",
                     .x = {0, 10, 20},
                     .y = {100, 500, 710},
                     .half_width = {10, 20, 30},
                     .markers = true}});
  EXPECT_EQ(Count(svg, "<polyline"), 2);
  EXPECT_EQ(Count(svg, "<polygon"), 1);
  EXPECT_EQ(Count(svg, "<circle"), 3);
  for (const char* text : {"a run", "rows", "return", "goal", "training", "evaluation", ">800<"}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
}

TEST(LineChartTest, PointsStandWhereTheirNumbersAre) {
  const std::string svg = LineChartSvg(
      {.width = 1000, .height = 1000},
      {{.name = "s", .color = "#111111", .x = {0, 100}, .y = {0, 100}, .markers = true}});
  // The plot lies between 72 and 976 from the left, between 76 and 940 from the top.
  EXPECT_THAT(svg, HasSubstr("<circle cx=\"72.0\" cy=\"940.0\""));
  EXPECT_THAT(svg, HasSubstr("<circle cx=\"976.0\" cy=\"76.0\""));
}

TEST(LineChartTest, SecondAxisCountsInItsUnit) {
  const std::string svg =
      LineChartSvg({.top_unit = 4, .top_label = "decisions", .width = 1000, .height = 1000},
                   {{.name = "s", .color = "#111111", .x = {0, 100}, .y = {0, 100}}});
  EXPECT_THAT(svg, HasSubstr(">decisions<"));
  // 25 of them are 100 below; the plot begins 38 points lower.
  EXPECT_THAT(svg, HasSubstr("<text x=\"976.0\" y=\"105.0\" text-anchor=\"middle\">25</text>"));
  EXPECT_THAT(svg, HasSubstr("points=\"72.0,940.0 976.0,114.0 \""));
}

TEST(LineChartTest, LongLegendTakesMoreLines) {
  const std::vector<ChartSeries> series(
      4, {.name = std::string(40, 'n'), .color = "#111111", .x = {0, 1}, .y = {0, 1}});
  const std::string svg = LineChartSvg({.width = 860, .height = 520}, series);
  // Two on a line, so that the plot begins one line lower.
  EXPECT_EQ(Count(svg, " y=\"58.0\""), 2);
  EXPECT_EQ(Count(svg, " y=\"78.0\""), 2);
  EXPECT_THAT(svg, HasSubstr("points=\"72.0,460.0 836.0,96.0 \""));
}

TEST(LineChartTest, DashesStandInTheLineAndItsLegend) {
  const std::string svg = LineChartSvg(
      {}, {{.name = "s", .color = "#111111", .dashes = "6 3", .x = {0, 1}, .y = {0, 1}}});
  EXPECT_EQ(Count(svg, "stroke-dasharray=\"6 3\""), 2);
}

TEST(LineChartTest, LeavesOutWhatIsNoNumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string svg = LineChartSvg({}, {{.name = "s",
                                             .color = "#111111",
                                             .x = {0, 1, 2},
                                             .y = {5, nan, 7},
                                             .half_width = {1, 1, nan},
                                             .markers = true}});
  EXPECT_EQ(Count(svg, "<circle"), 2);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(LineChartTest, SaysSoWhenThereIsNothingToDraw) {
  EXPECT_THAT(LineChartSvg({.title = "t"}, {{.name = "s"}}), HasSubstr("no data yet"));
  EXPECT_THAT(LineChartSvg({.title = "t"}, {}), HasSubstr("no data yet"));
}

TEST(LineChartTest, EscapesWhatXmlWouldRead) {
  const std::string svg = LineChartSvg({.title = "<a & \"b\">"}, {});
  EXPECT_THAT(svg, HasSubstr("&lt;a &amp; &quot;b&quot;&gt;"));
  EXPECT_THAT(svg, Not(HasSubstr("<a ")));
}

TEST(LineChartTest, OnePointIsEnough) {
  const std::string svg =
      LineChartSvg({}, {{.name = "s", .color = "#111111", .x = {5}, .y = {7}, .markers = true}});
  EXPECT_EQ(Count(svg, "<circle"), 1);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(LineChartTest, NumbersTooLargeToDrawAreLeftOut) {
  const ChartSeries series = {.name = "a",
                              .color = "#000000",
                              .x = {0, 1, 2},
                              .y = {1, 1e308, 3},
                              .half_width = {1e308, 0, 0}};
  const std::string svg = LineChartSvg({.reference = -1e308}, {series});
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_NE(svg.find("<polyline"), std::string::npos);
}

}  // namespace
}  // namespace pompc::cli
