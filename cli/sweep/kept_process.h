#ifndef POMPC_CLI_SWEEP_KEPT_PROCESS_H_
#define POMPC_CLI_SWEEP_KEPT_PROCESS_H_

#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/io/background_process.h"

namespace pompc::cli {

// A process that works for all trials of a sweep: the planner from which they have their plans, or
// an actor that steps their environments. One that ends is started again, as trials wait for it.
// Used by one thread, with whose end the process ends as well.
class KeptProcess {
 public:
  struct Options {
    // What it is, for messages: "the planner".
    std::string name;
    BackgroundProcess::Options process;
  };

  // Starts the process, and does not wait until it serves: trials do. Fails as
  // BackgroundProcess::Start.
  static absl::StatusOr<std::unique_ptr<KeptProcess>> Start(Options options);
  // Kills the process if it still runs.
  ~KeptProcess() = default;

  // A descriptor that poll() finds readable or closed once the process has ended; -1 while it is
  // not running.
  int end_fd() const { return process_ == nullptr ? -1 : process_->end_fd(); }

  // Starts the process again, a second after it has ended; says so on `out`. To be called now and
  // then. ABORTED with the last lines of its log if it has ended within ten seconds of its start
  // three times running, and as BackgroundProcess::Start.
  absl::Status Tend(std::ostream* out);

  // Tells the process to end; Stop then waits less.
  void BeginStop();
  // Tells the process to end and waits, for some seconds at most. Returns how it ended.
  ProcessEnd Stop();

 private:
  explicit KeptProcess(Options options) : options_(std::move(options)) {}

  absl::Status StartProcess();

  const Options options_;
  // Null while the pause after an end lasts.
  std::unique_ptr<BackgroundProcess> process_;
  absl::Duration started_at_;
  absl::Duration start_again_at_;
  // Ends soon after the start, one after the other.
  int early_ends_ = 0;
};

// The processes of a sweep that work for all of its trials.
struct SweepProcesses {
  // "127.0.0.1:PORT" of the planner, the same for as long as this lives; empty if there is none.
  std::string planner_address;
  std::unique_ptr<KeptProcess> planner;
  std::vector<std::unique_ptr<KeptProcess>> actors;

  // All of them.
  std::vector<KeptProcess*> all() const;
  // Stops the actors, then the planner. Returns how the latter ended.
  ProcessEnd Stop();
};

struct SharedPlannerOptions {
  // pompc-planner.
  std::string program;
  // The file to whose end its log is written.
  std::string log;
  // Trials that it serves at a time, at least 1.
  int trials = 1;
  // Threads that plan, 0: one a core; and the device: cpu, cuda or cuda:N.
  int threads = 0;
  std::string device = "cpu";
  // What is added to its niceness.
  int nice = 0;
};

// Starts the one planner of all trials, which serves the runs that name themselves. Fails as
// KeptProcess::Start, and with UNAVAILABLE if there is no free port.
absl::Status StartSharedPlanner(const SharedPlannerOptions& options, SweepProcesses* processes);

struct FleetActorsOptions {
  // pompc-actor.
  std::string program;
  // The folder to which their logs are written, as actor-N.log.
  std::string folder;
  // The planners at which they find trials, as the value of --planners.
  std::string planners;
  // More flags of pompc-actor.
  std::vector<std::string> flags;
  // Their number, and the environments of each, at least 1.
  int actors = 1;
  int environments = 1;
  // What is added to their niceness.
  int nice = 0;
};

// Starts actors that divide themselves among the trials. Fails as KeptProcess::Start.
absl::Status StartFleetActors(const FleetActorsOptions& options, SweepProcesses* processes);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_KEPT_PROCESS_H_
