// What a plan costs beside its computation: the planner with an engine that computes nothing,
// in-process, over loopback, and there with certificates (loopback:2), for which POMPC_CERTIFICATES
// names a folder of deploy/certificates.sh.
#include <functional>
#include <memory>
#include <string>

#include "bench/secured.h"
#include "benchmark/benchmark.h"
#include "common/base/threads.h"
#include "common/process/log.h"
#include "common/rpc/server.h"
#include "parameters/parameter_service.h"
#include "parameters/publisher.h"
#include "planner/app.h"
#include "tests/planner/client/plan_and_wait.h"
#include "tests/planner/fake_engine.h"

namespace pompc::planner {
namespace {

constexpr absl::Duration kLong = absl::Seconds(60);

// The sizes of quadruped- and humanoid-like tasks in between.
PlanSpec Spec() {
  return {
      .observation_size = 24, .action_size = 6, .horizon = 3, .max_batch = 64, .max_queue = 1024};
}

// A learner's broadcast, a planner that follows it, and a client of the planner.
class Cluster {
 public:
  explicit Cluster(int64_t connection, int queries = 1) {
    (void)SetUpLogging({.level = "off"});
    rpc::ServerOptions listen;
    if (connection != kInProcess) listen.listen = "127.0.0.1:0";
    listen.certificates = CertificatesOf(connection, proto::Access::LEARNER);
    learner_server_ = *rpc::Server::Start(listen, {&service_});
    AppOptions options;
    options.server = listen;
    options.server.certificates = CertificatesOf(connection, proto::Access::PLANNER);
    options.learners = {
        Endpoint(*learner_server_, {options.server.certificates, proto::Access::LEARNER})};
    options.engine = std::make_shared<FakeEngine>(Spec());
    options.metrics = std::make_shared<MetricsRegistry>();
    app_ = *App::Start(options);
    publisher_.Publish(FakeSnapshot({1, 1}));
    client_ = std::make_unique<PlannerClient>(PlannerClientOptions{
        .planners = {Endpoint(app_->server(), {CertificatesOf(connection, proto::Access::ACTOR),
                                               proto::Access::PLANNER})},
        .run_id = "run"});
    for (int i = 0; i < queries; ++i) {
      request_.add_queries()->set_observation(ToBytes<float>(FakeItem(0.5f, Spec()).observation));
    }
  }
  ~Cluster() { publisher_.Close(); }

  PlannerClient& client() { return *client_; }
  const proto::PlanRequest& request() const { return request_; }

  static rpc::Endpoint Endpoint(rpc::Server& server, const rpc::Trust& trust) {
    return server.address().empty() ? server.InProcessEndpoint()
                                    : rpc::Endpoint(server.address(), trust);
  }

 private:
  parameters::Publisher publisher_;
  parameters::ParameterService service_{&publisher_, {.run_id = "run"}};
  std::unique_ptr<rpc::Server> learner_server_;
  std::unique_ptr<App> app_;
  std::unique_ptr<PlannerClient> client_;
  proto::PlanRequest request_;
};

// One caller that waits for each plan.
void BM_PlanRoundTrip(benchmark::State& state) {
  Cluster cluster(state.range(0));
  for (auto _ : state) {
    if (!PlanAndWait(cluster.client(), cluster.request(), kLong).ok()) {
      state.SkipWithError("no plan");
    }
  }
}
BENCHMARK(BM_PlanRoundTrip)->ArgName("loopback")->Arg(0)->Arg(1)->Arg(2)->UseRealTime();

// So many callers that each ask for the next plans, so many together, when they have the last.
void BM_PlansPerSecond(benchmark::State& state) {
  constexpr int kCallsEach = 100;
  const auto callers = static_cast<int>(state.range(0));
  const auto queries = static_cast<int>(state.range(1));
  Cluster cluster(state.range(2), queries);
  for (auto _ : state) {
    Mutex mu;
    int left = callers * kCallsEach;
    Event done;
    std::function<void(int)> ask = [&](int calls_left) {
      cluster.client().Plan(cluster.request(), kLong, [&, calls_left](const auto&) {
        if (calls_left > 1) ask(calls_left - 1);
        MutexLock lock(&mu);
        if (--left == 0) done.Set();
      });
    };
    for (int i = 0; i < callers; ++i) ask(kCallsEach);
    done.Wait();
  }
  state.SetItemsProcessed(state.iterations() * callers * kCallsEach * queries);
}
BENCHMARK(BM_PlansPerSecond)
    ->ArgNames({"callers", "queries", "loopback"})
    ->ArgsProduct({{1, 8, 64}, {1, 16}, {1, 2}})
    ->UseRealTime();

}  // namespace
}  // namespace pompc::planner
