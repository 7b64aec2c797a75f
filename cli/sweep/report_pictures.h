#ifndef POMPC_CLI_SWEEP_REPORT_PICTURES_H_
#define POMPC_CLI_SWEEP_REPORT_PICTURES_H_

#include <string>
#include <vector>

#include "cli/report/line_chart.h"
#include "cli/sweep/report.h"

namespace pompc::cli {

// The pictures of a report.

struct ReportPicture {
  // The name of its file, without an end: "curves-cartpole-swingup".
  std::string name;
  ChartOptions options;
  std::vector<ChartSeries> series;
};

// Learning curves of each task, with the published ones; the interquartile mean of scores over
// frames and the performance profile, of settings that have runs on every task. Bands are 95 %
// bootstrap intervals over runs. Pictures without data are left out.
std::vector<ReportPicture> MakePictures(const ReportData& data, const ReportOptions& options);

// The numbers of the performance profile: setting,score,share,low,high.
std::string ProfileCsv(const std::vector<ReportPicture>& pictures);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_REPORT_PICTURES_H_
