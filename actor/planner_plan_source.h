#ifndef POMPC_ACTOR_PLANNER_PLAN_SOURCE_H_
#define POMPC_ACTOR_PLANNER_PLAN_SOURCE_H_

#include <memory>
#include <span>
#include <string>

#include "absl/time/time.h"
#include "actor/core/plan_source.h"
#include "common/rpc/discovery.h"
#include "planner/client/planner_client.h"

namespace pompc::actor {

// Gets plans from the run's planners, wherever they are found at the time. Thread-safe. Owns the
// client, which has a thread of its own. Does not own the discovery, which must outlive it.
class PlannerPlanSource : public PlanSource {
 public:
  // A request fails after `timeout`; what the default is enough for is in docs/planner.md, "When a
  // planner does not answer". Planners are those of `planners` alone.
  PlannerPlanSource(const planner::PlannerClientOptions& options, rpc::Discovery* planners,
                    absl::Duration timeout = absl::Minutes(2));

  void Request(std::span<const PlanQuery> queries, const PlanMode& mode,
               PlanListener* listener) override;

  // Returns how many requests have waited for planners for more than a moment, and why; empty when
  // none has.
  std::string Waiting() const;

  // Ends all requests with CANCELLED, including later ones. Idempotent.
  void Close() { client_.Close(); }

 private:
  rpc::Discovery* const planners_;
  planner::PlannerClient client_;
  const absl::Duration timeout_;
  // Last: it tells the client.
  std::unique_ptr<rpc::Discovery::Watcher> watcher_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_PLANNER_PLAN_SOURCE_H_
