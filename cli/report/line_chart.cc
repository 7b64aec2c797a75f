#include "cli/report/line_chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/base/check.h"

namespace pompc::cli {
namespace {

constexpr int kLeft = 72, kRight = 24, kTop = 76, kBottom = 60;
// What a second axis takes at the top, and each further line of the legend.
constexpr int kTopAxis = 38, kLegendLine = 20;
// Colours of a picture of its own, and within a page.
constexpr char kInk[] = "#222222", kPageInk[] = "currentColor";
constexpr char kGrid[] = "#e3e3e3", kPageGrid[] = "#8886";
constexpr char kPaper[] = "#ffffff", kPagePaper[] = "none";

std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string Text(double x, double y, const std::string& attributes, const std::string& text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, attributes,
                         Escape(text));
}

std::string Line(double x1, double y1, double x2, double y2, const std::string& attributes) {
  return absl::StrFormat("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2,
                         y2, attributes);
}

std::string TickLabel(double value) {
  const double size = std::abs(value);
  if (size >= 1e6) return absl::StrCat(value / 1e6, "M");
  if (size >= 1e4) return absl::StrCat(value / 1e3, "k");
  // Ticks are multiples of a round step: what is this small is zero with a rounding error.
  return absl::StrCat(size < 1e-9 ? 0.0 : value);
}

struct Bounds {
  double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;

  void Add(double x, double y) {
    x_low = std::min(x_low, x);
    x_high = std::max(x_high, x);
    y_low = std::min(y_low, y);
    y_high = std::max(y_high, y);
  }
  bool empty() const { return x_low > x_high; }
};

// False for NaN, infinity, and numbers too large for the arithmetic of the axes.
bool IsDrawable(double number) { return std::abs(number) <= 1e15; }

// The points of one series that can be drawn, with the edges of the band there.
struct Points {
  std::vector<double> x, y, low, high;
};

// An edge that cannot be drawn, such as that of the NaN of a single episode, lies on the line.
double EdgeOr(double edge, double y) { return IsDrawable(edge) ? edge : y; }

Points Drawable(const ChartSeries& series) {
  Points points;
  for (size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
    if (!IsDrawable(series.x[i]) || !IsDrawable(series.y[i])) continue;
    const double y = series.y[i];
    double low = y, high = y;
    if (i < series.half_width.size()) {
      low = EdgeOr(y - series.half_width[i], y);
      high = EdgeOr(y + series.half_width[i], y);
    }
    if (i < std::min(series.low.size(), series.high.size())) {
      low = EdgeOr(series.low[i], y);
      high = EdgeOr(series.high[i], y);
    }
    points.x.push_back(series.x[i]);
    points.y.push_back(y);
    points.low.push_back(low);
    points.high.push_back(high);
  }
  return points;
}

std::string DashesOf(const ChartSeries& series) {
  if (series.dashes.empty()) return "";
  return absl::StrCat(" stroke-dasharray=\"", series.dashes, "\"");
}

// The legend, in as many lines as the names take.
struct Legend {
  std::string svg;
  int lines = 1;
};

Legend MakeLegend(const ChartOptions& options, const std::vector<ChartSeries>& series) {
  Legend legend;
  double x = kLeft;
  for (const ChartSeries& one : series) {
    // Letters of this size are about 7 wide.
    const double width = 34 + 7.0 * static_cast<double>(one.name.size());
    if (x > kLeft && x + width > options.width - kRight) {
      x = kLeft;
      ++legend.lines;
    }
    const double y = 54 + kLegendLine * (legend.lines - 1);
    absl::StrAppend(
        &legend.svg,
        Line(x, y, x + 28, y,
             absl::StrCat("stroke=\"", one.color, "\" stroke-width=\"3\"", DashesOf(one))),
        Text(x + 34, y + 4, "", one.name));
    x += width + 18;
  }
  return legend;
}

// Data coordinates to those of the picture.
class Plane {
 public:
  Plane(const ChartOptions& options, int legend_lines, const Bounds& bounds)
      : options_(options),
        top_(kTop + kLegendLine * (legend_lines - 1) + (options.top_unit > 0 ? kTopAxis : 0)),
        x_ticks_(RoundTicks(bounds.x_low, bounds.x_high, 8)),
        y_ticks_(RoundTicks(bounds.y_low, bounds.y_high, 6)) {}

