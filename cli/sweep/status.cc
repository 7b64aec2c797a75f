#include "cli/sweep/status.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/report/csv.h"
#include "cli/report/run_directory.h"
#include "cli/sweep/html.h"
#include "cli/sweep/log_lines.h"
#include "common/base/check.h"
#include "common/values/statistics.h"
#include "common/values/text_table.h"

namespace pompc::cli {
namespace {

double LastCell(const CsvTable& table, const std::string& name) {
  const std::vector<double>& column = table.column(name);
  return column.empty() ? NAN : column.back();
}

// What the training thread spent its time on before the newest line of timings.csv, the most
// first: "updating 71 %, waiting for rows 25 %".
std::string LearnerTime(const CsvTable& timings) {
  constexpr absl::string_view kShare = "share_";
  constexpr double kShown = 0.05;
  std::vector<std::pair<double, std::string>> shares;
  for (const auto& [name, column] : timings.columns) {
    if (!absl::StartsWith(name, kShare) || column.empty() || !(column.back() >= kShown)) continue;
    const double share = column.back();
    shares.emplace_back(-share, absl::StrReplaceAll(name.substr(kShare.size()), {{"_", " "}}));
  }
  std::sort(shares.begin(), shares.end());
  return absl::StrJoin(shares, ", ", [](std::string* out, const auto& share) {
    absl::StrAppendFormat(out, "%s %.0f %%", share.second, -100 * share.first);
  });
}

// A running trial's numbers. Files that cannot be read, as they may be written just now, leave
// nothing known.
void ReadProgress(const std::string& run_dir, TrialStatus* status) {
  const CsvTable metrics = ReadCsvIfThere(MetricsFile(run_dir)).value_or(CsvTable());
  const CsvTable timings = ReadCsvIfThere(TimingsFile(run_dir)).value_or(CsvTable());
  const CsvTable evaluations = ReadCsvIfThere(EvaluationsFile(run_dir)).value_or(CsvTable());
  status->rows = LastCell(metrics, "rows");
  status->updates = LastCell(metrics, "update");
  status->returns = evaluations.column("return_mean");
  status->return_mean = LastCell(evaluations, "return_mean");
  status->rows_per_second = LastCell(timings, "rows_per_second");
  if (status->max_rows > 0 && status->rows_per_second > 0) {
    status->seconds_left = std::max(0.0, status->max_rows - status->rows) / status->rows_per_second;
  }
}

std::string StateText(const TrialOutcome& outcome, const proto::TrialState& state, TrialNeed need,
                      bool running) {
  if (outcome.score.has_value()) return "finished";
  if (outcome.failed) return "failed";
  if (state.running()) return running ? "running" : "interrupted";
  if (need == TrialNeed::kDropped) return "dropped";
  return need == TrialNeed::kLater ? "later round" : "waiting";
}

TrialStatus StatusOf(const SweepFolder& folder, const Trial& trial, const std::string& state) {
  TrialStatus status = {.key = trial.key, .state = state, .rows = NAN};
  status.updates = status.return_mean = status.rows_per_second = status.seconds_left = NAN;
  status.max_rows = static_cast<double>(trial.config.stop().max_rows());
  const proto::TrialState kept = folder.State(trial.key);
  status.failures = kept.failures();
  status.failure = kept.failure();
  status.log_lines.assign(kept.log_line().begin(), kept.log_line().end());
  if (state == "running" || state == "interrupted") {
    ReadProgress(folder.RunDir(trial.key), &status);
  }
  if (state == "running") {
    const TrialNews news = ReadTrialLog(folder.Log(trial.key));
    status.learner_time =
        LearnerTime(ReadCsvIfThere(TimingsFile(folder.RunDir(trial.key))).value_or(CsvTable()));
    status.waiting = news.waiting;
    status.page = news.page;
  }
  return status;
}

// Fills in the numbers of finished trials, all at once.
void AddResults(const SweepResults& results, std::vector<TrialStatus>* trials) {
  std::map<TrialKey, TrialStatus*> finished;
  for (TrialStatus& trial : *trials) {
    if (trial.state == "finished") finished[trial.key] = &trial;
  }
  for (const TrialResult& result : results.trials) {
    const auto it = finished.find(result.key);
    if (it == finished.end()) continue;
    it->second->rows = result.rows;
    it->second->updates = result.updates;
    it->second->return_mean = result.return_last;
  }
  for (const CurvePoint& point : results.curves) {
    const auto it = finished.find(point.key);
    if (it != finished.end()) it->second->returns.push_back(point.return_mean);
  }
  for (const TimePoint& time : results.times) {
    const auto it = finished.find(time.key);
    if (it != finished.end()) it->second->rows_per_second = time.rows / time.seconds;
  }
}

SweepEstimate EstimateOf(const SweepFolder& folder, const SweepStatus& status) {
  SweepEstimate estimate;
  for (const TrialStatus& trial : status.trials) {
    estimate.finished += trial.state == "finished";
    estimate.failed += trial.state == "failed";
    estimate.running += trial.state == "running";
  }
  const size_t settled = estimate.finished + estimate.failed;
  const size_t most = MostTrials(folder.plan());
  estimate.left = most > settled ? most - settled : 0;
  // The last line of a trial has its memory and its whole time.
  std::vector<double> seconds;
  double memory = NAN;
  for (const TimePoint& time : folder.results().times) {
    if (!std::isfinite(time.peak_memory_mib)) continue;
    if (std::isfinite(time.seconds)) seconds.push_back(time.seconds);
    memory = std::isfinite(memory) ? std::max(memory, time.peak_memory_mib) : time.peak_memory_mib;
  }
  estimate.seconds_per_trial = Mean(seconds);
  estimate.peak_memory_mib = memory;
  return estimate;
}

std::string ReturnText(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.1f", value) : "?";
}

std::string RowsText(const TrialStatus& trial) {
  if (!std::isfinite(trial.rows)) return "";
  return FormatNumber(trial.rows);
}

// The cells of a trial but its curve.
std::vector<std::string> Cells(const TrialStatus& trial) {
  const bool known = std::isfinite(trial.rows);
  return {
      trial.key.setting,
      trial.key.task,
      absl::StrCat(trial.key.seed),
      trial.state,
      RowsText(trial),
      known ? ReturnText(trial.return_mean) : "",
      std::isfinite(trial.rows_per_second) ? absl::StrFormat("%.0f", trial.rows_per_second) : "",
      std::isfinite(trial.seconds_left) ? FormatSeconds(trial.seconds_left) : "",
      trial.failures > 0 ? absl::StrCat(trial.failures) : ""};
}

const std::vector<std::string>& Headings() {
  static const auto* headings = new std::vector<std::string>{
      "setting", "task", "seed", "state", "rows", "return", "rows/s", "time left", "failures"};
  return *headings;
}

// The row of a trial in the page's table.
std::string RowHtml(const TrialStatus& trial) {
  std::string row = "<tr>";
  const std::vector<std::string> cells = Cells(trial);
  for (size_t i = 0; i < cells.size(); ++i) {
    std::string html = HtmlText(cells[i]);
    // The page of a trial that runs is a step away, on the machine that runs it.
    if (Headings()[i] == "state" && !trial.page.empty()) {
      html = absl::StrCat("<a href=\"", HtmlText(trial.page), "\">", html, "</a>");
    }
    absl::StrAppend(&row, "<td>", html, "</td>");
  }
  return absl::StrCat(row, "<td>", trial.returns.empty() ? "" : Sparkline(trial.returns),
                      "</td><td class=\"words\">", HtmlText(trial.learner_time),
                      "</td><td class=\"words\">", HtmlText(trial.waiting), "</td></tr>\n");
}

std::string FailureHtml(const TrialStatus& trial) {
  return absl::StrCat("<h3>", HtmlText(trial.key.ToString()), ": ", HtmlText(trial.failure),
                      "</h3>\n<pre>", HtmlText(absl::StrJoin(trial.log_lines, "\n")), "</pre>\n");
}

}  // namespace

SweepStatus ReadStatus(const SweepFolder& folder, bool running) {
  SweepStatus status;
  status.running = running;
  const std::vector<TrialOutcome> outcomes = folder.Outcomes();
  const Schedule schedule = MakeSchedule(folder.plan(), outcomes);
  status.decisions = schedule.decisions;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const Trial& trial = folder.plan().trials[i];
    const std::string state =
        StateText(outcomes[i], folder.State(trial.key), schedule.needs[i], running);
    status.trials.push_back(StatusOf(folder, trial, state));
  }
  AddResults(folder.results(), &status.trials);
  status.estimate = EstimateOf(folder, status);
  return status;
}

