// This part of the simulation has the actors, planners and shards.
#include "bench/scaling/fleet_simulation.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/scaling/fleet.h"
#include "common/base/check.h"
#include "common/base/retry.h"

namespace pompc::bench {
namespace {

// PlannerClientOptions has these.
constexpr absl::Duration kAttemptTimeout = absl::Seconds(10);
constexpr BackoffOptions kBackoff = {absl::Milliseconds(20), absl::Seconds(1), 2.0};

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

}  // namespace

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
  for (int i = 0; i < options_.shards; ++i) {
    loop_.After(absl::ZeroDuration(), [this, i] { Grant(i); });
  }
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

// Pauses as PlannerClient does.
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
  env.held_since = loop_.Now();
  if (!env.held_back) NextDecision(env);
}

// Decides as TrajectoryWriter::HasRoom does.
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

// What may be taken of the chunk is taken, and the rest waits, as in Shard::Append.
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
  held_ += loop_.Now() - env.held_since;
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
  info.set_blocked_streams(static_cast<uint32_t>(sim.writers.waiting(replay::BlockedBy::kGrant)));
  return info;
}

FleetReport SimulateFleet(const FleetOptions& options) {
  POMPC_CHECK(options.actors > 0 && options.environments > 0 && options.planners > 0 &&
              options.planner_threads > 0 && options.shards > 0 && options.chunk_rows > 0);
  POMPC_CHECK_GE(options.max_unacked_rows, options.chunk_rows);
  return Fleet(options).Run();
}

}  // namespace pompc::bench
