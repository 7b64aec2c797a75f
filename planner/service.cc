#include "planner/service.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/call.h"
#include "common/values/float_bytes.h"

namespace pompc::planner {
namespace {

absl::StatusOr<std::vector<float>> Floats(const std::string& bytes, absl::string_view name) {
  if (bytes.size() % sizeof(float) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", bytes.size(), " bytes; expected a multiple of 4"));
  }
  return FromBytes<float>(bytes, name, bytes.size() / sizeof(float));
}

// The client of a request: its connection, and whether it evaluates, since in one process the actor
// and the evaluator share a connection. Two clients with the same hash share one turn.
uint64_t ClientOf(const grpc::CallbackServerContext& context, const proto::PlanRequest& request) {
  return 2 * std::hash<std::string>()(context.peer()) + (request.evaluate() ? 1 : 0);
}

// Time left until the call's deadline, which gRPC keeps as time of day.
absl::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  return absl::FromChrono(context.deadline()) - WallTime();
}

uint32_t Micros(absl::Duration duration) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(absl::ToInt64Microseconds(duration), 0, ~uint32_t{0}));
}

void FillPlan(const PlanResult& result, proto::Plan* plan) {
  plan->set_action(ToBytes<float>(result.plan.action));
  plan->set_plan_mean(ToBytes<float>(result.plan.plan_mean));
  plan->set_plan_std(ToBytes<float>(result.plan.plan_std));
  plan->set_plan_value(result.plan.plan_value);
  plan->set_warm_start(ToBytes<float>(result.plan.warm_start));
  *plan->mutable_version() = ToProto(result.version);
  plan->set_queue_us(Micros(result.queue_wait));
  plan->set_compute_us(Micros(result.compute));
  plan->set_batch_size(static_cast<uint32_t>(result.batch_size));
}

absl::StatusOr<PlanItem> ToItem(const proto::PlanQuery& query, bool evaluate) {
  PlanItem item;
  POMPC_ASSIGN_OR_RETURN(item.observation, Floats(query.observation(), "observation"));
  POMPC_ASSIGN_OR_RETURN(item.warm_start, Floats(query.warm_start(), "warm_start"));
  item.seed = query.seed();
  item.evaluate = evaluate;
  return item;
}

}  // namespace

// One Plan call, from the request to OnDone; owns itself. Submit() is called before the reactor is
// handed to gRPC: what gRPC does with it (OnCancel, OnDone) happens after.
class PlannerService::PlanReactor final : public grpc::ServerUnaryReactor {
 public:
  PlanReactor(Batcher* batcher, proto::PlanReply* reply) : batcher_(batcher), reply_(reply) {}

  void Submit(std::vector<PlanCall> calls) {
    POMPC_CHECK(!calls.empty());
    count_ = calls.size();
    {
      MutexLock lock(&mu_);
      left_ = count_;
    }
    for (PlanCall& call : calls) {
      call.done = [this, plan = reply_->add_plans()](const absl::StatusOr<PlanResult>& result) {
        Done(result, plan);
      };
    }
    // The reply has its plans already, one message for each call, so that threads that answer fill
    // different messages.
    absl::StatusOr<uint64_t> first = batcher_->Submit(std::move(calls));
    if (first.ok()) {
      first_ = *first;
    } else {
      End(first.status());
    }
  }

  void OnCancel() override {
    if (first_ != 0) batcher_->Cancel(first_, count_);
  }
  void OnDone() override { delete this; }

 private:
  // Called on a thread of the batcher or on one that cancels.
  void Done(const absl::StatusOr<PlanResult>& result, proto::Plan* plan) {
    absl::Status status;
    {
      MutexLock lock(&mu_);
      if (result.ok()) FillPlan(*result, plan);
      status_.Update(result.status());
      POMPC_CHECK_GT(left_, 0u, "a call is answered once");
      if (--left_ > 0) return;
      status = status_;
    }
    End(status);
  }