std::string EstimateText(const SweepEstimate& estimate, int jobs) {
  POMPC_CHECK_GE(jobs, 1);
  const std::string counts =
      absl::StrCat(estimate.finished, " trials finished, ", estimate.failed, " failed, ",
                   estimate.running, " running, at most ", estimate.left, " to be finished");
  if (!std::isfinite(estimate.seconds_per_trial)) {
    return absl::StrCat(counts, "; time and memory are not known before the first has finished");
  }
  const double seconds =
      estimate.seconds_per_trial * std::ceil(static_cast<double>(estimate.left) / jobs);
  return absl::StrCat(counts, "; about ", FormatSeconds(seconds), " with ", jobs,
                      " at a time, and ", absl::StrFormat("%.0f", estimate.peak_memory_mib * jobs),
                      " MiB of memory (if they take as long as those that have finished, ",
                      FormatSeconds(estimate.seconds_per_trial),
                      " each on average, and each as much memory as the "
                      "largest of these, ",
                      absl::StrFormat("%.0f", estimate.peak_memory_mib), " MiB)");
}

std::string StatusText(const SweepStatus& status) {
  TextTable table = {Headings()};
  for (const TrialStatus& trial : status.trials) table.push_back(Cells(trial));
  std::string text = FormatTable(table);
  for (const std::string& decision : status.decisions) absl::StrAppend(&text, decision, "\n");
  for (const TrialStatus& trial : status.trials) {
    if (trial.waiting.empty() && trial.learner_time.empty()) continue;
    absl::StrAppend(&text, trial.key.ToString(), ": ", trial.learner_time,
                    trial.waiting.empty() || trial.learner_time.empty() ? "" : "; ", trial.waiting,
                    "\n");
  }
  for (const TrialStatus& trial : status.trials) {
    if (trial.failures == 0) continue;
    absl::StrAppend(&text, "\n", trial.key.ToString(), ": ", trial.failure, "\n");
    for (const std::string& line : trial.log_lines) absl::StrAppend(&text, "  ", line, "\n");
  }
  return text;
}

