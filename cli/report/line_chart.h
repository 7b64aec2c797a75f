#ifndef POMPC_CLI_REPORT_LINE_CHART_H_
#define POMPC_CLI_REPORT_LINE_CHART_H_

#include <optional>
#include <string>
#include <vector>

namespace pompc::cli {

// One line of a chart. Points whose x or y is not finite, or larger than 1e15, are left out.
struct ChartSeries {
  std::string name;
  // The colour as SVG takes it: "#1f6fb4".
  std::string color;
  // Lengths of the line's dashes and of the gaps between them, as SVG takes them: "6 3"; empty: a
  // solid line.
  std::string dashes;
  std::vector<double> x;
  std::vector<double> y;
  // Half the height of the band around each point; empty: no band.
  std::vector<double> half_width;
  // The band's lower and upper edge at each point, where it is not symmetric; empty: half_width.
  std::vector<double> low;
  std::vector<double> high;
  // Draws the points as well.
  bool markers = false;
};

struct ChartOptions {
  std::string title;
  std::string x_label;
  std::string y_label;
  // A dashed horizontal line, with its name; left out where it is no such number.
  std::optional<double> reference;
  std::string reference_name;
  // A second axis at the top: x / top_unit, with its own round ticks; 0: none.
  double top_unit = 0;
  std::string top_label;
  int width = 860;
  int height = 520;
  // True for a picture within an HTML page, which takes the page's colours, light or dark, instead
  // of its own.
  bool embedded = false;
};

// A picture of the lines over one pair of axes with round ticks and a legend, as a standalone SVG
// document. Without a single point it says so in words. REQUIRES: options.top_unit >= 0.
std::string LineChartSvg(const ChartOptions& options, const std::vector<ChartSeries>& series);

// Round numbers (1, 2 or 5 times a power of ten apart) that cover low..high, about `count` of them.
// REQUIRES: both finite, low <= high, count >= 2.
std::vector<double> RoundTicks(double low, double high, int count);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPORT_LINE_CHART_H_
