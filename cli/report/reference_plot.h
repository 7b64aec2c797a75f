#ifndef POMPC_CLI_REPORT_REFERENCE_PLOT_H_
#define POMPC_CLI_REPORT_REFERENCE_PLOT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/report/learning_curve.h"
#include "learner/status/published_curves.h"

namespace pompc::cli {

// A run beside published curves of its task.
struct ReferencePlot {
  // An SVG document: returns over environment frames (rows x action repeat) with the run's
  // decisions, which are its rows, as the second axis.
  std::string svg;
  // The run's last return and what was published for the same number of frames, as text.
  std::string table;
};

// A published curve as a line over frames, up to `end` of them. Its colour and dashes are those of
// its method in every picture.
ChartSeries PublishedSeries(const learner::PublishedCurve& curve, double end);

// Draws both. The picture ends at `frames` or, without that, at the run's last frames; published
// curves are cut there. A run without a return gives a picture of the published curves alone, as
// far as they go, and a table that says so.
ReferencePlot DrawReferencePlot(const RunCurve& run,
                                const std::vector<learner::PublishedCurve>& published,
                                std::optional<uint64_t> frames);

// Reads the run in `run_dir` and the curves of its task in DefaultPublishedDir(), of all methods or
// of those that `methods` names, and draws them. Errors as ReadRunCurve and ReadPublishedCurves;
// FAILED_PRECONDITION if the run is OFFLINE, which acts in no environment.
absl::StatusOr<ReferencePlot> ReferencePlotOf(const std::string& run_dir,
                                              const std::vector<std::string>& methods,
                                              std::optional<uint64_t> frames);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPORT_REFERENCE_PLOT_H_
