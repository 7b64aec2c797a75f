#ifndef POMPC_ACTOR_CORE_PLAN_SOURCE_H_
#define POMPC_ACTOR_CORE_PLAN_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/values/parameter_version.h"

namespace pompc::actor {

struct Plan {
  std::vector<float> action;      // [A] in [-1, 1]
  std::vector<float> mean;        // [A]
  std::vector<float> std;         // [A]
  std::vector<float> warm_start;  // [H, A]
  float value = 0;
  ParameterVersion version;
};

// One decision to plan. What it refers to stays valid until it is answered.
struct PlanQuery {
  // By which the listener knows it.
  int slot = 0;
  std::span<const float> observation;  // [O]
  // Mean of the previous plan as it came back, [H, A]; empty at the start of an episode.
  std::span<const float> warm_start;
  uint64_t seed = 0;
  // Where the plan is to be put.
  Plan* plan = nullptr;
};

// How the queries of one request are to be planned.
struct PlanMode {
  // No exploration noise.
  bool evaluate = false;
  // The only version to plan with; not valid(): the newest.
  ParameterVersion pinned_version;

  bool operator==(const PlanMode&) const = default;
};

// Hears of answers, on any thread. Must not block.
class PlanListener {
 public:
  virtual ~PlanListener() = default;
  // The queries of these slots were answered; if OK, their plans have been filled.
  virtual void OnPlans(std::span<const int> slots, const absl::Status& status) = 0;
};

// Whether asking again cannot help, unless somebody repairs the other side.
inline bool IsLasting(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
         absl::IsUnimplemented(status) || absl::IsPermissionDenied(status) ||
         absl::IsUnauthenticated(status);
}

// Where plans come from. Thread-safe.
class PlanSource {
 public:
  // Most queries in one request.
  static constexpr size_t kMaxQueries = 64;

  virtual ~PlanSource() = default;

  // Asks for the plans of 1 to kMaxQueries queries and returns at once. `listener` hears of each
  // exactly once, of several at a time or not, possibly before this returns, and at the latest when
  // the source's own time limit for a request is over; it must outlive that. A plan depends on its
  // own query and the mode only. Codes: INVALID_ARGUMENT for queries no planner of this run can
  // serve, FAILED_PRECONDITION for planners of another run; others may pass.
  virtual void Request(std::span<const PlanQuery> queries, const PlanMode& mode,
                       PlanListener* listener) = 0;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_PLAN_SOURCE_H_
