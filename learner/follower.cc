#include "learner/follower.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/occasionally.h"
#include "common/base/retry.h"
#include "common/process/freed_memory.h"
#include "common/process/log.h"
#include "common/process/program.h"
#include "common/values/not_finite.h"
#include "learner/metrics.h"

namespace pompc::learner {
namespace {

// The interval at which the log repeats what the process waits for.
constexpr absl::Duration kTellEvery = absl::Seconds(30);

RankClientOptions ClientOptions(const FollowerOptions& options) {
  RankClientOptions client;
  client.leader = options.leader;
  client.rank = options.rank;
  client.world_size = options.world_size;
  client.num_shards = static_cast<uint32_t>(options.replay.size());
  client.name = options.name.empty() ? ProcessName() : options.name;
  client.call_timeout = options.call_timeout;
  client.clock = options.clock;
  return client;
}

}  // namespace

absl::Status FollowerOptions::Validate() const {
  if (rank < 1 || rank >= world_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rank: ", rank, "; allowed with a world size of ", world_size, ": 0 to ", world_size - 1));
  }
  if (leader.empty()) {
    return absl::InvalidArgumentError("rendezvous: the address of rank 0 must be given");
  }
  if (replay.empty()) {
    return absl::InvalidArgumentError("replay: at least one shard must be given");
  }
  if (make_engine == nullptr) return absl::InvalidArgumentError("make_engine: must be given");
  if (metrics == nullptr) return absl::InvalidArgumentError("metrics: must be given");
  return absl::OkStatus();
}

const std::array<absl::string_view, Follower::kStates>& Follower::StateNames() {
  static constexpr std::array<absl::string_view, kStates> kNames = {
      "joining", "waiting_for_orders", "waiting_for_data", "updating", "ended"};
  return kNames;
}

absl::StatusOr<std::unique_ptr<Follower>> Follower::Start(FollowerOptions options) {
  POMPC_RETURN_IF_ERROR(options.Validate());
  std::unique_ptr<Follower> follower(new Follower(std::move(options)));
  POMPC_ASSIGN_OR_RETURN(follower->server_, rpc::Server::Start(follower->options_.server, {}));
  follower->thread_ = Thread("follower", [follower = follower.get()] {
    const absl::Status status = follower->Run();
    follower->timer_.Enter(State::kEnded);
    {
      MutexLock lock(&follower->mu_);
      // Stop cancels whatever the thread waits for; the error of that says nothing about the run.
      if (!follower->stopping_.IsSet()) follower->error_ = status;
    }
    follower->ended_.Set();
  });
  return follower;
}

Follower::Follower(FollowerOptions options)
    : options_(std::move(options)),
      client_(ClientOptions(options_)),
      timer_(options_.clock, State::kJoining),
      gate_(options_.replay.size(), options_.clock) {}

Follower::~Follower() { Stop(); }

absl::Status Follower::Run() {
  POMPC_ASSIGN_OR_RETURN(proto::RankWelcome welcome, Join());
  config_ = std::move(*welcome.mutable_config());
  POMPC_ASSIGN_OR_RETURN(engine_, options_.make_engine(config_));
  engine_->PrepareThread();
  shards_ = std::make_unique<ShardClients>(
      welcome.run_id(), options_.replay, config_, options_.call_timeout,
      replay::LearnerStart{welcome.learner_start().incarnation(), welcome.learner_start().token()});
  run_id_ = welcome.run_id();
  SetLogContext({.run = run_id_, .index = absl::StrCat(options_.rank)});
  Log().info("rank {} of {} of run {}", options_.rank, options_.world_size, welcome.run_id());
  Occasionally return_memory(absl::Seconds(30));
  while (true) {
    POMPC_ASSIGN_OR_RETURN(const std::optional<proto::RankOrder> order, client_.Next());
    if (!order.has_value()) break;
    // Each thread's heap keeps the most that the thread ever held (docs/performance.md, Memory).
    // Freed memory is returned to the system between two orders, when no update is in progress.
    if (return_memory.Count(options_.clock->Now()) > 0) ReturnFreedMemory();
    const absl::Status status = Obey(*order);
    // Numbers that are not finite come out on every rank: rank 0 knows, and orders what to do.
    if (!status.ok() && NotFiniteName(status).empty()) return status;
    timer_.Enter(State::kWaitingForOrders);
  }
  Log().info("rank 0 has ended after update {}", engine_->update_count());
  return absl::OkStatus();
}

absl::StatusOr<proto::RankWelcome> Follower::Join() {
  proto::RankWelcome joined;
  Occasionally tell(kTellEvery);
  RetryOptions retry;
  retry.backoff = options_.backoff;
  retry.seed = static_cast<uint64_t>(options_.rank);
  retry.on_retry = [&](const absl::Status& error, absl::Duration) {
    if (tell.Count(options_.clock->Now()) == 0) return;
    Log().warn("waits for rank 0 at {}: {}", options_.leader.address(),
               std::string(error.message()));
  };
  POMPC_RETURN_IF_ERROR(RetryWhileUnavailable(options_.clock, &stopping_, retry, [&] {
    absl::StatusOr<proto::RankWelcome> welcome = client_.Join();
    if (welcome.ok()) joined = *std::move(welcome);
    return welcome.status();
  }));
  return joined;
}

absl::Status Follower::Obey(const proto::RankOrder& order) {
  if (order.kind() != proto::RankOrder::CONNECT && prefetcher_ == nullptr) {
    return absl::InternalError("rank 0 gives orders before it has connected the ranks");
  }
  timer_.Enter(State::kUpdating);
  switch (order.kind()) {
    case proto::RankOrder::CONNECT:
      return Connect();
    case proto::RankOrder::DRAW:
      return Draw({order.masses().begin(), order.masses().end()});
    case proto::RankOrder::REANALYZE: {
      if (!batch_.has_value()) return absl::InternalError("rank 0 re-plans without a batch");
      POMPC_ASSIGN_OR_RETURN(std::vector<PlanUpdate> plans, engine_->Reanalyze(*batch_->batch));
      plan_writer_->Write(std::move(plans));
      return absl::OkStatus();
    }
    case proto::RankOrder::STEP:
      return Step(order.want_values());
    case proto::RankOrder::KEEP:
      // Keep compares the ranks' checksums: if the parameters differ, all ranks end with an error.
      POMPC_RETURN_IF_ERROR(engine_->Keep());
      history_->Clear();
      return absl::OkStatus();
    case proto::RankOrder::GO_BACK:
      return GoBack();
    default:
      return absl::UnimplementedError(
          absl::StrCat("rank 0 gives an order, ", order.kind(), ", that is not known here"));
  }
}

absl::Status Follower::Connect() {
  // The engine takes over the state of rank 0, and with it the number of updates: batches are drawn
  // from that number on, each a function of (seed, update, rank).
  POMPC_RETURN_IF_ERROR(engine_->Connect(client_.values()));
  updates_ = engine_->update_count();
  PrefetcherOptions prefetch =
      MakePrefetcherOptions(config_, options_.rank, options_.world_size, updates_);
  prefetch.clock = options_.clock;
  prefetcher_ = std::make_unique<Prefetcher>(prefetch, &gate_, shards_.get(), engine_.get());
  plan_writer_ = std::make_unique<PlanWriter>(shards_.get());
  priority_writer_ = std::make_unique<PriorityWriter>(shards_.get());
  history_ = std::make_unique<BatchHistory>(engine_.get(), shards_.get());
  metrics_ = AddFollowerMetrics(
      *options_.metrics, {&updates_, prefetcher_.get(), plan_writer_.get(), priority_writer_.get(),
                          history_.get(), &timer_, run_id_});
  return absl::OkStatus();
}

// Answers rank 0 within look_up, with a batch or without: rank 0 asks again, and meanwhile says in
// the status which rank has none. A batch that was drawn before stays for the update to come.
absl::Status Follower::Draw(const std::vector<uint64_t>& masses) {
  if (masses.size() != options_.replay.size()) {
    return absl::InternalError(absl::StrCat("rank 0 reports ", masses.size(), " shards"));
  }
  timer_.Enter(State::kWaitingForData);
  // Only rank 0 knows what each shard holds. Its order contains the masses of their tables, and the
  // prefetcher splits its draws over the shards accordingly.
  gate_.Open(masses);
  if (!batch_.has_value()) {
    absl::StatusOr<DrawnBatch> drawn = prefetcher_->Next(options_.look_up);
    if (drawn.ok()) {
      batch_ = *std::move(drawn);
    } else if (absl::IsDeadlineExceeded(drawn.status())) {
      Log().debug("no batch: {}", drawn.status().ToString());
    } else {
      return drawn.status();
    }
  }
  // The answer is an exchange: every rank hears every other one's, and an update begins only when
  // all of them have a batch.
  return engine_->Exchange(batch_.has_value() ? 1 : 0).status();
}

absl::Status Follower::GoBack() {
  engine_->GoBack();
  updates_ = engine_->update_count();
  // A batch that is still here is one whose re-planning failed. Rank 0 takes another one
  // as well, and the windows at fault are looked for in this one too.
  if (batch_.has_value()) history_->Add(*std::move(batch_));
  batch_.reset();
  const BatchHistory::Barred barred = history_->BarUnusable();
  if (barred.windows > 0) {
    Log().warn("barred from replay, for no update can be made with: {}", barred.names);
  }
  return engine_->Exchange(static_cast<int64_t>(barred.windows)).status();
}

absl::Status Follower::Step(bool want_values) {
  if (!batch_.has_value()) return absl::InternalError("rank 0 makes an update without a batch");
  // As on rank 0, the history gets the batch before the update is tried: if the update fails, the
  // windows at fault are looked for in the history.
  const DrawnBatch& drawn = history_->Add(*std::move(batch_));
  batch_.reset();
  POMPC_RETURN_IF_ERROR(engine_->Step(*drawn.batch, want_values).status());
  priority_writer_->Write(engine_->TakePriorities());
  updates_ = engine_->update_count();
  return absl::OkStatus();
}

absl::Status Follower::Health() const {
  if (stopping_.IsSet()) return absl::UnavailableError("stopping");
  {
    MutexLock lock(&mu_);
    if (!error_.ok()) return error_;
  }
  return server_->Health();
}

absl::Status Follower::Wait() {
  ended_.Wait();
  MutexLock lock(&mu_);
  return error_;
}

void Follower::Stop() {
  MutexLock lock(&stop_mu_);
  if (std::exchange(stopped_, true)) return;
  // First everything that the thread may wait for is ended, then the thread, then what it used.
  stopping_.Set();
  if (server_ != nullptr) server_->SetServing("", false);
  client_.Cancel();
  gate_.Close();
  thread_.Join();
  if (shards_ != nullptr) shards_->Close();
  if (prefetcher_ != nullptr) prefetcher_->Close();
  if (plan_writer_ != nullptr) plan_writer_->Close();
  if (priority_writer_ != nullptr) priority_writer_->Close();
  if (server_ != nullptr) server_->Shutdown(options_.stop_grace);
  metrics_.Remove();
}

}  // namespace pompc::learner
