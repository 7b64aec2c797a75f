#include "actor/session.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actor/core/seeds.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/process/log.h"

namespace pompc::actor {
namespace {

// The interval at which a turn that waits for a shard to store its row checks whether it should
// stop.
constexpr absl::Duration kFlushTurn = absl::Milliseconds(100);

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Make(const SessionOptions& options,
                                                       const EnvironmentFactory& factory,
                                                       ActorStats* stats, Clock* clock) {
  if (options.lease.num_shards() != options.replay.size()) {
    return absl::FailedPreconditionError(absl::StrCat("--replay names ", options.replay.size(),
                                                      " shards; the run has ",
                                                      options.lease.num_shards()));
  }
  const bool lockstep = options.lease.config().schedule() == proto::RunConfig::LOCKSTEP;
  if (lockstep != (options.turns != nullptr)) {
    return absl::FailedPreconditionError(
        "the run's schedule is LOCKSTEP: its only actor is in the process of `pompc train`");
  }
  std::unique_ptr<Session> session(new Session(options, stats, clock));
  POMPC_RETURN_IF_ERROR(session->MakeRollouts(factory, stats, clock));
  POMPC_ASSIGN_OR_RETURN(session->writer_, session->MakeWriter(stats, clock));
  return session;
}

Session::Session(const SessionOptions& options, ActorStats* stats, Clock* clock)
    : options_(options), environments_(options.lease.shards_size()) {
  planner::PlannerClientOptions planner;
  planner.run_id = options.lease.run_id();
  planner.clock = clock;
  planner.max_calls = environments_;
  planner.seed = MixSeeds({options.lease.incarnation()});
  planner.on_hedge = [stats](size_t queries) { stats->AddHedgedPlans(queries); };
  // With turns, plans are requested right after a version was published, while it is still on its
  // way to the planner in the same process: the first attempt often fails, and the next should come
  // soon.
  if (options.turns != nullptr) {
    planner.backoff = {.initial = absl::Milliseconds(1), .max = absl::Milliseconds(20)};
  }
  plans_ = std::make_unique<PlannerPlanSource>(planner, options.planners);
}

Session::~Session() { Stop(); }

absl::Status Session::MakeRollouts(const EnvironmentFactory& factory, ActorStats* stats,
                                   Clock* clock) {
  // Each thread gets the next environments: an environment's seeds depend on its number alone, so
  // the number of threads does not change what happens in it.
  const proto::RegisterReply& lease = options_.lease;
  const int threads = options_.turns != nullptr ? 1 : std::min(options_.threads, environments_);
  for (int i = 0, first = 0; i < threads; ++i) {
    RolloutOptions rollout;
    rollout.environments = (environments_ - first) / (threads - i);
    rollout.seeds = {.run_seed = lease.config().seed(),
                     .actor_index = lease.index(),
                     .incarnation = lease.incarnation(),
                     .environment = static_cast<uint64_t>(first)};
    rollout.worker = i;
    rollout.random_phase = lease.phase() == proto::SEED;
    rollout.plan_std = config::PlanStdRange(lease.config());
    POMPC_ASSIGN_OR_RETURN(auto made, Rollout::Make(rollout, factory, plans_.get(), stats, clock));
    listeners_.insert(listeners_.end(), rollout.environments, made->listener());
    rollouts_.push_back(std::move(made));
    first += rollout.environments;
  }
  POMPC_CHECK_EQ(static_cast<int>(listeners_.size()), environments_);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<replay::TrajectoryWriter>> Session::MakeWriter(ActorStats* stats,
                                                                              Clock* clock) {
  const proto::RegisterReply& lease = options_.lease;
  replay::TrajectoryWriterOptions writer;
  writer.run_id = lease.run_id();
  writer.actor_index = lease.index();
  writer.incarnation = lease.incarnation();
  writer.spec = {.observation_size = lease.config().env().spec().observation_size(),
                 .action_size = lease.config().env().spec().action_size()};
  writer.shard_of_environment = {lease.shards().begin(), lease.shards().end()};
  for (const rpc::Endpoint& shard : options_.replay) writer.shards.push_back(shard.Channel());
  writer.chunk_rows = lease.config().actor().chunk_rows();
  writer.max_unacked_rows = lease.config().actor().max_unacked_rows();
  writer.seed = MixSeeds({lease.incarnation()});
  // The writer's thread calls these. They only leave letters, so that it never waits for a rollout.
  writer.on_room = [this](uint32_t environment) {
    listeners_[environment]->OnRoom(static_cast<int>(environment));
  };
  writer.on_refused = [this, stats, clock](const replay::Refusal& refusal) {
    stats->AddRefusal(refusal.rows);
    if (const uint64_t times = refusals_.Count(clock->Now()); times > 0) {
      // Most refusals are temporary, as at the end of the seed phase. Only rows that are wrong will
      // be refused again.
      const auto level =
          absl::IsInvalidArgument(refusal.why) ? spdlog::level::warn : spdlog::level::info;
      Log().log(level, "replay refused {} episode{}; the last one, of environment {}: {}", times,
                times == 1 ? "" : "s", refusal.environment, refusal.why.ToString());
    }
    listeners_[refusal.environment]->OnRefused(static_cast<int>(refusal.environment), refusal.why);
  };
  writer.on_resumed = [stats](uint32_t) { stats->AddResumedSegment(); };
  POMPC_RETURN_IF_ERROR(writer.Validate());
  return std::make_unique<replay::TrajectoryWriter>(std::move(writer), clock);
}

// A sink belongs to one thread, the writer to all of them.
absl::Status Session::RunRollout(Rollout* rollout) {
  WriterRowSink sink(writer_.get());
  if (options_.turns == nullptr) return rollout->Run(&sink);
  return rollout->RunInTurns(&sink, options_.turns, [this] { return Flush(kFlushTurn); });
}

// The first rollout that fails stops the others. Leaving the inner block joins the threads.
absl::Status Session::Run() {
  POMPC_CHECK(!std::exchange(ran_, true), "Run is called once");
  Mutex mu;
  absl::Status first_error;
  {
    std::vector<Thread> threads;
    for (const auto& rollout : rollouts_) {
      threads.emplace_back("rollout", [&, rollout = rollout.get()] {
        const absl::Status status = RunRollout(rollout);
        if (status.ok()) return;
        {
          MutexLock lock(&mu);
          first_error.Update(status);
        }
        Stop();
      });
    }
  }
  return first_error;
}

void Session::SetPhase(proto::Phase phase) {
  for (const auto& rollout : rollouts_) rollout->SetRandomPhase(phase == proto::SEED);
}

// The rollouts first: one that is told to stop does not count the plans that Close() then fails.
void Session::Stop() {
  for (const auto& rollout : rollouts_) rollout->Stop();
  plans_->Close();
}

std::string Session::Waiting() const {
  // Most environments wait for the same reason, so each reason is given once.
  std::set<std::string> reasons;
  for (int i = 0; i < environments_; ++i) {
    const std::string reason = writer_->HeldReason(i);
    if (!reason.empty()) reasons.insert(absl::StrCat("replay: ", reason));
  }
  if (std::string plans = plans_->Waiting(); !plans.empty()) reasons.insert(std::move(plans));
  return absl::StrJoin(reasons, "; ");
}

}  // namespace pompc::actor
