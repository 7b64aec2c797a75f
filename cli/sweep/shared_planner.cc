#include "cli/sweep/shared_planner.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/sweep/log_lines.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/io/listener.h"

namespace pompc::cli {
namespace {

// Ports below those that the system gives to outgoing connections, one of which could take a port
// before the planner is started again.
constexpr int kFirstPort = 20'000, kPorts = 10'000;
constexpr int kPortAttempts = 1'000;
// Runs of trials that were killed have no one who takes their names back; they make room by
// themselves after a minute.
constexpr int kMoreRuns = 8, kMostRuns = 256;
constexpr absl::Duration kEarly = absl::Seconds(10);
constexpr int kMostEarlyEnds = 3;
constexpr absl::Duration kPause = absl::Seconds(1);
// The planner answers what waits first, for which it takes ten seconds at most.
constexpr int kStopMs = 15'000;

absl::StatusOr<std::string> FreeAddress() {
  std::random_device random;
  absl::Status last;
  for (int i = 0; i < kPortAttempts; ++i) {
    const int port = kFirstPort + static_cast<int>(random() % kPorts);
    const auto listener = Listener::Open({.host = "127.0.0.1", .port = port});
    if (listener.ok()) return (*listener)->address().ToString();
    last = listener.status();
  }
  return last;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedPlanner>> SharedPlanner::Start(Options options) {
  POMPC_CHECK_GE(options.trials, 1);
  POMPC_ASSIGN_OR_RETURN(std::string address, FreeAddress());
  std::unique_ptr<SharedPlanner> planner(new SharedPlanner(std::move(options), std::move(address)));
  POMPC_RETURN_IF_ERROR(planner->StartProcess());
  return planner;
}

absl::Status SharedPlanner::StartProcess() {
  const int runs = std::min(2 * options_.trials + kMoreRuns, kMostRuns);
  std::vector<std::string> arguments = {options_.program,   "--accept-runs",
                                        "--listen",         address_,
                                        "--max-runs",       absl::StrCat(runs),
                                        "--metrics-listen", "127.0.0.1:0",
                                        "--threads",        absl::StrCat(options_.threads),
                                        "--device",         options_.device};
  POMPC_ASSIGN_OR_RETURN(process_, BackgroundProcess::Start({.arguments = std::move(arguments),
                                                             .log = options_.log,
                                                             .nice = options_.nice}));
  started_at_ = Clock::Real()->Now();
  return absl::OkStatus();
}

absl::Status SharedPlanner::Tend(std::ostream* out) {
  const absl::Duration now = Clock::Real()->Now();
  if (process_ == nullptr) {
    return now < start_again_at_ ? absl::OkStatus() : StartProcess();
  }
  const std::optional<ProcessEnd> end = process_->Poll();
  if (!end.has_value()) return absl::OkStatus();
  process_.reset();
  early_ends_ = now - started_at_ < kEarly ? early_ends_ + 1 : 0;
  if (early_ends_ == kMostEarlyEnds) {
    return absl::AbortedError(absl::StrCat("the planner ", end->ToString(), ", ", kMostEarlyEnds,
                                           " times running soon after its start; ", options_.log,
                                           ": ", absl::StrJoin(LastLines(options_.log), "; ")));
  }
  start_again_at_ = now + kPause;
  *out << "the planner " << end->ToString() << "; it is started again; its log is " << options_.log
       << std::endl;
  return absl::OkStatus();
}

ProcessEnd SharedPlanner::Stop() {
  if (process_ == nullptr) return {};
  process_->Signal(SIGTERM);
  pollfd wait = {.fd = process_->end_fd(), .events = POLLIN, .revents = 0};
  poll(&wait, 1, kStopMs);
  std::optional<ProcessEnd> end = process_->Poll();
  // Its pipe closes a moment before it can be waited for.
  for (int i = 0; !end.has_value() && i < 100; ++i) {
    poll(nullptr, 0, 10);
    end = process_->Poll();
  }
  process_.reset();
  return end.value_or(ProcessEnd{.signal = SIGKILL});
}

}  // namespace pompc::cli
