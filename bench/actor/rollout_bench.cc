// Decisions per second of one worker thread with 64 cart-poles, beside what planners compute: with
// plans and rows handled in memory, and over gRPC with a planner that answers at once and two
// shards that take everything, on ports of loopback. The share of each state of the worker shows
// what the rest of the time goes to.
#include <memory>
#include <string>
#include <vector>

#include "actor/environments.h"
#include "actor/rollout.h"
#include "actor/session.h"
#include "benchmark/benchmark.h"
#include "common/config/run_config.h"
#include "common/config/task_specs.h"
#include "common/log.h"
#include "common/thread.h"
#include "replay/app.h"
#include "replay/client/shard_client.h"
#include "tests/actor/stub_planner.h"

namespace pompc::actor {
namespace {

constexpr int kEnvironments = 64;
constexpr int kShards = 2;

proto::RunConfig Config() {
  proto::RunConfig config = config::Resolve({});
  (void)config::FillEnvSpec(&config);
  return config;
}

class InstantPlans : public PlanSource {
 public:
  void Request(const PlanQuery& query, Plan* plan, Done done) override {
    plan->action.assign(1, 0.1f);
    plan->mean.assign(1, 0.1f);
    plan->std.assign(1, 0.5f);
    plan->warm_start.assign(3, 0.1f);
    done(absl::OkStatus());
  }
};

// Ends the rollout after so many rows.
class CountingSink : public RowSink {
 public:
  CountingSink(Rollout* rollout, int64_t rows) : rollout_(rollout), left_(rows) {}
  void BeginEpisode(int environment) override {}
  bool HasRoom(int environment) override { return true; }
  uint64_t Acknowledged(int environment) override { return 0; }
  absl::Status Append(int environment, const Row& row) override {
    if (--left_ == 0) rollout_->Stop();
    return absl::OkStatus();
  }
  absl::Status EndEpisode(int environment, std::span<const float> observation) override {
    return absl::OkStatus();
  }

 private:
  Rollout* const rollout_;
  int64_t left_;
};

void BM_InMemory(benchmark::State& state) {
  const EnvironmentFactory factory = *FactoryForTask(Config().env());
  constexpr int64_t kRows = 50000;
  for (auto _ : state) {
    state.PauseTiming();
    ActorStats stats("actor", 1, Clock::Real(), std::make_shared<MetricsRegistry>());
    InstantPlans plans;
    auto rollout =
        *Rollout::Make({.environments = kEnvironments, .random_phase = state.range(0) == 1},
                       factory, &plans, &stats, Clock::Real());
    CountingSink sink(rollout.get(), kRows);
    state.ResumeTiming();
    (void)rollout->Run(&sink);
  }
  state.SetItemsProcessed(state.iterations() * kRows);
}
BENCHMARK(BM_InMemory)->ArgName("random")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

std::vector<std::unique_ptr<replay::App>> StartShards(const proto::RunConfig& config) {
  std::vector<std::unique_ptr<replay::App>> shards;
  for (int i = 0; i < kShards; ++i) {
    replay::AppOptions options;
    options.listen = "127.0.0.1:0";
    options.metrics = std::make_shared<MetricsRegistry>();
    shards.push_back(*replay::App::Start(options));
    replay::ShardClientOptions client;
    client.run_id = "run";
    client.shard_index = i;
    client.spec = config.env().spec();
    client.horizon = 3;
    client.capacity_rows = 100000;
    client.capacity_bytes = 1 << 28;
    replay::ShardClient learner(client, shards.back()->server().InProcessChannel());
    (void)learner.Configure();
    (void)learner.Grant(1'000'000'000, "", true);
  }
  return shards;
}

void BM_OverGrpc(benchmark::State& state) {
  (void)SetUpLogging({.level = "off"});
  const proto::RunConfig config = Config();
  const EnvironmentFactory factory = *FactoryForTask(config.env());
  StubPlanner planner("run", 5, 1, "127.0.0.1:0");
  const auto shards = StartShards(config);
  SessionOptions options;
  options.lease.set_run_id("run");
  options.lease.set_incarnation(1);
  options.lease.set_num_shards(kShards);
  *options.lease.mutable_config() = config;
  options.lease.set_phase(proto::TRAINING);
  for (int i = 0; i < kEnvironments; ++i) options.lease.add_shards(i % kShards);
  options.planners = {planner.endpoint()};
  for (const auto& shard : shards) options.replay.emplace_back(shard->server().address());
  ActorStats stats("actor", 1, Clock::Real(), std::make_shared<MetricsRegistry>());
  auto session = *Session::Make(options, factory, &stats, Clock::Real());
  Thread thread("session", [&] { (void)session->Run(); });
  uint64_t before = stats.counts().rows;
  const auto seconds_before = stats.timer(0)->Seconds();
  int64_t rows = 0;
  for (auto _ : state) {
    while (stats.counts().rows < before + 10000) {
      Mutex mu;
      CondVar never;
      MutexLock lock(&mu);
      Clock::Real()->WaitUntil(&never, &mu, Clock::Real()->Now() + absl::Milliseconds(1));
    }
    const uint64_t now = stats.counts().rows;
    rows += static_cast<int64_t>(now - before);
    before = now;
  }
  const auto seconds = stats.timer(0)->Seconds();
  double sum = 0;
  for (int i = 0; i < kWorkerStates; ++i) sum += seconds[i] - seconds_before[i];
  for (int i = 0; i < kWorkerStates; ++i) {
    state.counters[std::string(kWorkerStateNames[i])] = (seconds[i] - seconds_before[i]) / sum;
  }
  state.SetItemsProcessed(rows);
  session->Stop();
  thread.Join();
}
BENCHMARK(BM_OverGrpc)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pompc::actor
