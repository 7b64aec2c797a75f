#include "rundir/evaluation_log.h"

#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"

namespace pompc::rundir {
namespace {

const std::vector<std::string>& Columns() {
  static const auto* columns = new std::vector<std::string>{
      "evaluation_id", "version",     "rows",        "updates",    "elapsed_seconds",
      "episodes",      "return_mean", "return_ci95", "return_min", "return_max"};
  return *columns;
}

bool ParseVersion(const std::string& text, ParameterVersion* version) {
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &version->incarnation) &&
         absl::SimpleAtoi(parts[1], &version->number);
}

bool ParseResult(const CsvFile::Row& row, run::EvaluationResult* result) {
  return absl::SimpleAtoi(row[0], &result->id) && ParseVersion(row[1], &result->version) &&
         absl::SimpleAtoi(row[2], &result->rows) && absl::SimpleAtoi(row[3], &result->updates) &&
         absl::SimpleAtod(row[4], &result->elapsed_seconds) &&
         absl::SimpleAtoi(row[5], &result->episodes) &&
         absl::SimpleAtod(row[6], &result->return_mean) && std::isfinite(result->return_mean) &&
         absl::SimpleAtod(row[7], &result->return_ci95) &&
         absl::SimpleAtod(row[8], &result->return_min) &&
         absl::SimpleAtod(row[9], &result->return_max);
}

}  // namespace

absl::StatusOr<std::vector<run::EvaluationResult>> EvaluationLog::Read(const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<CsvFile::Row> rows, ReadCsv(path, Columns()));
  std::vector<run::EvaluationResult> results(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    if (ParseResult(rows[i], &results[i])) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(path, ":", i + 2, ": is not an evaluation (numbers expected)"));
  }
  return results;
}

absl::StatusOr<std::unique_ptr<EvaluationLog>> EvaluationLog::Open(const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<CsvFile> file, CsvFile::Open(path, Columns()));
  return std::unique_ptr<EvaluationLog>(new EvaluationLog(std::move(file)));
}

absl::Status EvaluationLog::Flush() {
  POMPC_RETURN_IF_ERROR(file_->Flush());
  if (file_->lost_rows() == 0) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("evaluations.csv lacks ", file_->lost_rows(),
                                          " results: it could not be written for so long that no "
                                          "more could be kept"));
}

absl::Status EvaluationLog::Append(const run::EvaluationResult& result) {
  return file_->Append({absl::StrCat(result.id), result.version.ToString(),
                        absl::StrCat(result.rows), absl::StrCat(result.updates),
                        FormatNumber(result.elapsed_seconds), absl::StrCat(result.episodes),
                        FormatNumber(result.return_mean), FormatNumber(result.return_ci95),
                        FormatNumber(result.return_min), FormatNumber(result.return_max)});
}

}  // namespace pompc::rundir
