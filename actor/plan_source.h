#ifndef POMPC_ACTOR_PLAN_SOURCE_H_
#define POMPC_ACTOR_PLAN_SOURCE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/parameter_version.h"

namespace pompc::actor {

// One decision to plan. The spans stay valid until the request is done.
struct PlanQuery {
  std::span<const float> observation;  // [O]
  // Mean of the previous plan as it came back, [H, A]; empty at the start of an episode.
  std::span<const float> warm_start;
  uint64_t seed = 0;
  // No exploration noise.
  bool evaluate = false;
  // The only version to plan with; not valid(): the newest.
  ParameterVersion pinned_version;
};

struct Plan {
  std::vector<float> action;      // [A] in [-1, 1]
  std::vector<float> mean;        // [A]
  std::vector<float> std;         // [A]
  std::vector<float> warm_start;  // [H, A]
  float value = 0;
  ParameterVersion version;
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
  using Done = std::function<void(const absl::Status&)>;

  virtual ~PlanSource() = default;

  // Asks for one plan and returns at once. `done` is called exactly once, on any thread, possibly
  // before this returns, and at the latest when the source's own time limit for a request is over;
  // if OK, `plan` has been filled. `plan` must outlive the call of `done`. Codes: INVALID_ARGUMENT
  // for a request no planner of this run can serve, FAILED_PRECONDITION for planners of another
  // run; others may pass.
  virtual void Request(const PlanQuery& query, Plan* plan, Done done) = 0;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_PLAN_SOURCE_H_