  double x(double value) const {
    return kLeft + (value - x_ticks_.front()) / (x_ticks_.back() - x_ticks_.front()) *
                       (options_.width - kLeft - kRight);
  }
  double y(double value) const {
    return options_.height - kBottom -
           (value - y_ticks_.front()) / (y_ticks_.back() - y_ticks_.front()) *
               (options_.height - top_ - kBottom);
  }

  std::string Axes() const {
    std::string svg;
    const std::string grid =
        absl::StrCat("stroke=\"", options_.embedded ? kPageGrid : kGrid, "\" stroke-width=\"1\"");
    const double left = kLeft, right = options_.width - kRight;
    const double top = top_, bottom = options_.height - kBottom;
    for (double tick : x_ticks_) {
      absl::StrAppend(&svg, Line(x(tick), top, x(tick), bottom, grid),
                      Text(x(tick), bottom + 18, "text-anchor=\"middle\"", TickLabel(tick)));
    }
    for (double tick : y_ticks_) {
      absl::StrAppend(&svg, Line(left, y(tick), right, y(tick), grid),
                      Text(left - 8, y(tick) + 4, "text-anchor=\"end\"", TickLabel(tick)));
    }
    const std::string axis =
        absl::StrCat("stroke=\"", options_.embedded ? kPageInk : kInk, "\" stroke-width=\"1\"");
    absl::StrAppend(&svg, Line(left, bottom, right, bottom, axis),
                    Line(left, top, left, bottom, axis));
    absl::StrAppend(
        &svg,
        Text((left + right) / 2, options_.height - 16, "text-anchor=\"middle\"", options_.x_label),
        absl::StrFormat("<text transform=\"translate(18,%.1f) rotate(-90)\" "
                        "text-anchor=\"middle\">%s</text>\n",
                        (top + bottom) / 2, Escape(options_.y_label)));
    if (options_.top_unit > 0) absl::StrAppend(&svg, TopAxis(axis));
    return svg;
  }

  std::string Reference() const {
    const double at = y(*options_.reference);
    return absl::StrCat(
        Line(kLeft, at, options_.width - kRight, at, "stroke=\"#888888\" stroke-dasharray=\"6 4\""),
        Text(options_.width - kRight - 4, at - 6, "text-anchor=\"end\" fill-opacity=\"0.7\"",
             options_.reference_name));
  }

  std::string Series(const ChartSeries& series, const Points& points) const {
    std::string svg, line;
    for (size_t i = 0; i < points.x.size(); ++i) {
      absl::StrAppendFormat(&line, "%.1f,%.1f ", x(points.x[i]), y(points.y[i]));
    }
    const bool band = !series.half_width.empty() || !series.low.empty();
    if (band) absl::StrAppend(&svg, Band(series.color, points));
    absl::StrAppendFormat(&svg,
                          "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" "
                          "stroke-width=\"2\" stroke-linejoin=\"round\"%s/>\n",
                          line, series.color, DashesOf(series));
    for (size_t i = 0; series.markers && i < points.x.size(); ++i) {
      absl::StrAppendFormat(&svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n",
                            x(points.x[i]), y(points.y[i]), series.color);
    }
    return svg;
  }

 private:
  // Short ticks, as the lines of the grid are those of the axis below.
  std::string TopAxis(const std::string& axis) const {
    const double unit = options_.top_unit, right = options_.width - kRight;
    std::string svg = Line(kLeft, top_, right, top_, axis);
    for (double tick : RoundTicks(x_ticks_.front() / unit, x_ticks_.back() / unit, 8)) {
      const double at = x(tick * unit);
      if (at < kLeft - 0.5 || at > right + 0.5) continue;
      absl::StrAppend(&svg, Line(at, top_ - 5, at, top_, axis),
                      Text(at, top_ - 9, "text-anchor=\"middle\"", TickLabel(tick)));
    }
    return svg + Text((kLeft + right) / 2, top_ - 27, "text-anchor=\"middle\"", options_.top_label);
  }

