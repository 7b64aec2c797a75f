#include "actor/planner_plan_source.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/float_bytes.h"

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

}  // namespace

void PlannerPlanSource::Request(const PlanQuery& query, Plan* plan, Done done) {
  proto::PlanRequest request;
  SetBytes(query.observation, request.mutable_observation());
  SetBytes(query.warm_start, request.mutable_warm_start());
  request.set_seed(query.seed);
  request.set_evaluate(query.evaluate);
  if (query.pinned_version.valid()) {
    request.mutable_pinned_version()->set_incarnation(query.pinned_version.incarnation);
    request.mutable_pinned_version()->set_number(query.pinned_version.number);
  }
  client_.Plan(std::move(request), timeout_,
               [plan, done = std::move(done)](absl::StatusOr<proto::PlanReply> reply) {
                 if (reply.ok()) {
                   CopyFloats(reply->action(), &plan->action);
                   CopyFloats(reply->plan_mean(), &plan->mean);
                   CopyFloats(reply->plan_std(), &plan->std);
                   CopyFloats(reply->warm_start(), &plan->warm_start);
                   plan->value = reply->plan_value();
                   plan->version = {reply->version().incarnation(), reply->version().number()};
                 }
                 done(reply.status());
               });
}

std::string PlannerPlanSource::Waiting() const {
  const planner::PlannerClient::Waiting waiting = client_.waiting();
  if (waiting.calls == 0 || waiting.longest < kNoticeable) return "";
  return absl::StrCat(waiting.calls, " plans asked for since ",
                      absl::FormatDuration(absl::Trunc(waiting.longest, absl::Seconds(1))),
                      waiting.reason.empty() ? "" : ": ", waiting.reason);
}

}  // namespace pompc::actor
