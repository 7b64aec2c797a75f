#include "learner/training_log.h"

#include <numeric>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::learner {

absl::StatusOr<std::unique_ptr<TrainingLog>> TrainingLog::Open(
    const std::string& run_dir, const std::vector<std::string>& value_names,
    const std::vector<std::string>& states, uint64_t restored_updates, rundir::EventFile* events) {
  // A start that resumes makes the updates after the checkpoint again, with other numbers: without
  // this a table would hold two rows of one update.
  const auto keep = [restored_updates](const rundir::CsvFile::Row& row) {
    uint64_t update = 0;
    return absl::SimpleAtoi(row[0], &update) && update <= restored_updates;
  };
  std::vector<std::string> metrics_columns = {"update", "rows"};
  metrics_columns.insert(metrics_columns.end(), value_names.begin(), value_names.end());
  std::vector<std::string> timings_columns = {"update", "elapsed_seconds", "rows_per_second",
                                              "updates_per_second"};
  for (const std::string& state : states) timings_columns.push_back("share_" + state);
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<rundir::CsvFile> metrics,
                         rundir::CsvFile::Open(run_dir + "/metrics.csv", metrics_columns, keep));
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<rundir::CsvFile> timings,
                         rundir::CsvFile::Open(run_dir + "/timings.csv", timings_columns, keep));
  return std::unique_ptr<TrainingLog>(
      new TrainingLog(std::move(metrics), std::move(timings), events));
}

absl::Status TrainingLog::AppendEvents(const Entry& entry) {
  if (events_ == nullptr) return absl::OkStatus();
  POMPC_RETURN_IF_ERROR(events_->Append(entry.updates, "update", entry.values));
  return events_->Append(entry.updates, "run",
                         {{"rows", static_cast<double>(entry.rows)},
                          {"rows_per_second", entry.rows_per_second},
                          {"updates_per_second", entry.updates_per_second}});
}

absl::Status TrainingLog::Append(const Entry& entry) {
  // Each file is written whatever becomes of the others.
  absl::Status status = AppendEvents(entry);
  rundir::CsvFile::Row metrics = {absl::StrCat(entry.updates), absl::StrCat(entry.rows)};
  // Losses are computed in float32: more digits would be noise.
  for (const auto& [name, value] : entry.values) {
    metrics.push_back(rundir::FormatNumber(static_cast<float>(value)));
  }
  status.Update(metrics_->Append(metrics));

  // Times since the process started become shares since the last row, which add up to 1.
  std::vector<double> spent = entry.state_seconds;
  POMPC_CHECK(last_seconds_.empty() || last_seconds_.size() == spent.size());
  for (size_t i = 0; i < last_seconds_.size(); ++i) spent[i] -= last_seconds_[i];
  last_seconds_ = entry.state_seconds;
  const double all = std::accumulate(spent.begin(), spent.end(), 0.0);
  rundir::CsvFile::Row timings = {
      absl::StrCat(entry.updates), rundir::FormatNumber(entry.elapsed_seconds),
      rundir::FormatNumber(entry.rows_per_second), rundir::FormatNumber(entry.updates_per_second)};
  for (double seconds : spent) timings.push_back(rundir::FormatNumber(all > 0 ? seconds / all : 0));
  status.Update(timings_->Append(timings));
  return status;
}

absl::Status TrainingLog::Flush() {
  absl::Status status = metrics_->Flush();
  status.Update(timings_->Flush());
  return status;
}

}  // namespace pompc::learner
