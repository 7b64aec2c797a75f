// Several runs on one planner: what each of them waits. Every run has one caller that asks for its
// next plan when it has the last; run 0 has eight.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "bench/planner/torch_cluster.h"
#include "benchmark/benchmark.h"
#include "common/base/threads.h"

namespace pompc::planner {
namespace {

void BM_RunsOnOnePlanner(benchmark::State& state) {
  constexpr int kPlansEach = 100;
  const auto runs = static_cast<int>(state.range(0));
  const auto greedy = static_cast<int>(state.range(1));
  TorchCluster cluster(PlannerConfig("tiny"), runs, /*threads=*/1);
  Mutex mu;
  std::vector<double> waited(runs, 0), plans(runs, 0);
  for (auto _ : state) {
    std::vector<Thread> callers;
    const auto call = [&](int run) {
      for (int i = 0; i < kPlansEach; ++i) {
        const auto reply = cluster.Plan(run, static_cast<uint64_t>(i));
        if (!reply.ok()) return;
        MutexLock lock(&mu);
        waited[run] += reply->plans(0).queue_us() / 1e3;
        ++plans[run];
      }
    };
    for (int run = 0; run < runs; ++run) {
      for (int i = 0; i < (run == 0 ? greedy : 1); ++i)
        callers.emplace_back("caller", [&, run] { call(run); });
    }
  }
  double all_waited = 0, all_plans = 0, most = 0;
  for (int run = 0; run < runs; ++run) {
    // A run with more callers has more of them waiting for its share.
    if (run == 0 && greedy > 1) continue;
    all_waited += waited[run];
    all_plans += plans[run];
    most = std::max(most, waited[run] / plans[run]);
  }
  state.counters["mean_wait_ms"] = all_waited / all_plans;
  state.counters["longest_mean_wait_ms"] = most;
  state.counters["wait_of_greedy_ms"] = waited[0] / plans[0];
  state.SetItemsProcessed(static_cast<int64_t>(all_plans));
}
BENCHMARK(BM_RunsOnOnePlanner)
    ->ArgNames({"runs", "callers_of_run_0"})
    ->Args({1, 1})
    ->Args({10, 1})
    ->Args({10, 8})
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pompc::planner
