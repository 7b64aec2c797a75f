#ifndef POMPC_ACTOR_CORE_PLAN_ASKER_H_
#define POMPC_ACTOR_CORE_PLAN_ASKER_H_

#include <cstddef>
#include <vector>

#include "absl/time/time.h"
#include "actor/core/plan_source.h"

namespace pompc::actor {

// Asks for the plans of one thread's environments: what they ask for shortly after each other goes
// out in one request, for a request costs far more than a query. Does not look at a clock and waits
// for nothing: whoever adds queries must call Send before it waits for answers. Not thread-safe.
class PlanAsker {
 public:
  // A query stays for so long at most while others are added: a few dozen steps of a light
  // environment, and less than a plan takes. Heavy ones ask one by one, so that planners work
  // meanwhile.
  static constexpr absl::Duration kGather = absl::Milliseconds(1);

  // Both must outlive it.
  PlanAsker(PlanSource* source, PlanListener* listener);

  // Adds a query at time `now`. Sends what is there if it is kMaxQueries or has been gathered for
  // kGather; before the query is added, if that is to be planned in another mode or would make the
  // request too large.
  void Add(const PlanQuery& query, const PlanMode& mode, absl::Duration now);
  // Sends what is there, if anything is.
  void Send();

 private:
  PlanSource* const source_;
  PlanListener* const listener_;
  std::vector<PlanQuery> queries_;
  // Numbers in queries_ take so many bytes.
  size_t bytes_ = 0;
  // Of queries_, and since when they are gathered.
  PlanMode mode_;
  absl::Duration since_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_PLAN_ASKER_H_
