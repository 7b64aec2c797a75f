#ifndef POMPC_ACTOR_PLANNER_PLAN_SOURCE_H_
#define POMPC_ACTOR_PLANNER_PLAN_SOURCE_H_

#include <span>
#include <string>

#include "absl/time/time.h"
#include "actor/core/plan_source.h"
#include "planner/client/planner_client.h"

namespace pompc::actor {

// Plans from the run's planners. Thread-safe; owns the client and with it one thread.
class PlannerPlanSource : public PlanSource {
 public:
  // A request is given up after `timeout`, which is longer than 64 plans of the largest model take
  // on one core.
  explicit PlannerPlanSource(const planner::PlannerClientOptions& options,
                             absl::Duration timeout = absl::Minutes(2))
      : client_(options), timeout_(timeout) {}

  void Request(std::span<const PlanQuery> queries, const PlanMode& mode,
               PlanListener* listener) override;

  // Who has been waiting for planners for more than a moment, and why; empty when nobody has.
  std::string Waiting() const;

  // Ends all requests with CANCELLED, those to come as well. Idempotent.
  void Close() { client_.Close(); }

 private:
  planner::PlannerClient client_;
  const absl::Duration timeout_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_PLANNER_PLAN_SOURCE_H_
