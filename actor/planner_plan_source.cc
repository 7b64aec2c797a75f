#include "actor/planner_plan_source.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/wire.h"
#include "common/values/float_bytes.h"

namespace pompc::actor {
namespace {

// Plans that take longer than this are worth a word.
constexpr absl::Duration kNoticeable = absl::Seconds(2);

// Bytes that are no whole number of floats lose the rest: the sizes are checked by who uses them.
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

// Of one request, until it is answered.
struct Asked {
  std::vector<int> slots;
  std::vector<Plan*> plans;

  absl::Status Fill(const absl::StatusOr<proto::PlanReply>& reply) const {
    if (!reply.ok()) return reply.status();
    if (reply->plans_size() != static_cast<int>(plans.size())) {
      return absl::InternalError(absl::StrCat("planner sent ", reply->plans_size(), " plans for ",
                                              plans.size(), " queries"));
    }
    for (size_t i = 0; i < plans.size(); ++i) {
      CopyPlan(reply->plans(static_cast<int>(i)), plans[i]);
    }
    return absl::OkStatus();
  }
};

}  // namespace

void PlannerPlanSource::Request(std::span<const PlanQuery> queries, const PlanMode& mode,
                                PlanListener* listener) {
  static_assert(kMaxQueries <= rpc::kMaxPlanQueries);
  proto::PlanRequest request;
  request.set_evaluate(mode.evaluate);
  if (mode.pinned_version.valid()) {
    request.mutable_pinned_version()->set_incarnation(mode.pinned_version.incarnation);
    request.mutable_pinned_version()->set_number(mode.pinned_version.number);
  }
  Asked asked;
  for (const PlanQuery& query : queries) {
    proto::PlanQuery* message = request.add_queries();
    SetBytes(query.observation, message->mutable_observation());
    SetBytes(query.warm_start, message->mutable_warm_start());
    message->set_seed(query.seed);
    asked.slots.push_back(query.slot);
    asked.plans.push_back(query.plan);
  }
  client_.Plan(std::move(request), timeout_,
               [asked = std::move(asked), listener](const absl::StatusOr<proto::PlanReply>& reply) {
                 listener->OnPlans(asked.slots, asked.Fill(reply));
               });
}

std::string PlannerPlanSource::Waiting() const {
  const planner::PlannerClient::Waiting waiting = client_.waiting();
  if (waiting.calls == 0 || waiting.longest < kNoticeable) return "";
  return absl::StrCat(waiting.calls, " plan requests without an answer for ",
                      absl::FormatDuration(absl::Trunc(waiting.longest, absl::Seconds(1))),
                      waiting.reason.empty() ? "" : ": ", waiting.reason);
}

}  // namespace pompc::actor
