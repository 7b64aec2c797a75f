#include "planner/service.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/float_bytes.h"
#include "common/rpc/status.h"
#include "common/rpc/unary.h"
#include "common/rpc/wire.h"
#include "common/status_macros.h"
#include "learner/broadcast/parameter_snapshot.h"

namespace pompc::planner {
namespace {

using learner::FromProto;
using learner::ToProto;

absl::StatusOr<std::vector<float>> Floats(const std::string& bytes, absl::string_view name) {
  if (bytes.size() % sizeof(float) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", bytes.size(), " bytes; expected a multiple of 4"));
  }
  return FromBytes<float>(bytes, name, bytes.size() / sizeof(float));
}

// Time left until the call's deadline, which gRPC keeps as time of day.
absl::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  return absl::FromChrono(context.deadline()) - WallTime();
}

uint32_t Micros(absl::Duration duration) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(absl::ToInt64Microseconds(duration), 0, ~uint32_t{0}));
}

void FillReply(const PlanResult& result, proto::PlanReply* reply) {
  reply->set_action(ToBytes<float>(result.plan.action));
  reply->set_plan_mean(ToBytes<float>(result.plan.plan_mean));
  reply->set_plan_std(ToBytes<float>(result.plan.plan_std));
  reply->set_plan_value(result.plan.plan_value);
  reply->set_warm_start(ToBytes<float>(result.plan.warm_start));
  *reply->mutable_version() = ToProto(result.version);
  reply->set_queue_us(Micros(result.queue_wait));
  reply->set_compute_us(Micros(result.compute));
  reply->set_batch_size(static_cast<uint32_t>(result.batch_size));
}

}  // namespace

// One Plan call, from the request to OnDone; owns itself. Submit() is called before the reactor is
// handed to gRPC: what gRPC does with it (OnCancel, OnDone) happens after.
class PlannerService::PlanReactor final : public grpc::ServerUnaryReactor {
 public:
  PlanReactor(Batcher* batcher, proto::PlanReply* reply) : batcher_(batcher), reply_(reply) {}

  void Submit(PlanCall call) {
    call.done = [this](absl::StatusOr<PlanResult> result) { Done(std::move(result)); };
    absl::StatusOr<uint64_t> id = batcher_->Submit(std::move(call));
    if (id.ok()) {
      id_ = *id;
    } else {
      Done(id.status());
    }
  }

  void OnCancel() override {
    if (id_ != 0) batcher_->Cancel(id_);
  }
  void OnDone() override { delete this; }

 private:
  // On the batcher's thread, or on the caller's.
  void Done(absl::StatusOr<PlanResult> result) {
    if (result.ok()) FillReply(*result, reply_);
    absl::Status status = result.status();
    // The batcher is closing, or the caller is gone and hears nothing: to be asked of another
    // planner.
    if (absl::IsCancelled(status)) status = absl::UnavailableError(status.message());
    Finish(rpc::ToGrpc(status));
  }

  Batcher* const batcher_;
  proto::PlanReply* const reply_;
  // Of the batcher; 0: refused.
  uint64_t id_ = 0;
};

grpc::ServerUnaryReactor* PlannerService::Plan(grpc::CallbackServerContext* context,
                                               const proto::PlanRequest* request,
                                               proto::PlanReply* reply) {
  absl::StatusOr<PlanCall> call = MakeCall(*context, *request);
  if (!call.ok()) return rpc::FinishUnary(context, call.status());
  auto* reactor = new PlanReactor(batcher_, reply);
  reactor->Submit(*std::move(call));
  return reactor;
}

absl::StatusOr<PlanCall> PlannerService::MakeCall(const grpc::CallbackServerContext& context,
                                                  const proto::PlanRequest& request) const {
  const std::shared_ptr<const PlannerModel> newest = store_->Newest();
  if (newest == nullptr) return absl::UnavailableError("the planner has no parameters yet");
  POMPC_RETURN_IF_ERROR(rpc::CheckHeader(request.header(), newest->run_id()));
  PlanCall call;
  if (request.has_pinned_version()) {
    const ParameterVersion pinned = FromProto(request.pinned_version());
    call.pinned = store_->Find(pinned);
    if (call.pinned == nullptr) {
      return absl::UnavailableError(
          absl::StrCat("the planner does not hold parameters ", pinned.ToString()));
    }
  }
  POMPC_ASSIGN_OR_RETURN(call.item.observation, Floats(request.observation(), "observation"));
  POMPC_ASSIGN_OR_RETURN(call.item.warm_start, Floats(request.warm_start(), "warm_start"));
  call.item.seed = request.seed();
  call.item.evaluate = request.evaluate();
  call.deadline = options_.clock->Now() + std::min(TimeLeft(context), options_.max_queue_wait);
  return call;
}

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
  for (ParameterVersion version : store_->KeptVersions()) {
    *reply->add_kept_versions() = ToProto(version);
  }
  const Batcher::Stats stats = batcher_->stats();
  reply->set_plans(stats.plans);
  reply->set_queued(static_cast<uint32_t>(stats.queued));
  return rpc::FinishUnary(context, absl::OkStatus());
}

}  // namespace pompc::planner
