#ifndef POMPC_LEARNER_STATUS_PROCESSES_H_
#define POMPC_LEARNER_STATUS_PROCESSES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "learner/status/status_view.h"

namespace pompc::learner {

// A process of the run as the learner sees it.
struct ProcessView {
  // "learner", "shard", "planner", "actor" or "evaluator".
  std::string role;
  std::optional<uint32_t> index;
  // The name that it gives itself, and its address; empty where that is not known.
  std::string name;
  std::string address;
  // "ok"; "waiting": it waits for another; "trouble": somebody should look; "ended": it is gone and
  // nothing waits for it.
  std::string health;
  // The same in words, with what it does.
  std::string detail;
  // Time since it was last heard from; absent where the learner does not know.
  std::optional<double> silent_seconds;
};

// The learner, the shards, the planners, actors and evaluators, and those that ended last, in this
// order.
std::vector<ProcessView> Processes(const StatusView& view);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_PROCESSES_H_
