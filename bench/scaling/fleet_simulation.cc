#include "bench/scaling/fleet_simulation.h"

#include <time.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/scaling/event_loop.h"
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/retry.h"
#include "planner/client/endpoint_picker.h"
#include "planner/core/plan_queue.h"
#include "replay/core/writer_queue.h"
#include "run/control/run_control.h"

namespace pompc::bench {
namespace {

// As the learner does them (learner/options.h, learner/monitor.h).
constexpr absl::Duration kGrantInterval = absl::Milliseconds(50);
constexpr absl::Duration kTickInterval = absl::Milliseconds(200);
// The trainer looks so often whether there is something to do, where the real one is woken.
constexpr absl::Duration kTrainerLook = absl::Milliseconds(1);
// PlannerClientOptions has these.
constexpr absl::Duration kAttemptTimeout = absl::Seconds(10);
constexpr BackoffOptions kBackoff = {absl::Milliseconds(20), absl::Seconds(1), 2.0};
constexpr double kSpread = 0.1;

absl::Duration ThreadCpuTime() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

// Mean CPU time of calls of the real code. One call in 16 is measured, for measuring takes longer
// than the shortest of them.
class Meter {
 public:
  template <typename Call>
  auto operator()(const Call& call) {
    if (calls_++ % 16 != 0) return call();
    const absl::Duration start = ThreadCpuTime();
    auto result = call();
    total_ += ThreadCpuTime() - start;
    ++measured_;
    return result;
  }
  absl::Duration mean() const { return measured_ == 0 ? absl::ZeroDuration() : total_ / measured_; }

 private:
  uint64_t calls_ = 0;
  int64_t measured_ = 0;
  absl::Duration total_;
};

absl::Duration Quantile(std::vector<absl::Duration>* values, double share) {
  if (values->empty()) return absl::ZeroDuration();
  const auto at = values->begin() + static_cast<int64_t>(share * (values->size() - 1));
  std::nth_element(values->begin(), at, values->end());
  return *at;
}

class Fleet;

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

class Fleet {
 public:
  explicit Fleet(const FleetOptions& options);
  FleetReport Run();

 private:
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

