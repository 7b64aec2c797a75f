#include "rundir/evaluation_log.h"

#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "proto/parameter_version.h"

namespace pompc::rundir {
namespace {

const std::vector<std::string>& Columns() {
  static const auto* columns = new std::vector<std::string>{
      "evaluation_id", "version",     "rows",        "updates",    "elapsed_seconds",
      "episodes",      "return_mean", "return_ci95", "return_min", "return_max"};
  return *columns;
}

bool ParseVersion(const std::string& text, proto::ParameterVersion* version) {
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  ParameterVersion parsed;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &parsed.incarnation) ||
      !absl::SimpleAtoi(parts[1], &parsed.number)) {
    return false;
  }
  *version = ToProto(parsed);
  return true;
}

bool ParseResult(const CsvFile::Row& row, proto::EvaluationResult* result) {
  using Result = proto::EvaluationResult;
  const auto count = [&](int column, void (Result::*set)(uint64_t)) {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(row[column], &number)) return false;
    (result->*set)(number);
    return true;
  };
  const auto real = [&](int column, void (Result::*set)(double)) {
    double number = 0;
    if (!absl::SimpleAtod(row[column], &number)) return false;
    (result->*set)(number);
    return true;
  };
  uint32_t episodes = 0;
  if (!absl::SimpleAtoi(row[5], &episodes)) return false;
  result->set_episodes(episodes);
  // The mean decides which checkpoint is the best, and nothing compares with NaN.
  return count(0, &Result::set_evaluation_id) && ParseVersion(row[1], result->mutable_version()) &&
         count(2, &Result::set_rows) && count(3, &Result::set_updates) &&
         real(4, &Result::set_elapsed_seconds) && real(6, &Result::set_return_mean) &&
         std::isfinite(result->return_mean()) && real(7, &Result::set_return_ci95) &&
         real(8, &Result::set_return_min) && real(9, &Result::set_return_max);
}

}  // namespace

absl::StatusOr<std::vector<proto::EvaluationResult>> EvaluationLog::Read(const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<CsvFile::Row> rows, ReadCsv(path, Columns()));
  std::vector<proto::EvaluationResult> results(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    if (ParseResult(rows[i], &results[i])) continue;
    // Lines are numbered from 1, and the first one is the header.
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

absl::Status EvaluationLog::Append(const proto::EvaluationResult& result) {
  return file_->Append({absl::StrCat(result.evaluation_id()),
                        FromProto(result.version()).ToString(), absl::StrCat(result.rows()),
                        absl::StrCat(result.updates()), FormatNumber(result.elapsed_seconds()),
                        absl::StrCat(result.episodes()), FormatNumber(result.return_mean()),
                        FormatNumber(result.return_ci95()), FormatNumber(result.return_min()),
                        FormatNumber(result.return_max())});
}

}  // namespace pompc::rundir
