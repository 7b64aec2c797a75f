// What a caller that needs a decision at a fixed rate gets, with and without planner.budget_ms: one
// caller, one planning thread, over loopback. The counters are milliseconds from the request to the
// plan, and the plans' iterations.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/planner/torch_cluster.h"
#include "benchmark/benchmark.h"
#include "common/base/threads.h"

namespace pompc::planner {
namespace {

double Milliseconds(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

// `rate` decisions a second; an observation that would come while the plan for the one before is
// still awaited is left out, as a robot would.
void BM_FixedRate(benchmark::State& state, const std::string& size, double budget_ms, int rate,
                  int decisions) {
  proto::RunConfig config = PlannerConfig(size);
  config.mutable_planner()->set_budget_ms(budget_ms);
  TorchCluster cluster(config, /*runs=*/1, /*threads=*/1);
  Clock* const clock = Clock::Real();
  Event never;
  std::vector<absl::Duration> latencies;
  int iterations = 0, late = 0;
  for (auto _ : state) {
    const absl::Duration period = absl::Seconds(1) / rate;
    absl::Duration next = clock->Now();
    for (int i = 0; i < decisions; ++i) {
      never.WaitUntil(clock, next);
      const absl::Duration begin = clock->Now();
      const auto reply = cluster.Plan(0, static_cast<uint64_t>(i));
      if (!reply.ok()) return state.SkipWithError("no plan");
      const absl::Duration end = clock->Now();
      latencies.push_back(end - begin);
      iterations += static_cast<int>(reply->plans(0).iterations());
      for (next += period; next < end; next += period) ++late;
    }
  }
  std::sort(latencies.begin(), latencies.end());
  const auto quantile = [&](double q) {
    return Milliseconds(
        latencies[static_cast<size_t>(q * static_cast<double>(latencies.size() - 1))]);
  };
  state.counters["p50"] = quantile(0.5);
  state.counters["p99"] = quantile(0.99);
  state.counters["p99.9"] = quantile(0.999);
  state.counters["most"] = quantile(1);
  state.counters["iterations"] =
      static_cast<double>(iterations) / static_cast<double>(latencies.size());
  state.counters["left_out"] = late;
}
#define POMPC_FIXED_RATE(size, budget, rate, decisions)                                \
  BENCHMARK_CAPTURE(BM_FixedRate, size##_##budget##ms, #size, budget, rate, decisions) \
      ->Iterations(1)                                                                  \
      ->UseRealTime()                                                                  \
      ->Unit(benchmark::kMillisecond)
POMPC_FIXED_RATE(tiny, 0, 100, 3000);
POMPC_FIXED_RATE(tiny, 1, 100, 3000);
POMPC_FIXED_RATE(tiny, 2, 100, 3000);
POMPC_FIXED_RATE(tiny, 5, 100, 3000);
POMPC_FIXED_RATE(5M, 0, 20, 50);
POMPC_FIXED_RATE(5M, 20, 20, 200);
#undef POMPC_FIXED_RATE

}  // namespace
}  // namespace pompc::planner
