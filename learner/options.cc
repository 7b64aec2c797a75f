#include "learner/options.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/rpc/message_size.h"
#include "common/rpc/wire.h"
#include "learner/feed/shard_clients.h"
#include "replay/core/row.h"

namespace pompc::learner {
namespace {

// Each rank's part of a batch is as large as the others': the gradient of the whole batch is then
// the mean of theirs (Updater::AverageGradient).
absl::Status CheckRanks(const proto::RunConfig& config, int world_size) {
  if (world_size < 1 || world_size > kMaxRanks) {
    return absl::InvalidArgumentError(
        absl::StrCat("world_size: ", world_size, "; allowed: 1 to ", kMaxRanks));
  }
  if (config.learner().batch_size() % static_cast<uint32_t>(world_size) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("learner.batch_size: ", config.learner().batch_size(),
                     "; allowed with a world size of ", world_size, ": its multiples"));
  }
  if (world_size > 1 && config.schedule() == proto::RunConfig::LOCKSTEP) {
    return absl::InvalidArgumentError(
        absl::StrCat("world_size: ", world_size, "; allowed with schedule: LOCKSTEP: 1"));
  }
  return absl::OkStatus();
}

replay::RowSpec SpecOf(const proto::RunConfig& config) {
  return {config.env().spec().observation_size(), config.env().spec().action_size()};
}

// A draw is split over the shards by how many windows each holds. When one alone has windows, it
// has to deliver a rank's whole part of a batch in one message.
absl::Status CheckBatchSize(const proto::RunConfig& config, int world_size) {
  const replay::RowSpec spec = SpecOf(config);
  const uint32_t horizon = config.planner().horizon();
  const uint32_t most = replay::MaxSampleWindows(spec, horizon);
  const uint32_t batch = config.learner().batch_size();
  if (batch / static_cast<uint32_t>(world_size) <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("learner.batch_size: ", batch, "; of windows of ",
                   replay::WindowBytes(spec, horizon), " bytes (planner.horizon ", horizon,
                   ", env.spec.observation_size ", spec.observation_size, ") one message holds ",
                   most, world_size > 1 ? ", and takes a rank's part of the batch" : ""));
}

// Every message whose size follows from the config, at its largest. Chunks, plan requests and new
// plans are cut where they grow large (rpc::ItemsPerRequest), so of these one item has to fit.
absl::Status CheckMessages(const proto::RunConfig& config, int world_size) {
  const replay::RowSpec spec = SpecOf(config);
  const uint64_t o = spec.observation_size, a = spec.action_size, h = config.planner().horizon();
  struct Message {
    const char* what;
    uint64_t bytes;
    int limit;
  };
  // Room for the header, names of streams, tags and lengths.
  constexpr uint64_t kOther = 4096;
  const Message messages[] = {
      {"a chunk of one row", replay::ChunkRowBytes(spec) + 4 * o, rpc::kMaxRequestBytes},
      {"a request for one plan", 4 * (o + h * a), rpc::kMaxRequestBytes},
      {"the answer to a full plan request", rpc::kMaxPlanQueries * (4 * (h + 3) * a + 64),
       rpc::kMaxReplyBytes},
      {"the new plan of one row", replay::PlanUpdateBytes(a), rpc::kMaxRequestBytes},
      {"the run's config", config.ByteSizeLong(), rpc::kMaxReplyBytes}};
  for (const Message& message : messages) {
    if (message.bytes + kOther <= static_cast<uint64_t>(message.limit)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("env.spec.observation_size ", o, ", env.spec.action_size ", a,
                     ", planner.horizon ", h, ": ", message.what, " takes ", message.bytes,
                     " bytes; a message holds ", message.limit));
  }
  return CheckBatchSize(config, world_size);
}

// Rows are evicted from each shard by itself, the oldest first. If a shard held fewer than a window
// of every environment, rows would be gone before the window around them is complete.
absl::Status CheckCapacity(const proto::RunConfig& config, size_t num_shards) {
  const replay::TableOptions shard = ShareOfShard(config, num_shards);
  POMPC_RETURN_IF_ERROR(Annotate(shard.Validate(), "replay.capacity_rows, replay.capacity_bytes"));
  const uint64_t slots = num_shards * shard.slots();
  const uint64_t environments = config.actor().environments();
  const uint64_t wanted = environments * (shard.horizon + 1);
  if (slots >= wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "replay.capacity_bytes: ", config.replay().capacity_bytes(), "; rows of ",
      replay::Table::SlotBytes(shard.spec, shard.tables), " bytes: ", slots,
      " of them are less than ", wanted,
      ", actor.environments * (planner.horizon + 1): rows would be evicted before they make a "
      "window"));
}