  void End(absl::Status status) {
    // CANCELLED comes from a batcher that closes, or from a caller that is gone and hears nothing.
    // The caller of a planner that stops must ask another one, which UNAVAILABLE tells it.
    if (absl::IsCancelled(status)) status = absl::UnavailableError(status.message());
    Finish(rpc::ToGrpc(status));
  }

  Batcher* const batcher_;
  proto::PlanReply* const reply_;
  // Id of the first call in the batcher; 0: the request was refused.
  uint64_t first_ = 0;
  size_t count_ = 0;

  Mutex mu_;
  size_t left_ ABSL_GUARDED_BY(mu_) = 0;
  // The first failure.
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

grpc::ServerUnaryReactor* PlannerService::Plan(grpc::CallbackServerContext* context,
                                               const proto::PlanRequest* request,
                                               proto::PlanReply* reply) {
  absl::StatusOr<std::vector<PlanCall>> calls = MakeCalls(*context, *request);
  if (!calls.ok()) return rpc::FinishUnary(context, calls.status());
  auto* reactor = new PlanReactor(batcher_, reply);
  reactor->Submit(*std::move(calls));
  return reactor;
}

absl::StatusOr<std::vector<PlanCall>> PlannerService::MakeCalls(
    const grpc::CallbackServerContext& context, const proto::PlanRequest& request) const {
  const std::shared_ptr<const PlannerModel> newest = store_->Newest();
  if (newest == nullptr) return absl::UnavailableError("the planner has no parameters yet");
  POMPC_RETURN_IF_ERROR(rpc::CheckHeader(request.header(), newest->run_id()));
  if (request.queries_size() < 1 || request.queries_size() > rpc::kMaxPlanQueries) {
    return absl::InvalidArgumentError(absl::StrCat("queries has ", request.queries_size(),
                                                   " entries; allowed are 1 to ",
                                                   rpc::kMaxPlanQueries));
  }
  // The version is looked up once: calls hold it from here on, even if it expires in the store
  // while they wait.
  std::shared_ptr<const PlannerModel> pinned;
  if (request.has_pinned_version()) {
    const ParameterVersion version = FromProto(request.pinned_version());
    pinned = store_->Find(version);
    if (pinned == nullptr) {
      return absl::UnavailableError(
          absl::StrCat("the planner does not hold parameters ", version.ToString()));
    }
  }
  // A client without a deadline of its own must not wait for ever: gRPC then says infinity.
  const absl::Duration deadline =
      options_.clock->Now() + std::min(TimeLeft(context), options_.max_queue_wait);
  const uint64_t client = ClientOf(context, request);
  std::vector<PlanCall> calls(request.queries_size());
  for (int i = 0; i < request.queries_size(); ++i) {
    absl::StatusOr<PlanItem> item = ToItem(request.queries(i), request.evaluate());
    if (!item.ok()) return Annotate(item.status(), absl::StrCat("queries[", i, "]"));
    calls[i].item = *std::move(item);
    calls[i].pinned = pinned;
    calls[i].client = client;
    calls[i].deadline = deadline;
  }
  return calls;
}

// A caller without a run asks what is here; one with a run is told if this planner serves another.
grpc::ServerUnaryReactor* PlannerService::Info(grpc::CallbackServerContext* context,
                                               const proto::PlannerInfoRequest* request,
                                               proto::PlannerInfoReply* reply) {
  const std::shared_ptr<const PlannerModel> newest = store_->Newest();
  absl::Status status = rpc::CheckWireVersion(request->header());
  if (status.ok() && newest != nullptr && !request->header().run_id().empty()) {
    status = rpc::CheckHeader(request->header(), newest->run_id());
  }
  if (!status.ok()) return rpc::FinishUnary(context, status);
  *reply->mutable_version() = ToProto(newest == nullptr ? ParameterVersion() : newest->version());
  for (const auto& kept : store_->Kept()) {
    *reply->add_kept_versions() = ToProto(kept->version());
  }
  const Batcher::Stats stats = batcher_->stats();
  reply->set_plans(stats.plans);
  reply->set_queued(static_cast<uint32_t>(stats.queued));
  return rpc::FinishUnary(context, absl::OkStatus());
}

}  // namespace pompc::planner
