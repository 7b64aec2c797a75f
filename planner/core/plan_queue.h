#ifndef POMPC_PLANNER_CORE_PLAN_QUEUE_H_
#define POMPC_PLANNER_CORE_PLAN_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "planner/core/backend.h"
#include "planner/core/plan_call.h"
#include "planner/core/planner_run.h"
#include "planner/core/run_lanes.h"

namespace pompc::planner {

// The calls that wait, and the decision what to plan next. Runs share the planner's time evenly,
// and within a run its clients share its plans evenly, however many calls each has waiting: a
// client that asks for a few plans at a time gets them within about as many turns, beside others
// that always have hundreds waiting (start-time fair queueing, see RunLanes). A call that cannot be
// planned by its deadline is refused when it comes. No threads, no clock: the batcher's lock guards
// it, and tests step it.
class PlanQueue {
 public:
  struct Options {
    // Threads that poll it. A batch is at most a thread's even share of what waits for the run.
    int threads = 1;
    // Each plan is a batch of its own (PlanBackend::plans_one_by_one).
    bool one_by_one = false;
  };

  // What the caller has to do now.
  struct Step {
    // Calls to answer without planning: DEADLINE_EXCEEDED for those that waited too long,
    // INVALID_ARGUMENT for those that no longer fit (the run was resumed with another horizon).
    struct Refused {
      std::shared_ptr<PlannerRun> run;
      PlanCall call;
      absl::Status status;
    };
    std::vector<Refused> refused;
    // Calls of `run` to plan together, with `model`; empty if nothing waits.
    std::vector<PlanCall> batch;
    std::shared_ptr<PlannerRun> run;
    std::shared_ptr<const PlannerModel> model;
  };

  // A call that was taken out before it was planned.
  struct Removed {
    std::shared_ptr<PlannerRun> run;
    PlanCall call;
  };

  // REQUIRES: options.threads >= 1.
  explicit PlanQueue(const Options& options);

  // Appends calls of `run` at time `now`, all or none, and returns the id of the first; the others
  // count up from it. RESOURCE_EXHAUSTED, with a hint when to come again (RetryAfter in
  // common/base/retry.h) if anything was measured,
  // - when max_queue calls of the run wait already; until then all are taken;
  // - when not even the shortest times measured lately (ServiceTimes::Least) let the last of the
  //   calls be planned by the deadline. They are taken all the same where nothing waits and a
  //   thread is free, so that they measure anew, and where an idle planner would be too late as
  //   well, so that coming again would not help.
  // REQUIRES: there are calls, of one client, with one deadline and one pinned version; the run has
  // parameters.
  absl::StatusOr<uint64_t> Push(const std::shared_ptr<PlannerRun>& run, std::vector<PlanCall> calls,
                                absl::Duration now);

  // Takes out the refused calls, and the next batch for a thread. The run that was served least
  // leads; in it the client that was served least decides the parameters, and calls that wait for
  // the same parameters join, those of the client served least first, up to max_batch of these and
  // the thread's share. REQUIRES: runs with calls have parameters.
  Step Poll(absl::Duration now);

  // The batch of a Poll, with `plans` plans, took `compute` and ended at `now`. REQUIRES: called
  // once for each Poll that gave a batch; plans > 0.
  void Planned(PlannerRun& run, size_t plans, absl::Duration compute, absl::Duration now);

  // Takes out one call, if it still waits.
  std::optional<Removed> Remove(uint64_t id);
  // Takes out all, in the order of their ids.
  std::vector<Removed> TakeAll();

  size_t size() const { return where_.size(); }
  bool empty() const { return where_.empty(); }
  // Those of one run.
  size_t size(const std::string& run_id) const;
  // Nothing waits, and every batch was reported by Planned().
  bool idle() const { return empty() && in_flight_ == 0; }

 private:
  struct Run {
    // Set while calls wait: the queue must not hold the parameters of a run without any.
    std::shared_ptr<PlannerRun> run;
    RunLanes lanes;
    // Time that its plans have taken, plus the turn at which its calls began to wait. It remains
    // for a while when none wait, so that a run with long plans and one call at a time does not get
    // more than its share.
    absl::Duration served;
  };
  // The place at which a call waits.
  struct Where {
    Run* run = nullptr;
    RunLanes::Lane lane;
  };

  // The run whose turn it is, null if nothing waits.
  Run* NextRun();
  void FillBatch(Run& run, Step* step);
  void RefuseExpired(absl::Duration now, Step* step);
  // Forgets where the call waited.
  void Forget(Run& run, const PlanCall& call);

  absl::Status CheckRoom(const PlannerRun& run, const Run* waiting) const;
  absl::Status CheckDeadline(const PlannerRun& run, const Run* waiting,
                             const std::vector<PlanCall>& calls, absl::Duration now) const;
  // The least time that one thread needs for so many plans of a run; zero if it was not measured.
  absl::Duration LeastTime(const PlannerRun& run, size_t plans, absl::Duration now) const;
  // The least time that one thread needs for what waits of other runs than `own` and comes before a
  // plan of a run that will have been served `until`.
  absl::Duration OthersTime(const Run* own, absl::Duration until, absl::Duration now) const;
  // What must hold between the fields after each change.
  void CheckInvariants() const;

  const Options options_;
  // The runs by their ids.
  std::map<std::string, Run> runs_;
  // The calls by their ids.
  std::unordered_map<uint64_t, Where> where_;
  // When to look for calls that waited too long: deadlines and ids.
  std::set<std::pair<absl::Duration, uint64_t>> deadlines_;
  uint64_t next_id_ = 1;
  // Batches that were taken and not yet reported.
  int in_flight_ = 0;
  // Time that the run that led the last batch had had before it; a new one begins there.
  absl::Duration turn_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_PLAN_QUEUE_H_
