#ifndef POMPC_ACTOR_CORE_PLAN_SOURCE_H_
#define POMPC_ACTOR_CORE_PLAN_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
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
  // The number by which the listener knows the query.
  int slot = 0;
  std::span<const float> observation;  // [O]
  // The warm start that came with the previous plan, [H, A]; empty at the start of an episode.
  std::span<const float> warm_start;
  uint64_t seed = 0;
  // The slot that the plan is written to.
  Plan* plan = nullptr;
};

// The settings for the queries of one request.
struct PlanMode {
  // Plans without exploration noise.
  bool evaluate = false;
  // The version to plan with; if it is not valid(), the newest.
  ParameterVersion pinned_version;

  bool operator==(const PlanMode&) const = default;
};

// Is told about answers, on any thread. Must not block.
class PlanListener {
 public:
  virtual ~PlanListener() = default;
  // Called when the queries of these slots were answered. If `status` is OK, their plans are
  // filled.
  virtual void OnPlans(std::span<const int> slots, const absl::Status& status) = 0;
};

// The source of plans. Thread-safe.
class PlanSource {
 public:
  // The most queries in one request.
  static constexpr size_t kMaxQueries = 64;

  virtual ~PlanSource() = default;

  // Requests plans for the queries and returns at once. `listener` is told about each query exactly
  // once, about several at a time or one by one, possibly before this returns, and at the latest
  // when the source's own time limit for a request is over; it must outlive that. A plan depends
  // only on its query and on the mode. Codes: INVALID_ARGUMENT for queries that no planner of this
  // run can serve, FAILED_PRECONDITION for planners of another run; other errors may be temporary.
  // REQUIRES: there are 1 to kMaxQueries queries.
  virtual void Request(std::span<const PlanQuery> queries, const PlanMode& mode,
                       PlanListener* listener) = 0;
};

// Requests the plans of one thread's environments. Queries that are added shortly after each other
// are sent in one request, because a request costs far more than a query. It neither reads a clock
// nor waits: who adds queries must call Send before waiting for answers. Not thread-safe.
class PlanAsker {
 public:
  // The longest time for which a query is held back while others are added. It is a few dozen steps
  // of a light environment, and less than a plan takes. Queries of heavy environments go out one by
  // one, so that planners work while the next environment is stepped.
  static constexpr absl::Duration kGather = absl::Milliseconds(1);

  // Both must outlive the asker.
  PlanAsker(PlanSource* source, PlanListener* listener);

  // Adds a query at time `now`. The queries are sent once there are kMaxQueries of them or the
  // first was added kGather ago. Those before this query are sent first if it has another mode or
  // would make the request too large.
  void Add(const PlanQuery& query, const PlanMode& mode, absl::Duration now);
  // Sends the queries that were added, if there are any.
  void Send();

 private:
  PlanSource* const source_;
  PlanListener* const listener_;
  std::vector<PlanQuery> queries_;
  // The bytes that the numbers in queries_ take.
  size_t bytes_ = 0;
  // The mode of queries_, and when the first of them was added.
  PlanMode mode_;
  absl::Duration since_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_PLAN_SOURCE_H_
