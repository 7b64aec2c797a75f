// Decisions per second of one worker thread with 64 cart-poles, beside what planners compute: with
// plans and rows handled in memory, and over gRPC with a planner that answers at once and two
// shards that take everything, on ports of loopback.
//
// Planner and shards are a process of their own on another core; this one keeps to the first core
// it may use, so that its CPU time is the actor's alone. The counters say where a decision's time
// goes: microseconds of CPU (all threads, in the kernel, worker thread, writer thread; the rest is
// gRPC's threads), how often a thread of the actor had to wait, and the share of each state of the
// worker; and how many queries a plan request carried.
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actor/core/rollout.h"
#include "actor/environments.h"
#include "actor/session.h"
#include "bench/support/process.h"
#include "benchmark/benchmark.h"
#include "common/base/threads.h"
#include "common/config/run_config.h"
#include "common/config/task_specs.h"
#include "common/process/log.h"
#include "common/rpc/discovery.h"
#include "replay/app.h"
#include "replay/client/shard_client.h"
#include "tests/actor/stub_planner.h"

namespace pompc::actor {
namespace {

constexpr int kEnvironments = 64;
constexpr int kShards = 2;
constexpr char kServePeers[] = "--serve-peers";

proto::RunConfig Config() {
  proto::RunConfig config = config::Resolve({});
  (void)config::FillEnvSpec(&config);
  return config;
}

class InstantPlans : public PlanSource {
 public:
  void Request(std::span<const PlanQuery> queries, const PlanMode& mode,
               PlanListener* listener) override {
    for (const PlanQuery& query : queries) {
      query.plan->action.assign(1, 0.1f);
      query.plan->mean.assign(1, 0.1f);
      query.plan->std.assign(1, 0.5f);
      query.plan->warm_start.assign(3, 0.1f);
      listener->OnPlans({&query.slot, 1}, absl::OkStatus());
    }
  }
};

// Ends the rollout after so many rows.
class CountingSink : public RowSink {
 public:
  CountingSink(Rollout* rollout, int64_t rows) : rollout_(rollout), left_(rows) {}
  void BeginEpisode(int environment) override {}
  bool HasRoom(int environment) override { return true; }
  uint64_t Acknowledged(int environment) override { return 0; }
  absl::Status Append(int environment, const replay::RowView& row) override {
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
    (void)learner.Grant({1'000'000'000, "", true});
  }
  return shards;
}

// The process of the peers: says where they are, and serves until this one is done.
int ServePeers() {
  bench::StayOnOneCore(/*first=*/false);
  (void)SetUpLogging({.level = "off"});
  StubPlanner planner("run", 5, 1, "127.0.0.1:0");
  const auto shards = StartShards(Config());
  bench::WriteLine(planner.endpoint().address());
  for (const auto& shard : shards) bench::WriteLine(shard->server().address());
  bench::AwaitEndOfInput();
  bench::WriteLine(
      absl::StrCat(static_cast<double>(planner.queries()) / static_cast<double>(planner.calls())));
  return 0;
}

// What the actor has used and done so far.
struct Progress {
  explicit Progress(ActorStats* stats)
      : usage(bench::UsageNow()),
        worker_us(bench::ThreadMicros("rollout")),
        writer_us(bench::ThreadMicros("replay-writer")),
        rows(static_cast<double>(stats->counts().rows)),
        states(stats->timer(0)->Seconds()) {}

  bench::Usage usage;
  double worker_us;
  double writer_us;
  double rows;
  std::array<double, kWorkerStates> states;
};

void Report(const Progress& before, const Progress& after, benchmark::State* state) {
  const double rows = after.rows - before.rows;
  state->SetItemsProcessed(static_cast<int64_t>(rows));
  state->counters["cpu_us"] = (after.usage.cpu_us - before.usage.cpu_us) / rows;
  state->counters["kernel_us"] = (after.usage.kernel_us - before.usage.kernel_us) / rows;
  state->counters["worker_us"] = (after.worker_us - before.worker_us) / rows;
  state->counters["writer_us"] = (after.writer_us - before.writer_us) / rows;
  state->counters["waits"] = (after.usage.waits - before.usage.waits) / rows;
  double sum = 0;
  for (int i = 0; i < kWorkerStates; ++i) sum += after.states[i] - before.states[i];
  for (int i = 0; i < kWorkerStates; ++i) {
    state->counters[std::string(kWorkerStateNames[i])] = (after.states[i] - before.states[i]) / sum;
  }
}

void BM_OverGrpc(benchmark::State& state) {
  (void)SetUpLogging({.level = "off"});
  const proto::RunConfig config = Config();
  const EnvironmentFactory factory = *FactoryForTask(config.env());
  bench::PeerProcess peers({kServePeers});
  SessionOptions options;
  options.lease.set_run_id("run");
  options.lease.set_incarnation(1);
  options.lease.set_num_shards(kShards);
  *options.lease.mutable_config() = config;
  options.lease.set_phase(proto::TRAINING);
  for (int i = 0; i < kEnvironments; ++i) options.lease.add_shards(i % kShards);
  rpc::Discovery planners({rpc::Endpoint(peers.ReadLine())}, {});
  options.planners = &planners;
  for (int i = 0; i < kShards; ++i) options.replay.emplace_back(peers.ReadLine());
  ActorStats stats("actor", 1, Clock::Real(), std::make_shared<MetricsRegistry>());
  auto session = *Session::Make(options, factory, &stats, Clock::Real());
  Thread thread("session", [&] { (void)session->Run(); });
  // Waits, seldom enough not to matter, for so many rows more.
  const auto play = [&](uint64_t rows) {
    rows += stats.counts().rows;
    Mutex mu;
    CondVar never;
    MutexLock lock(&mu);
    while (stats.counts().rows < rows) {
      Clock::Real()->WaitUntil(&never, &mu, Clock::Real()->Now() + absl::Milliseconds(5));
    }
  };
  play(1000);
  const Progress before(&stats);
  for (auto _ : state) play(10000);
  Report(before, Progress(&stats), &state);
  session->Stop();
  thread.Join();
  peers.CloseInput();
  state.counters["queries"] = std::strtod(peers.ReadLine().c_str(), nullptr);
}
BENCHMARK(BM_OverGrpc)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pompc::actor

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == pompc::actor::kServePeers) {
    return pompc::actor::ServePeers();
  }
  pompc::bench::StayOnOneCore(/*first=*/true);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
