#ifndef POMPC_PLANNER_CORE_BACKEND_H_
#define POMPC_PLANNER_CORE_BACKEND_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/version_store.h"

namespace pompc::planner {

// What requests must look like for one set of parameters, and the bounds that its run configures.
struct PlanSpec {
  int observation_size = 0;  // O
  int action_size = 0;       // A
  int horizon = 0;           // H
  // Most requests planned in one batch.
  int max_batch = 64;
  // Most requests waiting.
  int max_queue = 1024;
  // Iterations of a search that has the time for them.
  int iterations = 0;
  // Time that a plan may take from the arrival of its request.
  absl::Duration budget = absl::InfiniteDuration();
};

// One request to plan.
struct PlanItem {
  std::vector<float> observation;  // [O]
  // Mean of the previous plan as it came back, [H, A]; empty at the start of an episode.
  std::vector<float> warm_start;
  // All noise of the plan follows from it.
  uint64_t seed = 0;
  // No exploration noise.
  bool evaluate = false;
  // When the plan should be there, a time of the real clock: the search then makes fewer
  // iterations, but always one. The batcher sets it.
  absl::Duration finish_by = absl::InfiniteDuration();
};

// OK if `item` can be planned under `spec`; else INVALID_ARGUMENT naming the field, its size and
// the right one, or its first number outside the range.
absl::Status CheckItem(const PlanItem& item, const PlanSpec& spec);

struct Plan {
  std::vector<float> action;      // [A] in [-1, 1]: what to execute
  std::vector<float> plan_mean;   // [A]: mean of the first decision
  std::vector<float> plan_std;    // [A]: standard deviation of it
  float plan_value = 0;           // value of the chosen elite; with CEM, mean of the elites' values
  std::vector<float> warm_start;  // [H, A]: mean of the whole plan
  int iterations = 0;             // how often the search iterated
};

// One set of parameters, ready to plan with: what a backend made of a published version. Immutable;
// shared by whoever plans with it.
class PlannerModel {
 public:
  PlannerModel(ParameterVersion version, std::string run_id, const PlanSpec& spec)
      : version_(version), run_id_(std::move(run_id)), spec_(spec) {}
  virtual ~PlannerModel() = default;

  ParameterVersion version() const { return version_; }
  const std::string& run_id() const { return run_id_; }
  const PlanSpec& spec() const { return spec_; }

 private:
  const ParameterVersion version_;
  const std::string run_id_;
  const PlanSpec spec_;
};

// The parameters that a planner holds.
using ParameterStore = VersionStore<PlannerModel>;

// What computes plans.
class PlanBackend {
 public:
  virtual ~PlanBackend() = default;

  // The number of threads that may be in PlanBatch() at once.
  virtual int threads() const { return 1; }

  // True if a batch takes as long as its plans would one after the other, as on a CPU. Each plan is
  // then a batch, so that nobody waits for the plans of others in it.
  virtual bool plans_one_by_one() const { return false; }

  // One plan for each item, in their order, blocking while it computes. REQUIRES: `model` was made
  // by this backend, CheckItem() is OK for every item. An error fails the whole batch.
  virtual absl::StatusOr<std::vector<Plan>> PlanBatch(const PlannerModel& model,
                                                      absl::Span<const PlanItem* const> items) = 0;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_BACKEND_H_
