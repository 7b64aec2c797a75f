#include "actor/planner_plan_source.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/wire.h"
#include "common/values/float_bytes.h"

namespace pompc::actor {
namespace {

// Waits shorter than this are not reported: planning itself takes some of that time.
constexpr absl::Duration kNoticeable = absl::Seconds(2);

// Copies whole numbers and drops what is left of the bytes: EnvironmentSlot checks the sizes, and
// refuses the plan.
void CopyFloats(const std::string& bytes, std::vector<float>* values) {
  values->resize(bytes.size() / sizeof(float));
  if (!values->empty()) std::memcpy(values->data(), bytes.data(), values->size() * sizeof(float));
}

void SetBytes(std::span<const float> values, std::string* bytes) {
  AppendBytes<float>({values.data(), values.size()}, bytes);
}

void CopyPlan(const proto::Plan& from, Plan* plan) {
  CopyFloats(from.action(), &plan->action);
  CopyFloats(from.plan_mean(), &plan->mean);
  CopyFloats(from.plan_std(), &plan->std);
  CopyFloats(from.warm_start(), &plan->warm_start);
  plan->value = from.plan_value();
  plan->version = {from.version().incarnation(), from.version().number()};
}

// What is kept of a request until its answer arrives.
struct Requested {
  std::vector<int> slots;
  std::vector<Plan*> plans;

  absl::Status Fill(const absl::StatusOr<proto::PlanReply>& reply) const {
    if (!reply.ok()) return reply.status();
    if (reply->plans_size() != static_cast<int>(plans.size())) {
      return absl::InternalError(absl::StrCat("the planner sent ", reply->plans_size(),
                                              " plans for ", plans.size(), " queries"));
    }
    for (size_t i = 0; i < plans.size(); ++i) {
      CopyPlan(reply->plans(static_cast<int>(i)), plans[i]);
    }
    return absl::OkStatus();
  }
};

}  // namespace

PlannerPlanSource::PlannerPlanSource(const planner::PlannerClientOptions& options,
                                     rpc::Discovery* planners, absl::Duration timeout)
    : planners_(planners), client_(options), timeout_(timeout) {
  watcher_ = planners_->Watch(
      [this](const std::vector<rpc::Endpoint>& list) { client_.SetPlanners(list); });
}

// The plans are written into the queries' buffers by the client's thread. That is safe because a
// slot whose plan is in flight stays alive and is not touched until its listener has heard.
void PlannerPlanSource::Request(std::span<const PlanQuery> queries, const PlanMode& mode,
                                PlanListener* listener) {
  static_assert(kMaxQueries <= rpc::kMaxPlanQueries);
  POMPC_CHECK(!queries.empty() && queries.size() <= kMaxQueries);
  POMPC_CHECK(listener != nullptr);
  proto::PlanRequest request;
  request.set_evaluate(mode.evaluate);
  if (mode.pinned_version.valid()) {
    request.mutable_pinned_version()->set_incarnation(mode.pinned_version.incarnation);
    request.mutable_pinned_version()->set_number(mode.pinned_version.number);
  }
  Requested requested;
  for (const PlanQuery& query : queries) {
    proto::PlanQuery* message = request.add_queries();
    SetBytes(query.observation, message->mutable_observation());
    SetBytes(query.warm_start, message->mutable_warm_start());
    message->set_seed(query.seed);
    requested.slots.push_back(query.slot);
    requested.plans.push_back(query.plan);
  }
  client_.Plan(
      std::move(request), timeout_,
      [requested = std::move(requested), listener](const absl::StatusOr<proto::PlanReply>& reply) {
        listener->OnPlans(requested.slots, requested.Fill(reply));
      });
}

std::string PlannerPlanSource::Waiting() const {
  const planner::PlannerClient::Waiting waiting = client_.waiting();
  if (waiting.calls == 0 || waiting.longest < kNoticeable) return "";
  const std::string problem = planners_->problem();
  return absl::StrCat(waiting.calls, " plan requests have had no answer for ",
                      absl::FormatDuration(absl::Trunc(waiting.longest, absl::Seconds(1))),
                      waiting.reason.empty() ? "" : ": ", waiting.reason,
                      problem.empty() ? "" : "; ", problem);
}

}  // namespace pompc::actor
