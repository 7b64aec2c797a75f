#ifndef POMPC_COMMON_BASE_TURNS_H_
#define POMPC_COMMON_BASE_TURNS_H_

#include <optional>

#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/values/parameter_version.h"

namespace pompc {

// Lets two threads of one process work in turns: one hands the other a turn and waits until it
// comes back. At most one turn is out at a time. Thread-safe.
class Turns {
 public:
  struct Turn {
    // The version to plan with; if it is not valid(), act at random.
    ParameterVersion version;
  };

  explicit Turns(Clock* clock) : clock_(clock) {}

  // Hands out a turn. REQUIRES: none is out.
  void Give(const Turn& turn) {
    MutexLock lock(&mu_);
    POMPC_CHECK(!out_, "one turn at a time");
    given_ = turn;
    out_ = true;
    changed_.SignalAll();
  }
  // Waits up to `timeout` for the turn to come back, and returns whether it has.
  bool AwaitBack(absl::Duration timeout) {
    MutexLock lock(&mu_);
    const absl::Duration deadline = clock_->Now() + timeout;
    while (out_ && clock_->WaitUntil(&changed_, &mu_, deadline)) {
    }
    return !out_;
  }

  // Waits up to `timeout` for a turn to be handed out and takes it; returns nothing if none was.
  // Who takes a turn must give it back once.
  std::optional<Turn> Take(absl::Duration timeout) {
    MutexLock lock(&mu_);
    const absl::Duration deadline = clock_->Now() + timeout;
    while (!given_.has_value() && clock_->WaitUntil(&changed_, &mu_, deadline)) {
    }
    std::optional<Turn> taken;
    taken.swap(given_);
    return taken;
  }
  void GiveBack() {
    MutexLock lock(&mu_);
    POMPC_CHECK(out_ && !given_.has_value(), "given back without having been taken");
    out_ = false;
    changed_.SignalAll();
  }

 private:
  Clock* const clock_;
  Mutex mu_;
  CondVar changed_;
  // The turn that was handed out and is not taken yet.
  std::optional<Turn> given_ ABSL_GUARDED_BY(mu_);
  bool out_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_TURNS_H_
