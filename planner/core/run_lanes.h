#ifndef POMPC_PLANNER_CORE_RUN_LANES_H_
#define POMPC_PLANNER_CORE_RUN_LANES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "planner/core/plan_call.h"

namespace pompc::planner {

// The calls of one run that wait, and whose turn it is. Clients take turns plan by plan, however
// many calls each has waiting (start-time fair queueing, Goyal et al., SIGCOMM 1996; calls pinned
// to different parameters count as different clients). A client's own calls come in the order of
// their ids. With n clients each function takes O(log n), where not said otherwise, and looks at
// each of the versions that calls are pinned to, of which there are few. Not thread-safe.
class RunLanes {
 public:
  // Whose calls wait for what: a client, and the parameters that it pins, null for none.
  struct Lane {
    uint64_t client = 0;
    const PlannerModel* pinned = nullptr;
  };
  static Lane LaneOf(const PlanCall& call) { return {call.client, call.pinned.get()}; }

  // REQUIRES: call.id is greater than that of every call before.
  void Push(PlanCall call);

  // The first call of the client served least, null if none waits.
  const PlanCall* Next() const;
  // The same among the calls that `model` plans: those pinned to it and, if it is `newest`, those
  // pinned to nothing. REQUIRES: model is not null.
  const PlanCall* Next(const PlannerModel* model, const PlannerModel* newest) const;

  // Takes out a call that Next() gave, whose client has then had one plan more. With `leads`, a
  // client that begins to wait from now on starts at this one's turn.
  PlanCall Serve(const PlanCall& call, bool leads);

  // Takes out the call with this id. REQUIRES: it waits in this lane.
  PlanCall Remove(Lane lane, uint64_t id);

  // The plans that this run makes until the last of `more` further calls of the lane is planned,
  // those calls included, if no other call comes. O(n).
  size_t PlansUntil(Lane lane, size_t more) const;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Checks what must hold between the fields: walks through all calls.
  void CheckInvariants() const;

 private:
  // There is one while it has calls.
  struct Waiting {
    std::map<uint64_t, PlanCall> calls;  // by id
    // Plans it has had, plus the turn at which its calls began to wait.
    uint64_t served = 0;
  };
  // Ordered by who is next: plans had, id of the first call, client.
  using Turn = std::tuple<uint64_t, uint64_t, uint64_t>;
  // The clients that wait for the same version.
  struct Group {
    std::map<uint64_t, Waiting> clients;
    std::set<Turn> turns;
  };

  static Turn TurnOf(uint64_t client, const Waiting& waiting) {
    return {waiting.served, waiting.calls.begin()->first, client};
  }
  static const PlanCall& FirstCall(const Group& group) {
    return group.clients.at(std::get<2>(*group.turns.begin())).calls.begin()->second;
  }
  PlanCall Take(Lane lane, uint64_t id, uint64_t plans);
  // The plans that a lane without calls would begin with.
  uint64_t Start(Lane lane) const;

  using LaneKey = std::pair<uint64_t, const PlannerModel*>;

  std::map<const PlannerModel*, Group> groups_;  // by what is pinned
  size_t size_ = 0;
  // Plans that the client that led the last batch had had before it; a new one begins there,
  // without credit for the time in which it asked for nothing. Otherwise an evaluator that returns
  // after an hour would hold the planner until it had caught up.
  uint64_t turn_ = 0;
  // What lanes without calls have had beyond turn_, until it has come so far. Otherwise a client
  // with one call at a time would always be next.
  std::map<LaneKey, uint64_t> ahead_;
  // The same, ordered by how much.
  std::set<std::pair<uint64_t, LaneKey>> ahead_order_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_RUN_LANES_H_
