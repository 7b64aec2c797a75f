// What it costs to take a call in and to choose the next plan, with few and with many clients that
// wait.
#include <cstdint>
#include <memory>
#include <utility>

#include "benchmark/benchmark.h"
#include "common/base/threads.h"
#include "planner/core/plan_queue.h"
#include "tests/planner/core/fake_backend.h"

namespace pompc::planner {
namespace {

void BM_QueuePlan(benchmark::State& state) {
  const auto clients = static_cast<uint64_t>(state.range(0));
  const auto max_batch = static_cast<int>(state.range(1));
  PlanSpec spec = FakeSpec();
  spec.max_batch = max_batch;
  spec.max_queue = 1000000;
  FakeClock clock;
  const std::shared_ptr<PlannerRun> run = FakeRun("run", &clock);
  run->parameters().Put(FakeModel(1, spec), absl::ZeroDuration());
  PlanQueue queue({.one_by_one = max_batch == 1});
  const auto push = [&](uint64_t client) {
    PlanCall call;
    call.item = FakeItem();
    call.client = client;
    call.deadline = absl::Seconds(100);
    benchmark::DoNotOptimize(queue.Push(run, {std::move(call)}, absl::ZeroDuration()));
  };
  for (uint64_t client = 0; client < clients; ++client) push(client);
  for (uint64_t client = 0; client < clients; ++client) push(client);
  int64_t plans = 0;
  for (auto _ : state) {
    const PlanQueue::Step step = queue.Poll(absl::Seconds(1));
    plans += static_cast<int64_t>(step.batch.size());
    queue.Planned(*run, step.batch.size(), absl::Milliseconds(2), absl::Seconds(1));
    for (const PlanCall& call : step.batch) push(call.client);
  }
  state.SetItemsProcessed(plans);
}
BENCHMARK(BM_QueuePlan)->ArgNames({"clients", "max_batch"})->ArgsProduct({{10, 1000}, {1, 64}});

}  // namespace
}  // namespace pompc::planner
