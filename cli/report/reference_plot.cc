#include "cli/report/reference_plot.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/text_table.h"

namespace pompc::cli {
namespace {

// Colours for everyone who tells some apart, and dashes, by which the methods differ in grey as
// well. The two numbers have no common divisor: only the 43rd method would look like the first.
constexpr std::array<const char*, 7> kColors = {"#000000", "#d55e00", "#7a7a7a", "#008f6b",
                                                "#a3195b", "#c46a9a", "#5fb7e5"};
constexpr std::array<const char*, 6> kDashes = {"9 4", "2 3",  "9 3 2 3",
                                                "5 3", "14 4", "6 2 2 2 2 2"};
static_assert(kColors.size() % kDashes.size() == 1);

// The newest point of a run that has a return.
struct Newest {
  std::string name;
  double frames = 0, return_mean = 0, half_width = 0;
};

std::optional<Newest> NewestOf(const ChartSeries& series, const std::string& name) {
  for (size_t i = std::min(series.x.size(), series.y.size()); i-- > 0;) {
    if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) continue;
    const double half = i < series.half_width.size() ? series.half_width[i] : NAN;
    return Newest{name, series.x[i], series.y[i], half};
  }
  return std::nullopt;
}

// Evaluations say more than training: they have no noise.
std::optional<Newest> NewestOf(const RunCurve& run) {
  if (auto newest = NewestOf(run.evaluations, "this run, last evaluation")) return newest;
  return NewestOf(run.training, absl::StrCat("this run, ", run.training.name));
}

// The series with its rows as frames, up to `end` of them.
ChartSeries OverFrames(ChartSeries series, double repeat, double end) {
  for (double& x : series.x) {
    x *= repeat;
    // Charts leave out what is no number.
    if (x > end) x = NAN;
  }
  return series;
}

double LastFrames(const ChartSeries& series) {
  double last = 0;
  for (double x : series.x) last = std::isfinite(x) ? std::max(last, x) : last;
  return last;
}

std::string Table(const std::optional<Newest>& newest, double repeat,
                  const std::vector<learner::PublishedCurve>& published) {
  if (!newest) return "The run has no return yet.\n";
  TextTable table = {{"method", "return", "seeds", "published up to"}};
  table.push_back({newest->name, FormatMean(newest->return_mean, newest->half_width), "1"});
  for (const learner::PublishedCurve& curve : published) {
    const std::optional<learner::PublishedReturn> same = ReturnAt(curve, newest->frames);
    const bool seeds = same && same->seeds;
    table.push_back({curve.method, same ? FormatMean(same->return_mean, NAN) : "?",
                     seeds ? absl::StrCat(*same->seeds) : "?", FormatNumber(curve.frames.back())});
  }
  return absl::StrCat("Returns at ", FormatNumber(newest->frames), " frames (",
                      FormatNumber(newest->frames / repeat),
                      " decisions of the run), published ones interpolated:\n", FormatTable(table));
}

}  // namespace

ChartSeries PublishedSeries(const learner::PublishedCurve& curve, double end) {
  const learner::PublishedCurve part = UpTo(curve, end);
  return {.name = curve.method,
          .color = kColors[curve.index % kColors.size()],
          .dashes = kDashes[curve.index % kDashes.size()],
          .x = part.frames,
          .y = part.return_mean};
}

ReferencePlot DrawReferencePlot(const RunCurve& run,
                                const std::vector<learner::PublishedCurve>& published,
                                std::optional<uint64_t> frames) {
  const double repeat = run.config.env().action_repeat();
  POMPC_CHECK_GE(repeat, 1);
  double end = frames ? static_cast<double>(*frames)
                      : std::max(LastFrames(run.training), LastFrames(run.evaluations)) * repeat;
  if (end == 0) end = INFINITY;
  ChartOptions options = run.options;
  options.x_label = "frames (control steps of the environment)";
  options.top_unit = repeat;
  options.top_label = absl::StrCat("decisions of this run (rows), ", repeat, " frames each");
  std::vector<ChartSeries> series;
  for (const learner::PublishedCurve& curve : published) {
    series.push_back(PublishedSeries(curve, end));
  }
  // Drawn last, so that they lie on top.
  series.push_back(OverFrames(run.training, repeat, end));
  series.push_back(OverFrames(run.evaluations, repeat, end));
  std::optional<Newest> newest = NewestOf(run);
  if (newest) newest->frames *= repeat;
  return {LineChartSvg(options, series), Table(newest, repeat, published)};
}

absl::StatusOr<ReferencePlot> ReferencePlotOf(const std::string& run_dir,
                                              const std::vector<std::string>& methods,
                                              std::optional<uint64_t> frames) {
  POMPC_ASSIGN_OR_RETURN(const RunCurve run, ReadRunCurve(run_dir));
  if (run.config.schedule() == proto::RunConfig::OFFLINE) {
    return absl::FailedPreconditionError(
        absl::StrCat("--reference: the run in ", run_dir,
                     " is OFFLINE; published curves stand over the frames that a run acts in"));
  }
  const auto published = learner::ReadPublishedCurves(learner::DefaultPublishedDir(),
                                                      run.config.env().task(), methods);
  if (!published.ok()) return Annotate(published.status(), "--reference");
  return DrawReferencePlot(run, *published, frames);
}

}  // namespace pompc::cli
