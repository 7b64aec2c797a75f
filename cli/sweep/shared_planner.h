#ifndef POMPC_CLI_SWEEP_SHARED_PLANNER_H_
#define POMPC_CLI_SWEEP_SHARED_PLANNER_H_

#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/io/background_process.h"

namespace pompc::cli {

// The one planner process from which all trials of a sweep on this machine have their plans. It
// serves the runs that name themselves. One that ends is started again at the same address, as
// trials wait for it there. Used by one thread, with whose end the process ends as well.
class SharedPlanner {
 public:
  struct Options {
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

  // Starts the process, and does not wait until it serves: trials do. Fails as
  // BackgroundProcess::Start, and with UNAVAILABLE if there is no free port.
  static absl::StatusOr<std::unique_ptr<SharedPlanner>> Start(Options options);
  // Kills the process if it still runs.
  ~SharedPlanner() = default;

  // "127.0.0.1:PORT", the same for as long as this lives.
  const std::string& address() const { return address_; }

  // A descriptor that poll() finds readable or closed once the process has ended; -1 while it is
  // not running.
  int end_fd() const { return process_ == nullptr ? -1 : process_->end_fd(); }

  // Starts the process again, a second after it has ended; says so on `out`. To be called now and
  // then. ABORTED with the last lines of its log if it has ended within ten seconds of its start
  // three times running, and as BackgroundProcess::Start.
  absl::Status Tend(std::ostream* out);

  // Tells the process to end and waits, for some seconds at most. Returns how it ended.
  ProcessEnd Stop();

 private:
  SharedPlanner(Options options, std::string address)
      : options_(std::move(options)), address_(std::move(address)) {}

  absl::Status StartProcess();

  const Options options_;
  const std::string address_;
  // Null while the pause after an end lasts.
  std::unique_ptr<BackgroundProcess> process_;
  absl::Duration started_at_;
  absl::Duration start_again_at_;
  // Ends soon after the start, one after the other.
  int early_ends_ = 0;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_SHARED_PLANNER_H_