  std::string Band(const std::string& color, const Points& points) const {
    std::string outline;
    for (size_t i = 0; i < points.x.size(); ++i) {
      absl::StrAppendFormat(&outline, "%.1f,%.1f ", x(points.x[i]), y(points.high[i]));
    }
    // The way back along the lower edge closes the outline.
    for (size_t i = points.x.size(); i-- > 0;) {
      absl::StrAppendFormat(&outline, "%.1f,%.1f ", x(points.x[i]), y(points.low[i]));
    }
    return absl::StrFormat("<polygon points=\"%s\" fill=\"%s\" fill-opacity=\"0.18\"/>\n", outline,
                           color);
  }

  const ChartOptions& options_;
  // The upper edge of the plot.
  const int top_;
  const std::vector<double> x_ticks_;
  const std::vector<double> y_ticks_;
};

}  // namespace

// The step is the smallest of 1, 2, 5 and 10 times a power of ten with which about `count` ticks
// span the data. Small margins keep rounding from adding a step or a tick.
std::vector<double> RoundTicks(double low, double high, int count) {
  POMPC_CHECK(std::isfinite(low) && std::isfinite(high));
  POMPC_CHECK_LE(low, high);
  POMPC_CHECK_GE(count, 2);
  // One value alone, or values that differ by rounding only, get an axis of length 1.
  if (high - low < 1e-12 * std::max(1.0, std::abs(high))) {
    low -= 0.5;
    high += 0.5;
  }
  const double raw = (high - low) / (count - 1);
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::floor(low / step + 1e-9);
  for (double i = first; ticks.size() < 2 || ticks.back() < high - 1e-9 * step; ++i) {
    ticks.push_back(i * step);
  }
  return ticks;
}

std::string LineChartSvg(const ChartOptions& options, const std::vector<ChartSeries>& series) {
  POMPC_CHECK_GE(options.top_unit, 0);
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
      "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\" fill=\"%s\">\n"
      "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"%s\"/>\n",
      options.width, options.height, options.width, options.height,
      options.embedded ? kPageInk : kInk, Escape(options.title),
      options.embedded ? kPagePaper : kPaper);
  absl::StrAppend(&svg, Text(kLeft, 30, "font-size=\"17\" font-weight=\"bold\"", options.title));
  std::vector<Points> points;
  Bounds bounds;
  for (const ChartSeries& one : series) {
    points.push_back(Drawable(one));
    const Points& p = points.back();
    for (size_t i = 0; i < p.x.size(); ++i) {
      bounds.Add(p.x[i], p.low[i]);
      bounds.Add(p.x[i], p.high[i]);
    }
  }
  if (bounds.empty()) {
    absl::StrAppend(&svg, Text(options.width / 2.0, options.height / 2.0,
                               "text-anchor=\"middle\" fill-opacity=\"0.7\"", "no data yet"));
  } else {
    // Both axes begin at zero where the data allow it: runs are compared by eye.
    bounds.Add(std::min(0.0, bounds.x_low), std::min(0.0, bounds.y_low));
    const bool reference = options.reference.has_value() && IsDrawable(*options.reference);
    if (reference) bounds.Add(bounds.x_low, *options.reference);
    const Legend legend = MakeLegend(options, series);
    const Plane plane(options, legend.lines, bounds);
    absl::StrAppend(&svg, plane.Axes());
    if (reference) absl::StrAppend(&svg, plane.Reference());
    for (size_t i = 0; i < series.size(); ++i) {
      absl::StrAppend(&svg, plane.Series(series[i], points[i]));
    }
    absl::StrAppend(&svg, legend.svg);
  }
  absl::StrAppend(&svg, "</svg>\n");
  return svg;
}

}  // namespace pompc::cli
