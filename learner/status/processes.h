#ifndef POMPC_LEARNER_STATUS_PROCESSES_H_
#define POMPC_LEARNER_STATUS_PROCESSES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "learner/status/status_view.h"

namespace pompc::learner {

// The health of a process: well; waiting for another one; in need of somebody who looks; gone, with
// nothing that waits for it.
inline constexpr char kOk[] = "ok", kWaiting[] = "waiting", kTrouble[] = "trouble",
                      kEnded[] = "ended";

// A process of the run as the learner sees it.
struct ProcessView {
  // "learner", "shard", "planner", "actor" or "evaluator".
  std::string role;
  std::optional<uint32_t> index;
  // The name that it gives itself, and its address; empty where that is not known.
  std::string name;
  std::string address;
  // One of the four above.
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