  bool measuring_ = false;
  std::vector<absl::Duration> plan_times_, queue_times_;
  uint64_t refusals_ = 0;
  Meter push_, poll_, pick_, heartbeat_, grant_;
};

run::RunControlOptions ControlOptions(const FleetOptions& options) {
  run::RunControlOptions control;
  for (int i = 0; i < options.shards; ++i) control.shards.push_back(absl::StrCat("shard-", i));
  control.ratio = {.seed_rows = options.seed_rows,
                   .pretrain_updates = options.pretrain_updates,
                   .utd = options.utd,
                   .slack_rows = options.slack_rows,
                   .min_rows = options.seed_rows};
  // Evaluations are left out.
  control.evaluation.every_rows = uint64_t{1} << 60;
  control.evaluation.episodes = 1;
  control.draws.batch_size = options.batch_size;
  return control;
}

Fleet::Fleet(const FleetOptions& options)
    : options_(options),
      random_(options.seed),
      control_(ControlOptions(options), &loop_),
      run_(std::make_shared<planner::PlannerRun>("run", &loop_, 2)),
      trainer_(&loop_, 1),
      calls_(&loop_, 1),
      link_(&loop_, 1) {
  const planner::PlanSpec spec = {.observation_size = 1,
                                  .action_size = 1,
                                  .horizon = 1,
                                  .max_batch = options.max_batch,
                                  .max_queue = options.max_queue};
  run_->parameters().Put(
      std::make_shared<planner::PlannerModel>(ParameterVersion{1, 1}, "run", spec),
      absl::ZeroDuration());
  for (int i = 0; i < options.planners; ++i) {
    planners_.push_back(std::make_unique<PlannerSim>(options));
  }
  for (int i = 0; i < options.shards; ++i) shards_.push_back(std::make_unique<ShardSim>(&loop_));
}

FleetReport Fleet::Run() {
  FleetReport report;
  for (int i = 0; i < options_.actors; ++i) {
    const auto lease = control_.Register(proto::ACTOR, absl::StrCat("actor-", i),
                                         static_cast<uint32_t>(options_.environments));
    if (!lease.ok()) {
      report.failure = absl::StrCat("actor ", i + 1, ": ", lease.status().message());
      return report;
    }
    planner::EndpointPickerOptions picker;
    picker.seed = options_.seed + i;
    actors_.push_back(std::make_unique<ActorSim>(&loop_, picker));
    actors_.back()->lease = lease->lease_id();
    for (int p = 0; p < options_.planners; ++p) actors_.back()->picker.Add();
    for (const uint32_t shard : lease->shards()) {
      auto env = std::make_shared<Environment>();
      env->actor = i;
      env->shard = static_cast<int>(shard);
      env->on_room = [this, env = env.get()] {
        loop_.After(absl::ZeroDuration(), [this, env] { Take(*env); });
      };
      ++shards_[shard]->streams;
      environments_.push_back(std::move(env));
    }
  }
  // Processes start within a second of each other.
  const auto start = [this] {
    return absl::Seconds(1) * std::uniform_real_distribution<double>(0, 1)(random_);
  };
  for (const auto& env : environments_) loop_.After(start(), [this, env] { Decide(*env); });
  for (int i = 0; i < options_.actors; ++i) loop_.After(start(), [this, i] { Heartbeat(i); });
  for (int i = 0; i < options_.shards; ++i) loop_.After(absl::ZeroDuration(), [this, i] { Grant(i); });
  Tick();
  Train();
  while (control_.phase() != proto::TRAINING) {
    if (loop_.Now() > options_.give_up) {
      report.failure = absl::StrCat("no training within ", absl::FormatDuration(options_.give_up));
      return report;
    }
    loop_.RunUntil(loop_.Now() + absl::Seconds(1));
  }
  loop_.RunUntil(loop_.Now() + options_.warm_up);
  measuring_ = true;
  for (const auto& actor : actors_) actor->rows_at_start = actor->rows;
  const Mark from = Now();
  loop_.RunUntil(loop_.Now() + options_.measured);
  return Report(from);
}

// ---------------------------------------------------------------------------- Actors.

void Fleet::Decide(Environment& env) {
  env.decided_at = loop_.Now();
  actors_[env.actor]->worker.Do(Spread(options_.times.decision), [this, &env] {
    if (control_.phase() == proto::SEED) return AddRow(env);
    env.asked_at = loop_.Now();
    env.tried.clear();
    env.backoff = std::make_unique<Backoff>(kBackoff, random_());
    Ask(env);
  });
}

void Fleet::Ask(Environment& env) {
  planner::EndpointPicker& picker = actors_[env.actor]->picker;
  const auto endpoint = pick_([&] { return picker.Pick(env.tried, loop_.Now()); });
  if (!endpoint.has_value()) return Retry(env);
  env.tried.insert(*endpoint);
  picker.Sent(*endpoint, 1, loop_.Now());
  const absl::Duration sent_at = loop_.Now();
  // Planners are numbered from 1, in the order in which they were added.
  loop_.After(options_.times.message, [this, &env, endpoint = *endpoint, sent_at] {
    Arrive(endpoint - 1, &env, endpoint, sent_at);
  });
}

// As PlannerClient pauses.
void Fleet::Retry(Environment& env) {
  env.tried.clear();
  absl::Duration pause = env.backoff->Next();
  if (const auto full_until = actors_[env.actor]->picker.FullUntil(loop_.Now())) {
    pause = (*full_until - loop_.Now()) * std::uniform_real_distribution<double>(1, 1.5)(random_);
  }
  loop_.After(pause, [this, &env] { Ask(env); });
}

void Fleet::AddRow(Environment& env) {
  ++actors_[env.actor]->rows;
  ++env.unacked;
  if (++env.chunk == options_.chunk_rows) {
    const uint32_t rows = std::exchange(env.chunk, 0);
    loop_.After(options_.times.message, [this, &env, rows] {
      env.at_shard.push_back(rows);
      if (env.at_shard.size() == 1) Store(env);
    });
  }
  env.held_back = !HasRoom(env);
  if (!env.held_back) NextDecision(env);
}

// As TrajectoryWriter::HasRoom.
bool Fleet::HasRoom(const Environment& env) const {
  return env.unacked < options_.max_unacked_rows &&
         (!env.blocked || env.unacked < options_.chunk_rows);
}

void Fleet::NextDecision(Environment& env) {
  const absl::Duration due = env.decided_at + options_.decision_interval;
  loop_.After(std::max(due - loop_.Now(), absl::ZeroDuration()), [this, &env] { Decide(env); });
}

// ---------------------------------------------------------------------------- Planners.

void Fleet::Arrive(size_t planner, Environment* env, planner::EndpointPicker::Id endpoint,
                   absl::Duration sent_at) {
  planner::PlanCall call;
  call.item.observation = {0};
  call.client = static_cast<uint64_t>(env->actor) + 1;
  call.deadline = sent_at + kAttemptTimeout;
  call.done = [this, env, endpoint, sent_at](const absl::StatusOr<planner::PlanResult>& result) {
    loop_.After(options_.times.message, [this, env, endpoint, sent_at, result] {
      Answered(env, endpoint, sent_at, result);
    });
  };
  const auto done = call.done;
  std::vector<planner::PlanCall> calls;
  calls.push_back(std::move(call));
  const auto pushed =
      push_([&] { return planners_[planner]->queue.Push(run_, std::move(calls), loop_.Now()); });
  if (!pushed.ok()) return done(pushed.status());
  Plan(planner);
}

void Fleet::Plan(size_t planner) {
  PlannerSim& sim = *planners_[planner];
  while (sim.busy < options_.planner_threads && !sim.queue.empty()) {
    auto step = std::make_shared<planner::PlanQueue::Step>(
        poll_([&] { return sim.queue.Poll(loop_.Now()); }));
    for (auto& refused : step->refused) refused.call.done(refused.status);
    const size_t plans = step->batch.size();
    if (plans == 0) continue;
    ++sim.busy;
    const absl::Duration start = loop_.Now();
    const absl::Duration batch =
        options_.plans_one_by_one ? absl::ZeroDuration() : options_.times.batch;
    const absl::Duration compute = Spread(batch + options_.times.plan * static_cast<double>(plans));
    loop_.After(compute, [this, planner, step, plans, start, compute] {
      PlannerSim& sim = *planners_[planner];
      --sim.busy;
      sim.worked += compute;
      sim.queue.Planned(*run_, plans, compute, loop_.Now());
      for (planner::PlanCall& call : step->batch) {
        planner::PlanResult result;
        result.queue_wait = start - call.submitted;
        result.compute = compute;
        result.batch_size = static_cast<int>(plans);
        call.done(result);
      }
      Plan(planner);
    });
  }
}

void Fleet::Answered(Environment* env, planner::EndpointPicker::Id endpoint, absl::Duration sent_at,
                     const absl::StatusOr<planner::PlanResult>& result) {
  planner::EndpointPicker& picker = actors_[env->actor]->picker;
  const absl::Duration now = loop_.Now();
  picker.Ended(endpoint, 1, sent_at);
  if (!result.ok()) {
    if (measuring_) ++refusals_;
    picker.Full(endpoint, RetryAfter(result.status()).value_or(absl::ZeroDuration()), now);
    return Ask(*env);
  }
  picker.Succeeded(endpoint,
                   {.latency = now - sent_at,
                    .queue = result->queue_wait,
                    .per_query = result->compute / result->batch_size},
                   now);
  if (measuring_) {
    plan_times_.push_back(now - env->asked_at);
    queue_times_.push_back(result->queue_wait);
  }
  AddRow(*env);
}

// ---------------------------------------------------------------------------- Shards.

// The shard reads the first of the chunks that have come.
void Fleet::Store(Environment& env) {
  const absl::Duration time = options_.times.chunk + options_.times.row * env.at_shard.front();
  shards_[env.shard]->server.Do(Spread(time), [this, &env] { Take(env); });
}

// As Shard::Append: what may be taken of the chunk is taken, and the rest waits.
void Fleet::Take(Environment& env) {
  ShardSim& shard = *shards_[env.shard];
  if (env.at_shard.empty()) return;
  const uint64_t room = shard.writers.Claim(&env, shard.Room());
  const uint64_t taken = std::min<uint64_t>(room, env.at_shard.front());
  shard.accepted += taken;
  env.at_shard.front() -= static_cast<uint32_t>(taken);
  const bool blocked = env.at_shard.front() > 0;
  loop_.After(options_.times.message,
              [this, &env, taken, blocked] { Acknowledge(env, taken, blocked); });
  if (env.at_shard.front() > 0) {
    shard.writers.Wait(env.shared_from_this(), replay::BlockedBy::kGrant, env.at_shard.front());
  } else {
    env.at_shard.pop_front();
    if (!env.at_shard.empty()) Store(env);
  }
  if (shard.writers.RoundDue(shard.Room())) WakeWriters(shard);
}

void Fleet::Acknowledge(Environment& env, uint64_t rows, bool blocked) {
  env.unacked -= rows;
  env.blocked = blocked;
  if (!env.held_back || !HasRoom(env)) return;
  env.held_back = false;
  NextDecision(env);
}

void Fleet::WakeWriters(ShardSim& shard) {
  for (const auto& writer : shard.writers.NextRound(shard.Room())) writer->OnRoom();
}

proto::ShardInfo Fleet::Info(int shard) const {
  const ShardSim& sim = *shards_[shard];
  proto::ShardInfo info;
  info.set_shard_incarnation(static_cast<uint64_t>(shard) + 1);
  info.set_accepted_rows(sim.accepted);
  info.set_stored_rows(sim.accepted);
  info.set_windows(sim.accepted);
  info.set_capacity_rows(uint64_t{1} << 40);
  info.set_streams(sim.streams);
  info.set_max_accepted_rows(sim.granted);
  info.set_blocked_streams(
      static_cast<uint32_t>(sim.writers.waiting(replay::BlockedBy::kGrant)));
  return info;
}

// ---------------------------------------------------------------------------- The learner.

// One of the grants that a shard gets all the time: made, sent, obeyed, and its answer read.
void Fleet::Grant(int shard) {
  calls_.Do(options_.times.grant, [this, shard] {
    if (control_.rows() == 0 && shards_[shard]->granted == 0) {
      control_.ShardAnswered(shard, Info(shard), false);  // it was configured
    }
    const run::ShardGrant grant = grant_([&] { return control_.NextGrant(shard); });
    loop_.After(options_.times.message, [this, shard, grant] {
      ShardSim& sim = *shards_[shard];
      sim.granted = grant.max_accepted_rows;
      WakeWriters(sim);
      loop_.After(options_.times.message,
                  [this, shard, info = Info(shard), over = grant.seed_phase_over] {
                    control_.ShardAnswered(shard, info, over);
                  });
    });
    loop_.After(kGrantInterval, [this, shard] { Grant(shard); });
  });
}

void Fleet::Heartbeat(int actor) {
  calls_.Do(options_.times.heartbeat, [this, actor] {
    const auto reply = heartbeat_([&] {
      return control_.Heartbeat(actors_[actor]->lease, {.rows = actors_[actor]->rows});
    });
    POMPC_CHECK_OK(reply.status());
    loop_.After(run::LeaseOptions().heartbeat, [this, actor] { Heartbeat(actor); });
  });
}

void Fleet::Tick() {
  control_.Tick();
  loop_.After(kTickInterval, [this] { Tick(); });
}

void Fleet::Train() {
  loop_.After(kTrainerLook, [this] { Train(); });
  Prefetch();
  if (updating_) return;
  if (closing_) return CloseSeed();
  switch (control_.AwaitStep(absl::ZeroDuration())) {
    case run::TrainerStep::kUpdate:
      return Update();
    case run::TrainerStep::kCloseSeed:
      control_.BeginSeedClosing();
      closing_ = true;
      return;
    default:
      return;
  }
}

// Updates follow each other without a pause while there are batches.
void Fleet::Update() {
  if (ready_batches_ == 0) return;
  --ready_batches_;
  updating_ = true;
  trainer_.Do(Spread(options_.times.update), [this] {
    updating_ = false;
    control_.UpdateDone();
    if (versions_ > 0 && control_.updates() % options_.publish_every_updates == 0) Publish();
    Prefetch();
    if (!closing_ && control_.AwaitStep(absl::ZeroDuration()) == run::TrainerStep::kUpdate) Update();
  });
}

void Fleet::CloseSeed() {
  if (!control_.AwaitSeedClosed(absl::ZeroDuration())) return;
  closing_ = false;
  Publish();
  control_.StartTraining();
}

// A version is sent when the one before it has arrived, as the broadcast does it: what was
// published meanwhile is left out.
void Fleet::Publish() {
  control_.Published({1, ++versions_});
  if (link_.waiting() > 0) return;
  link_.Do(absl::Seconds(options_.parameter_bytes * options_.planners / options_.bytes_per_second),
           [] {});
}

void Fleet::Prefetch() {
  while (ready_batches_ + drawn_batches_ < options_.prefetch_batches &&
         control_.AwaitSampling(absl::ZeroDuration())) {
    ++drawn_batches_;
    Draw();
  }
}

// A batch is there when each shard has answered with its part.
void Fleet::Draw() {
  auto missing = std::make_shared<int>(options_.shards);
  const absl::Duration time = options_.times.window * options_.batch_size / options_.shards;
  for (const auto& shard : shards_) {
    loop_.After(options_.times.message, [this, missing, time, shard = shard.get()] {
      shard->server.Do(Spread(options_.times.chunk + time), [this, missing] {
        loop_.After(options_.times.message, [this, missing] {
          if (--*missing > 0) return;
          --drawn_batches_;
          ++ready_batches_;
        });
      });
    });
  }
}

// ---------------------------------------------------------------------------- What was measured.

Fleet::Mark Fleet::Now() const {
  Mark mark;
  mark.at = loop_.Now();
  for (const auto& actor : actors_) mark.rows += actor->rows;
  mark.updates = control_.updates();
  for (const auto& planner : planners_) mark.planners.push_back(planner->worked);
  for (const auto& shard : shards_) mark.shards.push_back(shard->server.worked());
  for (const auto& actor : actors_) mark.actors.push_back(actor->worker.worked());
  mark.trainer = trainer_.worked();
  mark.control = calls_.worked();
  mark.network = link_.worked();
  return mark;
}

void Fleet::ReportRates(const Mark& from, const Mark& to, FleetReport* report) const {
  const double seconds = absl::ToDoubleSeconds(to.at - from.at);
  report->rows_per_second = static_cast<double>(to.rows - from.rows) / seconds;
  report->updates_per_second = static_cast<double>(to.updates - from.updates) / seconds;
  uint64_t least = std::numeric_limits<uint64_t>::max(), all = 0;
  for (const auto& actor : actors_) {
    least = std::min(least, actor->rows - actor->rows_at_start);
    all += actor->rows - actor->rows_at_start;
  }
  if (all > 0) report->least_rows = static_cast<double>(least) * options_.actors / all;
  int held_back = 0;
  for (const auto& env : environments_) held_back += env->held_back ? 1 : 0;
  report->held_back = static_cast<double>(held_back) / environments_.size();
}

void Fleet::ReportLoads(const Mark& from, const Mark& to, FleetReport* report) const {
  const absl::Duration time = to.at - from.at;
  const auto busiest = [&](const std::vector<absl::Duration>& before,
                           const std::vector<absl::Duration>& after, int threads) {
    double most = 0;
    for (size_t i = 0; i < after.size(); ++i) {
      most = std::max(most, absl::FDivDuration(after[i] - before[i], time * threads));
    }
    return most;
  };
  report->loads = {{"planners", busiest(from.planners, to.planners, options_.planner_threads)},
                   {"shards", busiest(from.shards, to.shards, 1)},
                   {"updates", absl::FDivDuration(to.trainer - from.trainer, time)},
                   {"learner's calls", absl::FDivDuration(to.control - from.control, time)},
                   {"parameters", absl::FDivDuration(to.network - from.network, time)},
                   {"actors", busiest(from.actors, to.actors, 1)}};
  const auto most =
      std::max_element(report->loads.begin(), report->loads.end(),
                       [](const FleetLoad& a, const FleetLoad& b) { return a.share < b.share; });
  report->bottleneck = most->share > 0.9 ? most->part : "none: environments keep their pace";
}

FleetReport Fleet::Report(const Mark& from) {
  FleetReport report;
  const Mark to = Now();
  ReportRates(from, to, &report);
  ReportLoads(from, to, &report);
  const size_t plans = std::max<size_t>(plan_times_.size(), 1);
  report.refusals = static_cast<double>(refusals_) / static_cast<double>(plans);
  report.plan_p50 = Quantile(&plan_times_, 0.5);
  report.plan_p99 = Quantile(&plan_times_, 0.99);
  report.queue_p50 = Quantile(&queue_times_, 0.5);
  report.queue_p99 = Quantile(&queue_times_, 0.99);
  report.push = push_.mean();
  report.poll = poll_.mean();
  report.pick = pick_.mean();
  report.heartbeat = heartbeat_.mean();
  report.grant = grant_.mean();
  report.events = loop_.happened();
  return report;
}

}  // namespace

FleetReport SimulateFleet(const FleetOptions& options) {
  POMPC_CHECK(options.actors > 0 && options.environments > 0 && options.planners > 0 &&
              options.planner_threads > 0 && options.shards > 0 && options.chunk_rows > 0);
  POMPC_CHECK_GE(options.max_unacked_rows, options.chunk_rows);
  return Fleet(options).Run();
}

}  // namespace pompc::bench
