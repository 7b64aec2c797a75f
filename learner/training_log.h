#ifndef POMPC_LEARNER_TRAINING_LOG_H_
#define POMPC_LEARNER_TRAINING_LOG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "learner/engine/engine.h"
#include "rundir/csv_file.h"
#include "rundir/event_file.h"

namespace pompc::learner {

// metrics.csv and timings.csv of a run directory: what an update measured, and how fast things
// went. What depends on the clock stands in timings.csv alone. Not thread-safe.
class TrainingLog {
 public:
  // Opens both files. Rows of updates after `restored_updates`, which were lost and are made again,
  // are dropped. `states` names what the trainer's time is split into. What Append is given goes to
  // `events` as well, unless that is null; it must outlive the log.
  static absl::StatusOr<std::unique_ptr<TrainingLog>> Open(
      const std::string& run_dir, const std::vector<std::string>& value_names,
      const std::vector<std::string>& states, uint64_t restored_updates, rundir::EventFile* events);

  struct Entry {
    uint64_t updates = 0;
    uint64_t rows = 0;
    NamedValues values;
    double elapsed_seconds = 0;
    double rows_per_second = 0;
    double updates_per_second = 0;
    // Seconds in each state since the process started; the log has the shares since the last entry.
    // REQUIRES: as many in every entry.
    std::vector<double> state_seconds;
  };
  // Rows that cannot be written (the disk is full) wait, as CsvFile's do; what could not be written
  // to `events` is lost.
  absl::Status Append(const Entry& entry);
  // Writes the rows that wait; OK when there are none.
  absl::Status Flush();

 private:
  TrainingLog(std::unique_ptr<rundir::CsvFile> metrics, std::unique_ptr<rundir::CsvFile> timings,
              rundir::EventFile* events)
      : metrics_(std::move(metrics)), timings_(std::move(timings)), events_(events) {}

  absl::Status AppendEvents(const Entry& entry);

  const std::unique_ptr<rundir::CsvFile> metrics_;
  const std::unique_ptr<rundir::CsvFile> timings_;
  rundir::EventFile* const events_;
  std::vector<double> last_seconds_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_TRAINING_LOG_H_
