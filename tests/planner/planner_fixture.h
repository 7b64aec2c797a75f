#ifndef POMPC_TESTS_PLANNER_PLANNER_FIXTURE_H_
#define POMPC_TESTS_PLANNER_PLANNER_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>

#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "parameters/parameter_service.h"
#include "parameters/publisher.h"
#include "planner/app.h"
#include "proto/planner.grpc.pb.h"
#include "tests/planner/fake_engine.h"
#include "tests/support/await.h"

namespace pompc::planner {

inline constexpr absl::Duration kLong = absl::Seconds(30);

// A learner's broadcast and a planner that follows it.
class PlannerTestBase : public ::testing::Test {
 protected:
  PlannerTestBase(const std::string& listen, std::shared_ptr<PlanEngine> engine) {
    learner_server_ = *rpc::Server::Start(rpc::ServerOptions(), {&learner_service_});
    StartApp({}, listen, std::move(engine));
  }
  ~PlannerTestBase() override { publisher_.Close(); }

  // Starts the planner, in place of the one before.
  void StartApp(AppOptions options, const std::string& listen, std::shared_ptr<PlanEngine> engine) {
    app_ = nullptr;
    options.server.listen = listen;
    options.learners = {learner_server_->InProcessEndpoint()};
    options.engine = std::move(engine);
    options.metrics = registry_;
    auto app = App::Start(options);
    EXPECT_TRUE(app.ok()) << app.status();
    app_ = *std::move(app);
    stub_ = proto::PlannerService::NewStub(app_->server().InProcessChannel());
  }

  proto::PlannerInfoReply Info() {
    proto::PlannerInfoRequest request;
    *request.mutable_header() = rpc::MakeHeader("run");
    return rpc::CallUnary(*stub_, &proto::PlannerService::Stub::Info, request, kLong).value();
  }

  absl::StatusOr<proto::PlanReply> Plan(proto::PlanRequest request,
                                        absl::Duration timeout = kLong) {
    if (!request.has_header()) *request.mutable_header() = rpc::MakeHeader("run");
    return rpc::CallUnary(*stub_, &proto::PlannerService::Stub::Plan, request, timeout);
  }

  const std::shared_ptr<MetricsRegistry> registry_ = std::make_shared<MetricsRegistry>();
  parameters::Publisher publisher_;
  parameters::ParameterService learner_service_{&publisher_, {.run_id = "run"}};
  std::unique_ptr<rpc::Server> learner_server_;
  std::unique_ptr<App> app_;
  std::unique_ptr<proto::PlannerService::Stub> stub_;
};

// One run's broadcast, beside those of a fixture.
class OtherLearner {
 public:
  explicit OtherLearner(const std::string& run_id, const std::string& listen = "")
      : run_id_(run_id), service_(&publisher_, {.run_id = run_id}) {
    rpc::ServerOptions options;
    options.listen = listen;
    server_ = *rpc::Server::Start(options, {&service_});
  }
  ~OtherLearner() { publisher_.Close(); }

  const std::string& run_id() const { return run_id_; }
  rpc::Endpoint endpoint() {
    return server_->address().empty() ? server_->InProcessEndpoint()
                                      : rpc::Endpoint(server_->address());
  }
  void Publish(uint64_t number) {
    publisher_.Publish(FakeSnapshot({1, number}, 0, "data", run_id_));
  }

 private:
  const std::string run_id_;
  parameters::Publisher publisher_;
  parameters::ParameterService service_;
  std::unique_ptr<rpc::Server> server_;
};

// The same with a fake engine.
class PlannerTest : public PlannerTestBase {
 protected:
  explicit PlannerTest(const std::string& listen = "", const PlanSpec& spec = FakeSpec())
      : PlannerTest(listen, std::make_shared<FakeEngine>(spec)) {}
  // Lets go of batches that a failed test left inside.
  ~PlannerTest() override { engine_->backend.Release(); }

  // Publishes, and waits until the planner has it.
  void Publish(uint64_t number, uint32_t keep_seconds = 0) {
    publisher_.Publish(FakeSnapshot({1, number}, keep_seconds));
    ASSERT_TRUE(Await([&] { return Info().version().number() == number; }));
  }

  const std::shared_ptr<FakeEngine> engine_;

 private:
  PlannerTest(const std::string& listen, std::shared_ptr<FakeEngine> engine)
      : PlannerTestBase(listen, engine), engine_(std::move(engine)) {}
};

}  // namespace pompc::planner

#endif  // POMPC_TESTS_PLANNER_PLANNER_FIXTURE_H_
