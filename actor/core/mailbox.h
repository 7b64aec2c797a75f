#ifndef POMPC_ACTOR_CORE_MAILBOX_H_
#define POMPC_ACTOR_CORE_MAILBOX_H_

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "actor/core/plan_source.h"
#include "actor/core/row_sink.h"
#include "common/base/threads.h"

namespace pompc::actor {

// What happened to one environment since its worker last looked.
struct Letter {
  int slot = 0;
  bool plan_done = false;
  absl::Status plan_status;
  // When the plan arrived.
  absl::Duration plan_time;
  bool room = false;
  // Not OK: replay refused an episode; of several, why it refused the last.
  absl::Status refusal;
};

// Tells a worker thread what happened to the environments it steps: answered plans, room in replay,
// refusals, or just that it should look up. Events of one environment collect in one letter, so the
// box is bounded by the number of environments and no kind of event is ever lost. Thread-safe; one
// thread takes.
class Mailbox : public PlanListener, public RowSinkListener {
 public:
  // Serves environments `first` .. `first + count - 1`; letters name them as slots 0 .. count - 1.
  Mailbox(int first, int count, Clock* clock);

  void OnPlans(std::span<const int> slots, const absl::Status& status) override;
  void OnRoom(int environment) override;
  void OnRefused(int environment, const absl::Status& why) override;
  // Wakes the taker without a letter.
  void Wake();

  // Moves all letters into `letters`. Waits until there is one, until Wake (a Wake before the call
  // counts), or until `deadline` of the clock.
  void Take(absl::Duration deadline, std::vector<Letter>* letters);

 private:
  Letter* Open(int slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int first_;
  Clock* const clock_;

  Mutex mu_;
  CondVar changed_;
  std::vector<Letter> letters_ ABSL_GUARDED_BY(mu_);
  // Position in letters_ of each slot's letter, or -1.
  std::vector<int> open_ ABSL_GUARDED_BY(mu_);
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_MAILBOX_H_
