#ifndef POMPC_TESTS_PLANNER_CLIENT_SCRIPTED_PLANNER_H_
#define POMPC_TESTS_PLANNER_CLIENT_SCRIPTED_PLANNER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "grpcpp/support/server_callback.h"
#include "gtest/gtest.h"
#include "planner/client/planner_client.h"
#include "proto/planner.grpc.pb.h"
#include "tests/planner/client/plan_and_wait.h"

namespace pompc::planner {

// A planner that answers as told: with a status, its own number as plan value, or never.
class ScriptedPlanner final : public proto::PlannerService::CallbackService {
 public:
  explicit ScriptedPlanner(int number) : number_(number) {
    auto started = rpc::Server::Start(rpc::ServerOptions(), {this});
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    endpoint_ = server_->InProcessEndpoint();
  }
  ~ScriptedPlanner() override { server_->Shutdown(absl::ZeroDuration()); }

  grpc::ServerUnaryReactor* Plan(grpc::CallbackServerContext* context,
                                 const proto::PlanRequest* request,
                                 proto::PlanReply* reply) override {
    class Reactor : public grpc::ServerUnaryReactor {
     public:
      explicit Reactor(ScriptedPlanner* planner) : planner_(planner) {}
      void OnCancel() override { planner_->Cancel(this); }
      void OnDone() override { delete this; }

     private:
      ScriptedPlanner* const planner_;
    };
    auto* reactor = new Reactor(this);
    MutexLock lock(&mu_);
    ++calls_;
    if (on_call_) on_call_();
    time_left_.push_back(absl::FromChrono(context->deadline()) - WallTime());
    run_id_ = request->header().run_id();
    if (silent_) {
      silenced_[reactor] = reply;
    } else {
      rpc::SendRetryAfter(context, status_);
      Answer(reactor, reply);
    }
    return reactor;
  }

  // Answers the calls that were left without an answer.
  void AnswerSilenced() {
    MutexLock lock(&mu_);
    for (const auto& [reactor, reply] : silenced_) Answer(reactor, reply);
    silenced_.clear();
  }

  void AnswerWith(absl::Status status) {
    MutexLock lock(&mu_);
    status_ = std::move(status);
  }
  void BeSilent(bool silent = true) {
    MutexLock lock(&mu_);
    silent_ = silent;
  }
  // Called at each call.
  void OnCall(std::function<void()> on_call) {
    MutexLock lock(&mu_);
    on_call_ = std::move(on_call);
  }
  int calls() {
    MutexLock lock(&mu_);
    return calls_;
  }
  // What each call had left until its deadline when it came.
  std::vector<absl::Duration> time_left() {
    MutexLock lock(&mu_);
    return time_left_;
  }
  std::string run_id() {
    MutexLock lock(&mu_);
    return run_id_;
  }
  const rpc::Endpoint& endpoint() const { return endpoint_; }

 private:
  void Answer(grpc::ServerUnaryReactor* reactor, proto::PlanReply* reply)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    reply->add_plans()->set_plan_value(static_cast<float>(number_));
    reactor->Finish(rpc::ToGrpc(status_));
  }
  void Cancel(grpc::ServerUnaryReactor* reactor) {
    MutexLock lock(&mu_);
    if (silenced_.erase(reactor) > 0) reactor->Finish(grpc::Status::CANCELLED);
  }

  const int number_;
  Mutex mu_;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  bool silent_ ABSL_GUARDED_BY(mu_) = false;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void()> on_call_ ABSL_GUARDED_BY(mu_);
  std::vector<absl::Duration> time_left_ ABSL_GUARDED_BY(mu_);
  // Calls without an answer.
  std::map<grpc::ServerUnaryReactor*, proto::PlanReply*> silenced_ ABSL_GUARDED_BY(mu_);
  std::string run_id_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<rpc::Server> server_;
  rpc::Endpoint endpoint_;
};

inline constexpr absl::Duration kLong = absl::Seconds(30);

class PlannerClientTest : public ::testing::Test {
 protected:
  PlannerClientOptions Options() {
    PlannerClientOptions options;
    options.planners = {one_.endpoint(), two_.endpoint()};
    options.run_id = "run";
    options.backoff = {absl::Milliseconds(1), absl::Milliseconds(5), 2.0};
    return options;
  }

  // Value of the plan: the number of the planner that answered; 0 on failure.
  static float Ask(PlannerClient& client) {
    const auto reply = PlanAndWait(client, proto::PlanRequest(), kLong);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->plans(0).plan_value() : 0;
  }

  ScriptedPlanner one_{1}, two_{2};
};

}  // namespace pompc::planner

#endif  // POMPC_TESTS_PLANNER_CLIENT_SCRIPTED_PLANNER_H_
