#include "cli/sweep/results.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "cli/report/csv.h"
#include "cli/report/run_directory.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "common/values/numbers.h"
#include "common/values/statistics.h"

namespace pompc::cli {
namespace {

constexpr char kResultsFile[] = "results.csv";
constexpr char kCurvesFile[] = "curves.csv";
constexpr char kTimesFile[] = "times.csv";
// Those of which the largest value is kept as well.
constexpr const char* kMaxima[] = {"policy_prior_kl", "clamped_regularized_targets"};

using Row = std::map<std::string, std::string>;

// A table of cells that may be quoted. A last line without its end is left out.
absl::StatusOr<std::vector<Row>> ReadTable(const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::vector<std::vector<std::string>> lines(1, std::vector<std::string>(1));
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::string& cell = lines.back().back();
    if (c == '"') {
      // A quote within a quoted cell is written twice.
      const bool doubled = quoted && i + 1 < text.size() && text[i + 1] == '"';
      if (doubled) cell += text[i++];
      if (!doubled) quoted = !quoted;
    } else if (quoted || (c != ',' && c != '\n' && c != '\r')) {
      cell += c;
    } else if (c == ',') {
      lines.back().emplace_back();
    } else if (c == '\n') {
      lines.emplace_back(1);
    }
  }
  lines.pop_back();
  std::vector<Row> rows;
  for (size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].size() != lines[0].size()) {
      return absl::DataLossError(absl::StrCat(path, ":", i + 1, ": ", lines[i].size(),
                                              " cells; the header has ", lines[0].size()));
    }
    Row row;
    for (size_t j = 0; j < lines[0].size(); ++j) row[lines[0][j]] = lines[i][j];
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string Cell(const Row& row, const std::string& name) {
  const auto it = row.find(name);
  return it == row.end() ? "" : it->second;
}

double Number(const Row& row, const std::string& name) {
  double value = NAN;
  return absl::SimpleAtod(Cell(row, name), &value) ? value : NAN;
}

absl::StatusOr<TrialKey> KeyOf(const Row& row, const std::string& path, size_t line) {
  const absl::StatusOr<uint64_t> seed = ParseInteger<uint64_t>(Cell(row, "seed"));
  if (!seed.ok() || Cell(row, "setting").empty()) {
    return absl::DataLossError(
        absl::StrCat(path, ":", line, ": no setting and seed; a line of a sweep has both"));
  }
  const std::string task = Cell(row, "task");
  return TrialKey{Cell(row, "setting"), task.empty() ? "all" : task, *seed};
}

std::vector<double> Finite(const std::vector<double>& values) {
  std::vector<double> finite;
  for (const double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  return finite;
}

// The mean of a metric over the lines of which `chosen` is true; nothing where there is none.
void AddMean(const CsvTable& table, const std::string& name, const std::vector<bool>& chosen,
             std::map<std::string, double>* metrics) {
  const std::vector<double>& column = table.column(name);
  std::vector<double> values;
  for (size_t i = 0; i < std::min(column.size(), chosen.size()); ++i) {
    if (chosen[i]) values.push_back(column[i]);
  }
  const double mean = Mean(Finite(values));
  if (std::isfinite(mean)) (*metrics)[name] = mean;
}

// Evaluations in the order of their rows.
struct Evaluation {
  double rows = 0, updates = NAN, seconds = NAN, return_mean = 0;
};

std::vector<Evaluation> Evaluations(const CsvTable& table) {
  std::vector<Evaluation> evaluations;
  for (size_t i = 0; i < table.column("return_mean").size(); ++i) {
    const Evaluation one = {table.cell("rows", i), table.cell("updates", i),
                            table.cell("elapsed_seconds", i), table.cell("return_mean", i)};
    if (std::isfinite(one.return_mean) && std::isfinite(one.rows)) evaluations.push_back(one);
  }
  std::stable_sort(evaluations.begin(), evaluations.end(),
                   [](const Evaluation& a, const Evaluation& b) { return a.rows < b.rows; });
  return evaluations;
}

double LastOr(const std::vector<double>& values, double otherwise) {
  return values.empty() ? otherwise : values.back();
}

// When the updates that were evaluated had been made. Evaluations of LOCKSTEP runs have no time.
double SecondsOf(const Evaluation& evaluation, const CsvTable& timings) {
  if (evaluation.seconds > 0) return evaluation.seconds;
  const std::vector<double>& updates = timings.column("update");
  for (size_t i = 0; i < updates.size(); ++i) {
    if (updates[i] >= evaluation.updates) return timings.cell("elapsed_seconds", i);
  }
  return LastOr(timings.column("elapsed_seconds"), NAN);
}

std::vector<CurvePoint> Curve(const Trial& trial, const std::vector<Evaluation>& evaluations,
                              const CsvTable& metrics) {
  std::vector<CurvePoint> curve;
  const std::vector<double>& rows = metrics.column("rows");
  double before = 0;
  for (const Evaluation& evaluation : evaluations) {
    CurvePoint point = {.key = trial.key,
                        .rows = evaluation.rows,
                        .frames = evaluation.rows * trial.config.env().action_repeat(),
                        .return_mean = evaluation.return_mean,
                        .metrics = {}};
    std::vector<bool> since;
    for (const double row : rows) since.push_back(before < row && row <= evaluation.rows);
    for (const std::string& name : KeptMetrics()) AddMean(metrics, name, since, &point.metrics);
    before = evaluation.rows;
    curve.push_back(std::move(point));
  }
  return curve;
}

TrialResult Result(const Trial& trial, const std::vector<Evaluation>& evaluations,
                   const CsvTable& metrics) {
  std::vector<double> returns;
  for (const Evaluation& evaluation : evaluations) returns.push_back(evaluation.return_mean);
  TrialResult result = {.key = trial.key};
  result.rows = LastOr(metrics.column("rows"), evaluations.back().rows);
  result.frames = result.rows * trial.config.env().action_repeat();
  result.updates = LastOr(metrics.column("update"), evaluations.back().updates);
  result.return_curve = Mean(returns);
  result.return_best = *std::max_element(returns.begin(), returns.end());
  if (returns.size() > 2) returns.erase(returns.begin(), returns.end() - 2);
  result.return_last = Mean(returns);
  const size_t lines = metrics.column("rows").size();
  std::vector<bool> second_half(lines);
  for (size_t i = 0; i < lines; ++i) second_half[i] = i >= lines / 2;
  for (const std::string& name : KeptMetrics()) {
    AddMean(metrics, name, second_half, &result.metrics);
  }
  for (const char* name : kMaxima) {
    const std::vector<double> values = Finite(metrics.column(name));
    if (values.empty()) continue;
    result.metrics[absl::StrCat("max_", name)] = *std::max_element(values.begin(), values.end());
  }
  return result;
}

std::vector<std::string> KeyColumns() { return {"setting", "task", "seed"}; }

std::vector<std::string> KeyCells(const TrialKey& key) {
  return {key.setting, key.task, absl::StrCat(key.seed)};
}

std::vector<std::string> ResultColumns() {
  std::vector<std::string> columns = KeyColumns();
  for (const char* name :
       {"rows", "frames", "updates", "return_last", "return_curve", "return_best"}) {
    columns.emplace_back(name);
  }
  columns.insert(columns.end(), KeptMetrics().begin(), KeptMetrics().end());
  for (const char* name : kMaxima) columns.push_back(absl::StrCat("max_", name));
  columns.emplace_back("flags");
  return columns;
}

void AddMetricCells(const std::vector<std::string>& names,
                    const std::map<std::string, double>& metrics, std::vector<std::string>* cells) {
  for (const std::string& name : names) {
    const auto it = metrics.find(name);
    cells->push_back(it == metrics.end() ? "" : CsvNumber(it->second));
  }
}

std::string ResultsText(const std::vector<TrialResult>& trials) {
  const std::vector<std::string> columns = ResultColumns();
  const std::vector<std::string> metrics(columns.begin() + 9, columns.end() - 1);
  std::string text = CsvLine(columns) + "\n";
  for (const TrialResult& trial : trials) {
    std::vector<std::string> cells = KeyCells(trial.key);
    for (const double value : {trial.rows, trial.frames, trial.updates, trial.return_last,
                               trial.return_curve, trial.return_best}) {
      cells.push_back(CsvNumber(value));
    }
    AddMetricCells(metrics, trial.metrics, &cells);
    cells.push_back(trial.flags);
    absl::StrAppend(&text, CsvLine(cells), "\n");
  }
  return text;
}

std::string CurvesText(const std::vector<CurvePoint>& curves) {
  std::vector<std::string> columns = KeyColumns();
  for (const char* name : {"rows", "frames", "return_mean"}) columns.emplace_back(name);
  columns.insert(columns.end(), KeptMetrics().begin(), KeptMetrics().end());
  std::string text = CsvLine(columns) + "\n";
  for (const CurvePoint& point : curves) {
    std::vector<std::string> cells = KeyCells(point.key);
    for (const double value : {point.rows, point.frames, point.return_mean}) {
      cells.push_back(CsvNumber(value));
    }
    AddMetricCells(KeptMetrics(), point.metrics, &cells);
    absl::StrAppend(&text, CsvLine(cells), "\n");
  }
  return text;
}

std::string TimesText(const std::vector<TimePoint>& times) {
  std::string text = "setting,task,seed,rows,seconds,peak_memory_mib\n";
  for (const TimePoint& time : times) {
    std::vector<std::string> cells = KeyCells(time.key);
    for (const double value : {time.rows, time.seconds, time.peak_memory_mib}) {
      cells.push_back(CsvNumber(value));
    }
    absl::StrAppend(&text, CsvLine(cells), "\n");
  }
  return text;
}

absl::StatusOr<std::vector<Row>> ReadTableIfThere(const std::string& path) {
  absl::StatusOr<std::vector<Row>> rows = ReadTable(path);
  if (absl::IsNotFound(rows.status())) return std::vector<Row>();
  return rows;
}

std::map<std::string, double> MetricsOf(const Row& row) {
  std::map<std::string, double> metrics;
  for (const auto& [name, cell] : row) {
    const bool kept =
        std::find(KeptMetrics().begin(), KeptMetrics().end(),
                  absl::StartsWith(name, "max_") ? name.substr(4) : name) != KeptMetrics().end();
    const double value = Number(row, name);
    if (kept && std::isfinite(value)) metrics[name] = value;
  }
  return metrics;
}

template <typename T>
void ReplaceLines(const TrialKey& key, const std::vector<T>& with, std::vector<T>* lines) {
  std::erase_if(*lines, [&key](const T& line) { return line.key == key; });
  lines->insert(lines->end(), with.begin(), with.end());
}

template <typename T>
void SortLines(const std::map<TrialKey, size_t>& places, std::vector<T>* lines) {
  const auto place = [&places](const T& line) {
    const auto it = places.find(line.key);
    return it == places.end() ? places.size() : it->second;
  };
  std::stable_sort(lines->begin(), lines->end(),
                   [&place](const T& a, const T& b) { return place(a) < place(b); });
}

}  // namespace

const std::vector<std::string>& KeptMetrics() {
  static const auto* names = new std::vector<std::string>{
      "policy_prior_kl", "kl_scale",          "value_scale",
      "value",           "regularized_value", "clamped_regularized_targets",
      "clipped_actions", "policy_std",        "prior_std",
      "planner_std"};
  return *names;
}

double TrialResult::Return(proto::SweepConfig::Metric metric) const {
  switch (metric) {
    case proto::SweepConfig::END:
      return return_last;
    case proto::SweepConfig::BEST:
      return return_best;
    default:
      return return_curve;
  }
}

const TrialResult* SweepResults::Find(const TrialKey& key) const {
  const auto it = std::find_if(trials.begin(), trials.end(),
                               [&key](const TrialResult& trial) { return trial.key == key; });
  return it == trials.end() ? nullptr : &*it;
}

void SweepResults::Replace(const SweepResults& trial) {
  for (const TrialResult& result : trial.trials) {
    ReplaceLines(result.key, {result}, &trials);
    ReplaceLines(result.key, trial.curves, &curves);
    ReplaceLines(result.key, trial.times, &times);
  }
}

void SweepResults::SortBy(const SweepPlan& plan) {
  std::map<TrialKey, size_t> places;
  for (const Trial& trial : plan.trials) places.emplace(trial.key, places.size());
  SortLines(places, &trials);
  SortLines(places, &curves);
  SortLines(places, &times);
}

absl::StatusOr<SweepResults> SumUp(const Trial& trial, const std::string& run_dir,
                                   double peak_memory_mib) {
  POMPC_ASSIGN_OR_RETURN(const CsvTable table, ReadCsvIfThere(EvaluationsFile(run_dir)));
  POMPC_ASSIGN_OR_RETURN(const CsvTable metrics, ReadCsvIfThere(MetricsFile(run_dir)));
  POMPC_ASSIGN_OR_RETURN(const CsvTable timings, ReadCsvIfThere(TimingsFile(run_dir)));
  const std::vector<Evaluation> evaluations = Evaluations(table);
  if (evaluations.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(run_dir, ": the run ended without an evaluation"));
  }
  SweepResults results;
  results.trials.push_back(Result(trial, evaluations, metrics));
  results.curves = Curve(trial, evaluations, metrics);
  for (const Evaluation& evaluation : evaluations) {
    results.times.push_back({trial.key, evaluation.rows, SecondsOf(evaluation, timings), NAN});
  }
  results.times.push_back({trial.key, results.trials[0].rows,
                           LastOr(timings.column("elapsed_seconds"), NAN), peak_memory_mib});
  return results;
}

