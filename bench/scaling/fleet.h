#ifndef POMPC_BENCH_SCALING_FLEET_H_
#define POMPC_BENCH_SCALING_FLEET_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/scaling/event_loop.h"
#include "bench/scaling/fleet_simulation.h"
#include "common/base/backoff.h"
#include "planner/client/endpoint_picker.h"
#include "planner/core/plan_queue.h"
#include "replay/core/writer_queue.h"
#include "run/control/run_control.h"

namespace pompc::bench {

// The mean time of calls of the real code. One call in 16 is measured, since measuring takes longer
// than the shortest of them.
class Meter {
 public:
  template <typename Call>
  auto operator()(const Call& call) {
    if (calls_++ % 16 != 0) return call();
    const absl::Duration start = Clock::Real()->Now();
    auto result = call();
    total_ += Clock::Real()->Now() - start;
    ++measured_;
    return result;
  }
  absl::Duration mean() const { return measured_ == 0 ? absl::ZeroDuration() : total_ / measured_; }

 private:
  uint64_t calls_ = 0;
  int64_t measured_ = 0;
  absl::Duration total_;
};

// A planner process: its queue, and threads that poll it.
struct PlannerSim {
  explicit PlannerSim(const FleetOptions& options)
      : queue({.threads = options.planner_threads, .one_by_one = options.plans_one_by_one}) {}

  planner::PlanQueue queue;
  int busy = 0;
  absl::Duration worked;
};

// An environment: it decides, and writes its rows to one shard. It waits in the shard's queue as a
// writer's stream does.
struct Environment : replay::RoomWaiter, std::enable_shared_from_this<Environment> {
  void OnRoom() override { on_room(); }

  EventLoop::Action on_room;
  int actor = 0;
  int shard = 0;
  absl::Duration decided_at;
  // When it asked for the plan that it waits for, and how often it had to come again.
  absl::Duration asked_at;
  std::unique_ptr<Backoff> backoff;
  std::set<planner::EndpointPicker::Id> tried;
  // Rows that wait for their chunk to fill, that no shard has acknowledged, and that the shard has
  // of the chunk it is at.
  uint32_t chunk = 0;
  uint64_t unacked = 0;
  std::deque<uint32_t> at_shard;
  // The shard has said that it holds its rows back; the environment makes none for this reason or
  // because too many are outstanding.
  bool blocked = false;
  bool held_back = false;
  absl::Duration held_since;
};

struct ActorSim {
  ActorSim(EventLoop* loop, const planner::EndpointPickerOptions& options)
      : worker(loop, 1), picker(options) {}

  Station worker;
  planner::EndpointPicker picker;
  uint64_t lease = 0;
  uint64_t rows = 0;
  uint64_t rows_at_start = 0;
};

struct ShardSim {
  explicit ShardSim(EventLoop* loop) : server(loop, 1) {}

  uint64_t Room() const { return granted - std::min(granted, accepted); }

  Station server;
  replay::WriterQueue writers;
  uint64_t accepted = 0;
  uint64_t granted = 0;
  uint32_t streams = 0;
};

// The parts of SimulateFleet.
class Fleet {
 public:
  explicit Fleet(const FleetOptions& options);
  FleetReport Run();

 private:
  // Times vary by so much, up and down.
  static constexpr double kSpread = 0.1;

  // ---- Actors.
  void Decide(Environment& env);
  void Ask(Environment& env);
  void Retry(Environment& env);
  void AddRow(Environment& env);
  bool HasRoom(const Environment& env) const;
  void NextDecision(Environment& env);

  // ---- Planners. `endpoint` is the number by which the actor's picker knows the planner.
  void Arrive(size_t planner, Environment* env, planner::EndpointPicker::Id endpoint,
              absl::Duration sent_at);
  void Plan(size_t planner);
  void Answered(Environment* env, planner::EndpointPicker::Id endpoint, absl::Duration sent_at,
                const absl::StatusOr<planner::PlanResult>& result);

  // ---- Shards.
  void Store(Environment& env);
  void Take(Environment& env);
  void Acknowledge(Environment& env, uint64_t rows, bool blocked);
  void WakeWriters(ShardSim& shard);
  proto::ShardInfo Info(int shard) const;

  // ---- The learner.
  void Grant(int shard);
  void Heartbeat(int actor);
  void Tick();
  void Train();
  void Update();
  void CloseSeed();
  void Publish();
  void Prefetch();
  void Draw();

  // ---- What was measured.
  struct Mark {
    absl::Duration at;
    uint64_t rows = 0, updates = 0;
    std::vector<absl::Duration> planners, shards, actors;
    absl::Duration trainer, control, network;
    // Time that environments were held back, together.
    absl::Duration held;
  };
  Mark Now() const;
  FleetReport Report(const Mark& from);
  void ReportRates(const Mark& from, const Mark& to, FleetReport* report) const;
  void ReportLoads(const Mark& from, const Mark& to, FleetReport* report) const;
  absl::Duration Spread(absl::Duration time) {
    return time * std::uniform_real_distribution<double>(1 - kSpread, 1 + kSpread)(random_);
  }

  const FleetOptions options_;
  EventLoop loop_;
  std::mt19937_64 random_;
  run::RunControl control_;
  std::shared_ptr<planner::PlannerRun> run_;
  std::vector<std::unique_ptr<PlannerSim>> planners_;
  std::vector<std::unique_ptr<ShardSim>> shards_;
  std::vector<std::unique_ptr<ActorSim>> actors_;
  std::vector<std::shared_ptr<Environment>> environments_;
  // The thread that trains, those that serve the learner's calls, and the learner's link to the
  // planners.
  Station trainer_, calls_, link_;
  uint32_t ready_batches_ = 0, drawn_batches_ = 0;
  uint64_t versions_ = 0;
  bool updating_ = false, closing_ = false;

  // Time that environments were held back, those left out that still are.
  absl::Duration held_;
  bool measuring_ = false;
  std::vector<absl::Duration> plan_times_, queue_times_;
  uint64_t refusals_ = 0;
  Meter push_, poll_, pick_, heartbeat_, grant_;
};

}  // namespace pompc::bench

#endif  // POMPC_BENCH_SCALING_FLEET_H_
