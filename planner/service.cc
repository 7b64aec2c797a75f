#include "planner/service.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/rpc/call.h"
#include "common/rpc/endpoint.h"
#include "common/values/float_bytes.h"

namespace pompc::planner {
namespace {

// Bounds of what a run may say that it wants, which protect those who believe it.
constexpr int kMostShards = 1024;
constexpr uint64_t kMostEnvironments = 1'000'000'000;
constexpr double kLeastWanted = 1e-3;

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
  plan->set_iterations(static_cast<uint32_t>(result.plan.iterations));
  plan->set_batch_size(static_cast<uint32_t>(result.batch_size));
}

absl::Status CheckHeader(const proto::Header& header) {
  POMPC_RETURN_IF_ERROR(rpc::CheckWireVersion(header));
  return CheckRunId(header.run_id());
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
  PlanReactor(grpc::CallbackServerContext* context, Batcher* batcher, proto::PlanReply* reply)
      : context_(context), batcher_(batcher), reply_(reply) {}

  void Submit(const std::shared_ptr<PlannerRun>& run, std::vector<PlanCall> calls) {
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
    absl::StatusOr<uint64_t> first = batcher_->Submit(run, std::move(calls));
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
    rpc::SendRetryAfter(context_, status);
    Finish(rpc::ToGrpc(status));
  }

  grpc::CallbackServerContext* const context_;
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
  absl::Status status = CheckHeader(request->header());
  if (!status.ok()) return rpc::FinishUnary(context, status);
  const absl::StatusOr<std::shared_ptr<PlannerRun>> run = runs_->Find(request->header().run_id());
  if (!run.ok()) return rpc::FinishUnary(context, run.status());
  absl::StatusOr<std::vector<PlanCall>> calls = MakeCalls(*context, *request, **run);
  if (!calls.ok()) return rpc::FinishUnary(context, calls.status());
  auto* reactor = new PlanReactor(context, batcher_, reply);
  reactor->Submit(*run, *std::move(calls));
  return reactor;
}

absl::StatusOr<std::vector<PlanCall>> PlannerService::MakeCalls(
    const grpc::CallbackServerContext& context, const proto::PlanRequest& request,
    const PlannerRun& run) const {
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
    pinned = run.parameters().Find(version);
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

namespace {

void FillRunInfo(const RunTable::Entry& entry, const Batcher& batcher,
                 proto::PlannerRunInfo* info) {
  info->set_run_id(entry.run_id);
  info->set_learner(entry.learner);
  info->set_connected(entry.status.connected);
  ParameterVersion version;
  if (entry.run != nullptr) {
    const std::shared_ptr<const PlannerModel> newest = entry.run->parameters().Newest();
    if (newest != nullptr) version = newest->version();
    info->set_plans(entry.run->stats().plans);
    info->set_queued(static_cast<uint32_t>(batcher.queued(entry.run_id)));
  }
  *info->mutable_version() = ToProto(version);
  if (entry.demand.has_value()) *info->mutable_demand() = *entry.demand;
}

// Actors of a fleet take what is said here for addresses and numbers.
absl::Status CheckDemand(const proto::ActorDemand& demand) {
  const absl::StatusOr<std::vector<rpc::Endpoint>> replay =
      rpc::ParseEndpoints("demand.replay", absl::StrJoin(demand.replay(), ","));
  POMPC_RETURN_IF_ERROR(replay.status());
  if (static_cast<int>(replay->size()) != demand.replay_size() ||
      demand.replay_size() > kMostShards) {
    return absl::InvalidArgumentError(absl::StrCat("demand.replay: ", demand.replay_size(),
                                                   " addresses; allowed are 1 to ", kMostShards));
  }
  if (demand.environments() > kMostEnvironments) {
    return absl::InvalidArgumentError(absl::StrCat("demand.environments: ", demand.environments(),
                                                   "; allowed are 0 to ", kMostEnvironments));
  }
  const double wanted = demand.wanted_environments();
  if (wanted >= kLeastWanted && wanted <= kMostEnvironments) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("demand.wanted_environments: ", wanted,
                                                 "; allowed are numbers from ", kLeastWanted,
                                                 " to ", kMostEnvironments));
}

}  // namespace

// A caller without a run asks what is here; one with a run is told if this planner serves others.
grpc::ServerUnaryReactor* PlannerService::Info(grpc::CallbackServerContext* context,
                                               const proto::PlannerInfoRequest* request,
                                               proto::PlannerInfoReply* reply) {
  const std::string& run_id = request->header().run_id();
  absl::Status status = CheckHeader(request->header());
  if (status.ok() && !run_id.empty() && runs_->HasParameters()) {
    status = runs_->Find(run_id).status();
  }
  if (!status.ok()) return rpc::FinishUnary(context, status);
  *reply->mutable_version() = ToProto(ParameterVersion());
  bool found = false;
  for (const RunTable::Entry& entry : runs_->List()) {
    FillRunInfo(entry, *batcher_, reply->add_runs());
    if (found || entry.run == nullptr || (!run_id.empty() && run_id != entry.run_id)) continue;
    found = true;
    *reply->mutable_version() = reply->runs().rbegin()->version();
    reply->set_plans(reply->runs().rbegin()->plans());
    for (const auto& kept : entry.run->parameters().Kept()) {
      *reply->add_kept_versions() = ToProto(kept->version());
    }
  }
  reply->set_queued(static_cast<uint32_t>(batcher_->queued()));
  reply->set_arithmetic(options_.arithmetic);
  return rpc::FinishUnary(context, absl::OkStatus());
}

absl::Status PlannerService::DoFollow(const proto::FollowRequest& request) {
  POMPC_RETURN_IF_ERROR(CheckHeader(request.header()));
  POMPC_ASSIGN_OR_RETURN(const std::vector<rpc::Endpoint> learners,
                         rpc::ParseEndpoints("learner", request.learner(),
                                             {options_.certificates, proto::Access::LEARNER}));
  if (learners.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("learner: ", request.learner(), "; allowed is one address, host:port"));
  }
  std::optional<proto::ActorDemand> demand;
  if (request.has_demand()) {
    POMPC_RETURN_IF_ERROR(CheckDemand(request.demand()));
    demand = request.demand();
  }
  return runs_->Follow(learners.front(), request.header().run_id(), RunTable::Origin::kGuest,
                       std::move(demand));
}

grpc::ServerUnaryReactor* PlannerService::Follow(grpc::CallbackServerContext* context,
                                                 const proto::FollowRequest* request,
                                                 proto::FollowReply* reply) {
  return rpc::FinishUnary(context, DoFollow(*request));
}

grpc::ServerUnaryReactor* PlannerService::Unfollow(grpc::CallbackServerContext* context,
                                                   const proto::UnfollowRequest* request,
                                                   proto::UnfollowReply* reply) {
  absl::Status status = CheckHeader(request->header());
  if (status.ok()) status = runs_->Unfollow(request->header().run_id());
  return rpc::FinishUnary(context, status);
}

}  // namespace pompc::planner