// A run that learns from data sets alone has no rows of its own: nothing is counted in rows, and
// nothing waits for them.
void MakeOffline(const proto::RunConfig& config, run::RunControlOptions* control) {
  control->ratio.offline = true;
  control->ratio.seed_rows = 0;
  control->ratio.pretrain_updates = 0;
  control->ratio.min_rows = 1;
  control->stop.max_rows = 0;
  control->evaluation.every_updates = config.evaluation().every_updates();
  // Without evaluations in between, there is none at the end either.
  if (control->evaluation.every_updates == 0) control->evaluation.last_updates = 0;
}

}  // namespace

absl::Status AppOptions::Validate() const {
  if (run_dir.empty()) return absl::InvalidArgumentError("run_dir: must be given");
  if (replay.empty()) {
    return absl::InvalidArgumentError("replay: at least one shard must be given");
  }
  for (const rpc::Endpoint& shard : replay) {
    if (shard.empty()) return absl::InvalidArgumentError("replay: a shard has no address");
  }
  if (engine == nullptr) return absl::InvalidArgumentError("engine: must be given");
  if (metrics == nullptr) return absl::InvalidArgumentError("metrics: must be given");
  POMPC_RETURN_IF_ERROR(config::Validate(config));
  if (!config.env().spec().has_observation_size()) {
    return absl::InvalidArgumentError("config: env.spec must be filled in");
  }
  POMPC_RETURN_IF_ERROR(CheckRanks(config, world_size));
  POMPC_RETURN_IF_ERROR(CheckMessages(config, world_size));
  POMPC_RETURN_IF_ERROR(CheckCapacity(config, replay.size()));
  if ((config.schedule() == proto::RunConfig::LOCKSTEP) != (turns != nullptr)) {
    return absl::InvalidArgumentError(
        "config: schedule: LOCKSTEP is for runs in one process (`pompc train`); allowed elsewhere: "
        "CONCURRENT");
  }
  return MakeRunControlOptions(*this, 1).ratio.Validate();
}

run::RunControlOptions MakeRunControlOptions(const AppOptions& options,
                                             uint64_t learner_incarnation) {
  const proto::RunConfig& config = options.config;
  run::RunControlOptions control;
  control.learner_incarnation = learner_incarnation;
  for (const rpc::Endpoint& shard : options.replay) control.shards.push_back(shard.address());
  control.ratio.seed_rows = config::SeedRows(config);
  control.ratio.pretrain_updates = config::PretrainUpdates(config);
  control.ratio.utd = config.learner().utd();
  control.ratio.slack_rows = config.replay().slack_rows();
  control.ratio.min_rows = config.replay().min_rows();
  control.first_environments = config.actor().environments();
  control.imports = !config.replay().import().empty();
  control.evaluation.every_rows = config.evaluation().every_rows();
  control.evaluation.episodes = config.evaluation().episodes();
  control.evaluation.seed = config.seed();
  control.evaluation.timeout = options.evaluation_timeout;
  control.stop.max_rows = config.stop().max_rows();
  // 0 is no goal, as resolved configs write it.
  if (config.stop().return_mean() != 0) control.stop.return_mean = config.stop().return_mean();
  control.stop.max_time = absl::Minutes(config.stop().max_minutes());
  control.lease = options.lease;
  control.keep_grants = options.keep_grants;
  control.windows = {config.planner().horizon(), options.window_patience};
  control.stop.max_updates = config.stop().max_updates();
  control.evaluation.last_updates = control.stop.max_updates;
  if (config.schedule() == proto::RunConfig::OFFLINE) MakeOffline(config, &control);
  const proto::TableConfig table = config::LearnerTable(config);
  control.draws = {table.name(), config.learner().batch_size(), table.max_times_sampled()};
  control.lockstep = config.schedule() == proto::RunConfig::LOCKSTEP;
  return control;
}

}  // namespace pompc::learner