std::string StatusHtml(const std::string& name, const SweepStatus& status, int jobs) {
  const SweepEstimate& estimate = status.estimate;
  const size_t settled = estimate.finished + estimate.failed;
  std::string body =
      absl::StrCat("<p><progress max=\"", settled + estimate.left, "\" value=\"", settled,
                   "\"></progress> ", status.running ? "" : "This sweep is not running. ",
                   HtmlText(EstimateText(estimate, jobs)), "</p>\n");
  for (const std::string& decision : status.decisions) {
    absl::StrAppend(&body, "<p>", HtmlText(decision), "</p>\n");
  }
  absl::StrAppend(&body, "<table>\n<tr>");
  for (const std::string& heading : Headings()) absl::StrAppend(&body, "<th>", heading, "</th>");
  absl::StrAppend(&body, "<th>returns</th><th class=\"words\">learner's time</th>",
                  "<th class=\"words\">waits</th></tr>\n");
  for (const TrialStatus& trial : status.trials) absl::StrAppend(&body, RowHtml(trial));
  absl::StrAppend(&body, "</table>\n");
  for (const TrialStatus& trial : status.trials) {
    if (trial.failures > 0) absl::StrAppend(&body, FailureHtml(trial));
  }
  return HtmlPage(absl::StrCat("Sweep ", name), body, status.running ? 5 : 0);
}

}  // namespace pompc::cli
