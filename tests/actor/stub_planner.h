#ifndef POMPC_TESTS_ACTOR_STUB_PLANNER_H_
#define POMPC_TESTS_ACTOR_STUB_PLANNER_H_

#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "common/values/float_bytes.h"
#include "common/values/number_check.h"
#include "proto/planner.grpc.pb.h"

namespace pompc::actor {

// A planner that answers every query at once: action = seed % 100 / 100 in every entry. Refuses
// like a real one what is of another run, wrong in size or pinned to a version it does not hold.
class StubPlanner final : public proto::PlannerService::CallbackService {
 public:
  // Serves in this process, or on `listen`.
  StubPlanner(std::string run_id, int observation_size, int action_size, std::string listen = "")
      : run_id_(std::move(run_id)),
        observation_size_(observation_size),
        action_size_(action_size),
        server_(*rpc::Server::Start({.listen = std::move(listen)}, {this})) {}
  ~StubPlanner() override { server_->Shutdown(absl::ZeroDuration()); }

  rpc::Endpoint endpoint() {
    return server_->port() > 0 ? rpc::Endpoint(server_->address()) : server_->InProcessEndpoint();
  }

  // OK from the start; otherwise every request fails so.
  void SetStatus(const absl::Status& status) {
    MutexLock lock(&mu_);
    status_ = status;
  }
  // The versions it can be asked for; the last is the newest.
  void SetVersions(std::vector<ParameterVersion> versions) {
    MutexLock lock(&mu_);
    versions_ = std::move(versions);
  }

  // The runs that it says it serves.
  void SetRuns(std::vector<proto::PlannerRunInfo> runs) {
    MutexLock lock(&mu_);
    runs_ = std::move(runs);
  }

  void AwaitRequests(size_t count) {
    MutexLock lock(&mu_);
    while (requests_.size() < count) changed_.Wait(&mu_);
  }
  // The number of times that it was asked what it serves.
  uint64_t infos() const {
    MutexLock lock(&mu_);
    return infos_;
  }
  // Requests so far, and the queries in them.
  uint64_t calls() const {
    MutexLock lock(&mu_);
    return calls_;
  }
  uint64_t queries() const {
    MutexLock lock(&mu_);
    return queries_;
  }
  // The first ones.
  std::vector<proto::PlanRequest> requests() const {
    MutexLock lock(&mu_);
    return requests_;
  }

  grpc::ServerUnaryReactor* Plan(grpc::CallbackServerContext* context,
                                 const proto::PlanRequest* request,
                                 proto::PlanReply* reply) override {
    return rpc::FinishUnary(context, Answer(*request, reply));
  }
  grpc::ServerUnaryReactor* Info(grpc::CallbackServerContext* context,
                                 const proto::PlannerInfoRequest*,
                                 proto::PlannerInfoReply* reply) override {
    MutexLock lock(&mu_);
    ++infos_;
    reply->mutable_runs()->Add(runs_.begin(), runs_.end());
    return rpc::FinishUnary(context, status_);
  }

 private:
  static constexpr size_t kMaxRequests = 10000;

  absl::Status Answer(const proto::PlanRequest& request, proto::PlanReply* reply) {
    MutexLock lock(&mu_);
    ++calls_;
    queries_ += request.queries_size();
    if (requests_.size() < kMaxRequests) requests_.push_back(request);
    changed_.SignalAll();
    if (absl::Status status = rpc::CheckHeader(request.header(), run_id_); !status.ok()) {
      return status;
    }
    if (!status_.ok()) return status_;
    for (const proto::PlanQuery& query : request.queries()) {
      const auto observation =
          FromBytes<float>(query.observation(), "observation", observation_size_);
      if (!observation.ok()) return observation.status();
      if (absl::Status status = CheckMagnitudes("observation", *observation); !status.ok()) {
        return status;
      }
    }
    ParameterVersion version = versions_.back();
    if (request.has_pinned_version()) {
      version = {request.pinned_version().incarnation(), request.pinned_version().number()};
      bool held = false;
      for (const ParameterVersion& one : versions_) held = held || one == version;
      if (!held) return absl::UnavailableError("version is not here yet");
    }
    for (const proto::PlanQuery& query : request.queries()) {
      FillPlan(query.seed(), version, reply->add_plans());
    }
    return absl::OkStatus();
  }

  void FillPlan(uint64_t seed, ParameterVersion version, proto::Plan* plan) const {
    const std::vector<float> action(action_size_, static_cast<float>(seed % 100) / 100);
    const std::vector<float> std(action_size_, 0.5f);
    plan->set_action(ToBytes<float>(action));
    plan->set_plan_mean(ToBytes<float>(action));
    plan->set_plan_std(ToBytes<float>(std));
    plan->set_warm_start(ToBytes<float>(std));
    plan->mutable_version()->set_incarnation(version.incarnation);
    plan->mutable_version()->set_number(version.number);
  }

  const std::string run_id_;
  const int observation_size_;
  const int action_size_;
  mutable Mutex mu_;
  CondVar changed_;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  std::vector<proto::PlannerRunInfo> runs_ ABSL_GUARDED_BY(mu_);
  std::vector<ParameterVersion> versions_ ABSL_GUARDED_BY(mu_) = {{1, 1}};
  std::vector<proto::PlanRequest> requests_ ABSL_GUARDED_BY(mu_);
  uint64_t infos_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t queries_ ABSL_GUARDED_BY(mu_) = 0;
  const std::unique_ptr<rpc::Server> server_;
};

}  // namespace pompc::actor

#endif  // POMPC_TESTS_ACTOR_STUB_PLANNER_H_
