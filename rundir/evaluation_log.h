#ifndef POMPC_RUNDIR_EVALUATION_LOG_H_
#define POMPC_RUNDIR_EVALUATION_LOG_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/run.pb.h"
#include "rundir/csv_file.h"

namespace pompc::rundir {

// evaluations.csv of a run directory: what was measured of the run's policies. Results are facts:
// they stay when the run resumes from a checkpoint made before them. Not thread-safe.
class EvaluationLog {
 public:
  // Results of earlier starts, in the order they came in. FAILED_PRECONDITION naming the line that
  // cannot be read, or whose return is no finite number.
  static absl::StatusOr<std::vector<proto::EvaluationResult>> Read(const std::string& path);

  static absl::StatusOr<std::unique_ptr<EvaluationLog>> Open(const std::string& path);
  // A result that cannot be written (the disk is full) waits, as CsvFile's rows do.
  absl::Status Append(const proto::EvaluationResult& result);
  // Writes the results that wait; OK when there are none. DATA_LOSS, from then on, once some were
  // lost because too many waited.
  absl::Status Flush();

 private:
  explicit EvaluationLog(std::unique_ptr<CsvFile> file) : file_(std::move(file)) {}

  const std::unique_ptr<CsvFile> file_;
};

}  // namespace pompc::rundir

#endif  // POMPC_RUNDIR_EVALUATION_LOG_H_