absl::StatusOr<std::vector<TrialResult>> ReadTrialResults(const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<Row> rows, ReadTable(path));
  std::vector<TrialResult> trials;
  for (size_t i = 0; i < rows.size(); ++i) {
    TrialResult trial;
    POMPC_ASSIGN_OR_RETURN(trial.key, KeyOf(rows[i], path, i + 2));
    trial.rows = Number(rows[i], "rows");
    trial.frames = Number(rows[i], "frames");
    trial.updates = Number(rows[i], "updates");
    trial.return_last = Number(rows[i], "return_last");
    trial.return_curve = Number(rows[i], "return_curve");
    trial.return_best = Number(rows[i], "return_best");
    trial.metrics = MetricsOf(rows[i]);
    trial.flags = Cell(rows[i], "flags");
    trials.push_back(std::move(trial));
  }
  return trials;
}

absl::StatusOr<SweepResults> ReadResults(const std::string& folder) {
  SweepResults results;
  absl::StatusOr<std::vector<TrialResult>> trials =
      ReadTrialResults(absl::StrCat(folder, "/", kResultsFile));
  if (absl::IsNotFound(trials.status())) return results;
  if (!trials.ok()) return trials.status();
  results.trials = *std::move(trials);
  std::set<TrialKey> finished;
  for (const TrialResult& trial : results.trials) finished.insert(trial.key);
  const std::string curves = absl::StrCat(folder, "/", kCurvesFile);
  POMPC_ASSIGN_OR_RETURN(std::vector<Row> rows, ReadTableIfThere(curves));
  for (size_t i = 0; i < rows.size(); ++i) {
    POMPC_ASSIGN_OR_RETURN(const TrialKey key, KeyOf(rows[i], curves, i + 2));
    if (!finished.contains(key)) continue;
    results.curves.push_back({key, Number(rows[i], "rows"), Number(rows[i], "frames"),
                              Number(rows[i], "return_mean"), MetricsOf(rows[i])});
  }
  const std::string times = absl::StrCat(folder, "/", kTimesFile);
  POMPC_ASSIGN_OR_RETURN(rows, ReadTableIfThere(times));
  for (size_t i = 0; i < rows.size(); ++i) {
    POMPC_ASSIGN_OR_RETURN(const TrialKey key, KeyOf(rows[i], times, i + 2));
    if (!finished.contains(key)) continue;
    results.times.push_back({key, Number(rows[i], "rows"), Number(rows[i], "seconds"),
                             Number(rows[i], "peak_memory_mib")});
  }
  return results;
}

absl::Status WriteResults(const std::string& folder, const SweepResults& results) {
  POMPC_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(folder, "/", kCurvesFile), CurvesText(results.curves)));
  POMPC_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(folder, "/", kTimesFile), TimesText(results.times)));
  return WriteFileAtomically(absl::StrCat(folder, "/", kResultsFile), ResultsText(results.trials));
}

std::string CsvLine(const std::vector<std::string>& cells) {
  return absl::StrJoin(cells, ",", [](std::string* out, const std::string& cell) {
    if (cell.find_first_of(",\"\n\r") == std::string::npos) {
      out->append(cell);
    } else {
      absl::StrAppend(out, "\"", absl::StrReplaceAll(cell, {{"\"", "\"\""}}), "\"");
    }
  });
}

std::string CsvNumber(double value, int digits) {
  return std::isfinite(value) ? absl::StrFormat("%.*g", digits, value) : "";
}

}  // namespace pompc::cli
