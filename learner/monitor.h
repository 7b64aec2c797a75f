#ifndef POMPC_LEARNER_MONITOR_H_
#define POMPC_LEARNER_MONITOR_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/event.h"
#include "common/thread.h"
#include "learner/broadcast/parameter_service.h"
#include "learner/checkpoint_writer.h"
#include "learner/control/run_control.h"
#include "learner/csv_file.h"
#include "learner/evaluation_log.h"
#include "learner/event_file.h"

namespace pompc::learner {

struct MonitorOptions {
  std::string run_dir;
  absl::Duration interval = absl::Milliseconds(200);
  // Between lines of progress in the process's log, with each of which freed memory is returned to
  // the system.
  absl::Duration progress_interval = absl::Seconds(30);
  Clock* clock = Clock::Real();
};

// Lets time pass for a RunControl (it ticks it), tells it how planners and checkpoints are, and
// writes down what comes in meanwhile: evaluations.csv, episodes.csv, which checkpoint is the best,
// lines of progress. Owns one thread; thread-safe.
class Monitor {
 public:
  // What is given must outlive it; `events`, where evaluations go as well, may be null. Errors name
  // the file that cannot be written.
  static absl::StatusOr<std::unique_ptr<Monitor>> Start(const MonitorOptions& options,
                                                        RunControl* control,
                                                        CheckpointWriter* checkpoints,
                                                        const ParameterService* parameters,
                                                        EventFile* events);
  // Closes.
  ~Monitor();

  // Writes down what has come in until now and ends the thread. Idempotent.
  void Close();

 private:
  Monitor(const MonitorOptions& options, RunControl* control, CheckpointWriter* checkpoints,
          const ParameterService* parameters, EventFile* events,
          std::unique_ptr<EvaluationLog> evaluations, std::unique_ptr<CsvFile> episodes);

  void Run();
  void Round();
  void Observe();
  void Record(const EvaluationNews& news);
  void LogProgress();

  const MonitorOptions options_;
  RunControl* const control_;
  CheckpointWriter* const checkpoints_;
  const ParameterService* const parameters_;
  EventFile* const events_;
  const std::unique_ptr<EvaluationLog> evaluations_;
  const std::unique_ptr<CsvFile> episodes_;
  absl::Duration next_progress_;
  Event closed_;
  Thread thread_;
};

// One line: phase, rows, updates, rates, newest evaluation, time left, who waits.
std::string ProgressLine(const RunStatus& status);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_MONITOR_H_
