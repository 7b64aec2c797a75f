#ifndef POMPC_LEARNER_MONITOR_H_
#define POMPC_LEARNER_MONITOR_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/occasionally.h"
#include "common/base/threads.h"
#include "learner/checkpoint_writer.h"
#include "parameters/parameter_service.h"
#include "run/control/run_control.h"
#include "rundir/csv_file.h"
#include "rundir/evaluation_log.h"
#include "rundir/event_file.h"

namespace pompc::learner {

struct MonitorOptions {
  std::string run_dir;
  absl::Duration interval = absl::Milliseconds(200);
  // Between lines of progress in the process's log, with each of which freed memory is returned to
  // the system.
  absl::Duration progress_interval = absl::Seconds(30);
  // The status reports a checkpoint that takes longer to write like one that could not be written.
  absl::Duration slow_write = absl::Seconds(30);
  // Called once, from a thread that lets time pass, with the error of
  // CheckpointWriter::CheckInPlace. May be null.
  std::function<void(const absl::Status&)> on_moved;
  // Called in each round with the training episodes that have come in since the last one. May be
  // null.
  std::function<void(const std::vector<run::EpisodeNews>&)> on_round;
  Clock* clock = Clock::Real();
};

// Does the periodic work of a learner on a thread of its own. It ticks the RunControl and tells it
// the state of planners and checkpoints. It writes evaluations.csv, episodes.csv and lines of
// progress, and passes results of evaluations to the checkpoint writer. It checks that the run
// directory is still in its place. What cannot be written, for example because the disk is full, is
// tried again. Owns one thread; thread-safe.
class Monitor {
 public:
  // What is given must outlive it; `events`, where evaluations go as well, may be null. Errors name
  // the file that cannot be written.
  static absl::StatusOr<std::unique_ptr<Monitor>> Start(
      const MonitorOptions& options, run::RunControl* control, CheckpointWriter* checkpoints,
      const parameters::ParameterService* parameters, rundir::EventFile* events);
  // Closes.
  ~Monitor();

  // Writes the evaluations that have arrived until now. If that fails, it tries again for `timeout`
  // at most and then returns the error, which names the file.
  absl::Status Finish(absl::Duration timeout);

  // Writes down what has come in until now and ends the thread. Idempotent.
  void Close();

 private:
  // Between log lines about one file that cannot be written.
  static constexpr absl::Duration kTellAgain = absl::Seconds(30);

  Monitor(const MonitorOptions& options, run::RunControl* control, CheckpointWriter* checkpoints,
          const parameters::ParameterService* parameters, rundir::EventFile* events,
          std::unique_ptr<rundir::EvaluationLog> evaluations,
          std::unique_ptr<rundir::CsvFile> episodes);

  void Run();
  // The error of evaluations.csv.
  absl::Status Round();
  void Observe();
  void LookForFolder() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Record(const run::EvaluationNews& news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LogProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const MonitorOptions options_;
  run::RunControl* const control_;
  CheckpointWriter* const checkpoints_;
  const parameters::ParameterService* const parameters_;
  rundir::EventFile* const events_;

  // Held for a whole round.
  Mutex mu_;
  const std::unique_ptr<rundir::EvaluationLog> evaluations_ ABSL_PT_GUARDED_BY(mu_);
  const std::unique_ptr<rundir::CsvFile> episodes_ ABSL_PT_GUARDED_BY(mu_);
  absl::Duration next_progress_ ABSL_GUARDED_BY(mu_);
  // The run directory is no longer in its place, and on_moved was called.
  bool moved_ ABSL_GUARDED_BY(mu_) = false;
  Occasionally evaluations_failed_ ABSL_GUARDED_BY(mu_){kTellAgain};
  Occasionally episodes_failed_ ABSL_GUARDED_BY(mu_){kTellAgain};
  Occasionally events_failed_ ABSL_GUARDED_BY(mu_){kTellAgain};

  Event closed_;
  Thread thread_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_MONITOR_H_
