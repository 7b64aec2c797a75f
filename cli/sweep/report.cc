#include "cli/sweep/report.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/sweep/html.h"
#include "cli/sweep/report_pictures.h"
#include "cli/sweep/report_tables.h"
#include "cli/sweep/sweep_folder.h"
#include "common/base/check.h"
#include "common/io/files.h"

namespace pompc::cli {
namespace {

void AddName(const std::string& name, std::vector<std::string>* names) {
  if (std::find(names->begin(), names->end(), name) == names->end()) names->push_back(name);
}

// Settings and tasks that the results have and the sweep file does not (any more).
void AddOthers(ReportData* data) {
  for (const TrialResult& trial : data->results.trials) {
    AddName(trial.key.setting, &data->settings);
    AddName(trial.key.task, &data->tasks);
  }
  data->scores.resize(data->tasks.size());
}

std::string MetricText(proto::SweepConfig::Metric metric) {
  switch (metric) {
    case proto::SweepConfig::END:
      return "the mean return of its last two evaluations";
    case proto::SweepConfig::BEST:
      return "the return of its best evaluation";
    default:
      return "the mean return of all its evaluations";
  }
}

std::string ScoresText(const ReportData& data) {
  std::set<std::string> ranges;
  for (const ScoreRange& range : data.scores) {
    ranges.insert(absl::StrFormat("%g and %g", range.zero, range.one));
  }
  if (ranges.size() == 1)
    return absl::StrCat("Returns of ", *ranges.begin(), " are the scores 0 and 1.");
  std::vector<std::string> texts;
  for (size_t i = 0; i < data.tasks.size(); ++i) {
    texts.push_back(
        absl::StrFormat("%g and %g on %s", data.scores[i].zero, data.scores[i].one, data.tasks[i]));
  }
  return absl::StrCat("The scores 0 and 1 are returns of ", absl::StrJoin(texts, ", "), ".");
}

std::string Introduction(const ReportData& data, const ReportOptions& options) {
  return absl::StrCat(
      data.results.trials.size(), " runs. What counts of a run is ", MetricText(data.metric), ". ",
      ScoresText(data), " Brackets have 95 % bootstrap intervals over runs, stratified by task (",
      options.repetitions, " draws, seed ", options.seed,
      "); interquartile mean, optimality gap, performance profile and probability of improvement "
      "are those of Agarwal et al. (2021).");
}

std::string Svg(ReportPicture picture, bool embedded) {
  picture.options.embedded = embedded;
  for (ChartSeries& series : picture.series) {
    // Black would not be seen on a dark page.
    if (embedded && series.color == "#000000") series.color = "currentColor";
  }
  return LineChartSvg(picture.options, picture.series);
}

}  // namespace

absl::StatusOr<ReportData> ReadReportData(const std::string& where) {
  std::error_code error;
  ReportData data;
  if (std::filesystem::is_regular_file(where, error)) {
    data.name = std::filesystem::path(where).stem().string();
    POMPC_ASSIGN_OR_RETURN(data.results.trials, ReadTrialResults(where));
  } else {
    POMPC_ASSIGN_OR_RETURN(const SweepFolder folder, SweepFolder::Open(where));
    const SweepPlan& plan = folder.plan();
    data.name = plan.sweep.name();
    for (const PlannedSetting& setting : plan.settings) data.settings.push_back(setting.name);
    data.tasks = plan.tasks;
    data.scores = plan.scores;
    data.metric = plan.sweep.metric();
    data.results = folder.results();
  }
  if (data.results.trials.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(where, ": no trial has finished yet"));
  }
  AddOthers(&data);
  return data;
}

SweepReport MakeReport(const ReportData& data, const ReportOptions& options) {
  POMPC_CHECK_EQ(data.scores.size(), data.tasks.size());
  SweepReport report;
  const std::string title = absl::StrCat("Sweep ", data.name);
  const std::string introduction = Introduction(data, options);
  report.markdown = absl::StrCat("# ", title, "\n\n", introduction, "\n\n");
  std::string body = absl::StrCat("<p>", HtmlText(introduction), "</p>\n");
  const std::vector<ReportPicture> pictures = MakePictures(data, options);
  for (const ReportTable& table : MakeTables(data, options)) {
    absl::StrAppend(&report.markdown, MarkdownTable(table));
    absl::StrAppend(&body, HtmlTable(table));
  }
  absl::StrAppend(&report.markdown, "## Pictures\n\n");
  absl::StrAppend(&body, "<h2>Pictures</h2>\n");
  for (const ReportPicture& picture : pictures) {
    const std::string file = picture.name + ".svg";
    report.files[file] = Svg(picture, false);
    absl::StrAppend(&report.markdown, "![", picture.options.title, "](", file, ")\n\n");
    absl::StrAppend(&body, "<p>", Svg(picture, true), "</p>\n");
  }
  report.files.merge(MakeCsvFiles(data, options));
  report.files["profile.csv"] = ProfileCsv(pictures);
  report.html = HtmlPage(title, body, 0);
  return report;
}

absl::Status WriteReport(const SweepReport& report, const std::string& folder) {
  POMPC_RETURN_IF_ERROR(MakeFolders(folder));
  for (const auto& [name, content] : report.files) {
    POMPC_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/", name), content));
  }
  POMPC_RETURN_IF_ERROR(WriteFileAtomically(folder + "/report.md", report.markdown));
  return WriteFileAtomically(folder + "/report.html", report.html);
}

}  // namespace pompc::cli
