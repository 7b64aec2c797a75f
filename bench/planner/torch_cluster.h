// Learners' broadcasts and a planner that follows them, over loopback.
#ifndef POMPC_BENCH_PLANNER_TORCH_CLUSTER_H_
#define POMPC_BENCH_PLANNER_TORCH_CLUSTER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/planner/planner_config.h"
#include "common/process/log.h"
#include "common/rpc/server.h"
#include "common/values/float_bytes.h"
#include "parameters/parameter_service.h"
#include "parameters/publisher.h"
#include "planner/app.h"
#include "planner/client/planner_client.h"
#include "planner/torch_engine.h"
#include "tests/planner/torch_snapshot.h"
#include "tests/support/await.h"

namespace pompc::planner {

class TorchCluster {
 public:
  // A planner with so many threads that serves the runs "run-0", "run-1", ...
  TorchCluster(const proto::RunConfig& config, int runs, int threads) {
    (void)SetUpLogging({.level = "off"});
    AppOptions options;
    options.server.listen = "127.0.0.1:0";
    options.engine = *MakeTorchEngine({.device = "cpu", .threads = threads});
    options.metrics = std::make_shared<MetricsRegistry>();
    for (int i = 0; i < runs; ++i) {
      learners_.push_back(std::make_unique<Learner>("run-" + std::to_string(i), config));
      options.learners.emplace_back(learners_.back()->server->address());
    }
    app_ = *App::Start(std::move(options));
    for (int i = 0; i < runs; ++i) clients_.push_back(Client(i));
    for (int i = 0; i < runs; ++i) {
      (void)Await([&] { return Plan(i, 0).ok(); });
    }
  }

  // The next plan of run i, made for the observation that follows from `seed`.
  absl::StatusOr<proto::PlanReply> Plan(int i, uint64_t seed) {
    Event done;
    absl::StatusOr<proto::PlanReply> result;
    clients_[i]->Plan(Request(seed), absl::Seconds(60),
                      [&](absl::StatusOr<proto::PlanReply> reply) {
                        result = std::move(reply);
                        done.Set();
                      });
    done.Wait();
    return result;
  }

 private:
  struct Learner {
    Learner(const std::string& run_id, const proto::RunConfig& config)
        : service(&publisher, {.run_id = run_id}),
          server(*rpc::Server::Start({.listen = "127.0.0.1:0"}, {&service})) {
      parameters::ParameterSnapshot snapshot = TorchSnapshot(config, {1, 1}, /*seed=*/1);
      snapshot.description.set_run_id(run_id);
      publisher.Publish(std::move(snapshot));
    }
    ~Learner() { publisher.Close(); }

    parameters::Publisher publisher;
    parameters::ParameterService service;
    std::unique_ptr<rpc::Server> server;
  };

  std::unique_ptr<PlannerClient> Client(int i) {
    PlannerClientOptions options;
    options.planners = {rpc::Endpoint(app_->server().address())};
    options.run_id = "run-" + std::to_string(i);
    return std::make_unique<PlannerClient>(std::move(options));
  }
  static proto::PlanRequest Request(uint64_t seed) {
    proto::PlanRequest request;
    proto::PlanQuery* query = request.add_queries();
    query->set_observation(
        ToBytes<float>(std::vector<float>(5, 0.01f * static_cast<float>(seed % 100))));
    query->set_seed(seed);
    return request;
  }

  std::vector<std::unique_ptr<Learner>> learners_;
  std::unique_ptr<App> app_;
  std::vector<std::unique_ptr<PlannerClient>> clients_;
};

}  // namespace pompc::planner

#endif  // POMPC_BENCH_PLANNER_TORCH_CLUSTER_H_
