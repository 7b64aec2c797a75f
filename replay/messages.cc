#include "replay/messages.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/message_size.h"
#include "common/values/utf8.h"
#include "proto/parameter_version.h"
#include "replay/wire/columns.h"
#include "replay/wire/tables.h"

namespace pompc::replay {
namespace {

// A reply holds little beside the columns.
static_assert(kMaxSampleBytes + 4096 <= rpc::kMaxReplyBytes);

// Bytes of rows that one answer to ReadRows holds: some milliseconds of a shard's time.
constexpr uint64_t kReadBytes = uint64_t{4} << 20;
constexpr uint32_t kMaxReadRows = 65536;

void FillStreamId(const SegmentId& id, proto::StreamId* stream) {
  stream->set_actor_index(id.actor_index);
  stream->set_incarnation(id.incarnation);
  stream->set_environment(id.environment);
  stream->set_episode(id.episode);
  stream->set_segment(id.segment);
}

bool IsSelected(const SegmentId& id, const proto::ReadRowsRequest& request) {
  return (!request.has_actor_index() || request.actor_index() == id.actor_index) &&
         (!request.has_environment() || request.environment() == id.environment) &&
         (!request.has_episode() || request.episode() == id.episode);
}

}  // namespace

// What a stream may hold is bounded by this, not by what a message may have, which is far more: a
// thousand streams wait with a chunk each while the limiter is closed.
uint64_t MaxChunkBytes(const ShardConfig& config) {
  const RowSpec& spec = config.table.spec;
  // The header, the stream's numbers, the fields' names and lengths.
  constexpr uint64_t kAround = 4096;
  return config.chunk_rows * ChunkRowBytes(spec) + spec.observation_size * sizeof(float) + kAround;
}

absl::Status CheckChunkBytes(const ShardConfig& config, const proto::AppendRequest& request) {
  const uint64_t most = MaxChunkBytes(config), size = request.ByteSizeLong();
  if (size <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the chunk has ", request.rows().count(), " rows in ", size, " bytes; allowed are ",
      config.chunk_rows, " rows (actor.chunk_rows) in ", most, " bytes"));
}

absl::Status CheckWindowCount(uint32_t count, const TableOptions& table) {
  const uint32_t most = MaxSampleWindows(table.spec, table.horizon);
  if (count >= 1 && count <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("count of windows is ", count, ", allowed are 1 to ", most));
}

SegmentId ToSegmentId(const proto::StreamId& id) {
  return {.actor_index = id.actor_index(),
          .incarnation = id.incarnation(),
          .environment = id.environment(),
          .episode = id.episode(),
          .segment = id.segment()};
}

// Fields that an older learner does not send are 0, and then allow whatever any run can have.
ShardConfig ToShardConfig(const proto::ConfigureRequest& request) {
  ShardConfig config = {.run_id = request.header().run_id(),
                        .shard_index = request.shard_index(),
                        .table = {.spec = {.observation_size = request.spec().observation_size(),
                                           .action_size = request.spec().action_size()},
                                  .horizon = request.horizon(),
                                  .capacity_rows = request.capacity_rows(),
                                  .capacity_bytes = request.capacity_bytes(),
                                  .tables = ToNamedTables(request.replay())},
                        .limits = {.terminates = request.spec().terminates()}};
  if (request.min_plan_std() > 0) config.limits.plan_std.min = request.min_plan_std();
  if (request.max_plan_std() > 0) config.limits.plan_std.max = request.max_plan_std();
  if (request.chunk_rows() > 0) {
    config.chunk_rows = std::min(request.chunk_rows(), ShardConfig::kMaxChunkRows);
  }
  config.shard_count = request.shard_count();
  config.task = request.task();
  config.action_repeat = request.action_repeat();
  config.learner = ToLearnerStart(request.learner_start());
  config.encoded = request.SerializeAsString();
  return config;
}

absl::StatusOr<ShardConfig> ReadShardConfig(const std::string& encoded) {
  proto::ConfigureRequest request;
  if (request.ParseFromString(encoded)) return ToShardConfig(request);
  return absl::DataLossError("the stored config is not a ConfigureRequest");
}

Opening ToOpening(uint64_t shard_incarnation, uint64_t opening) {
  return Opening(shard_incarnation, std::max<uint64_t>(opening, 1));
}

LearnerStart ToLearnerStart(const proto::LearnerStart& start) {
  return {start.incarnation(), start.token()};
}

absl::StatusOr<RowGrant> ToRowGrant(const proto::GrantRequest& request) {
  if (request.newest_version().number() > 0 && !request.seed_phase_over()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the grant says that version ", FromProto(request.newest_version()).ToString(),
                     " is published and that the seed phase goes on; versions come after its end"));
  }
  RowGrant grant = {.max_accepted_rows = request.max_accepted_rows(),
                    .reason = request.reason(),
                    .seed_phase_over = request.seed_phase_over()};
  // Without a version nothing is held up for one: any may come.
  if (request.has_newest_version()) {
    grant.newest_version = {request.newest_version().incarnation(),
                            request.newest_version().number()};
  }
  if (request.has_newest_lease()) grant.newest_lease = request.newest_lease();
  return grant;
}

proto::AppendReply ToReply(const proto::StreamId& stream, const AppendOutcome& outcome) {
  proto::AppendReply reply;
  *reply.mutable_stream() = stream;
  reply.set_next_row(outcome.next_row);
  reply.set_ended(outcome.ended);
  switch (outcome.kind) {
    case AppendOutcome::Kind::kAcked:
    // An answer to a blocked chunk tells of the part that was stored; the rest follows later.
    case AppendOutcome::Kind::kBlocked:
      reply.set_verdict(proto::AppendReply::ACKED);
      break;
    case AppendOutcome::Kind::kGap:
      reply.set_verdict(proto::AppendReply::GAP);
      break;
    default:
      POMPC_CHECK(outcome.kind == AppendOutcome::Kind::kRefused, "there is no answer to a failure");
      reply.set_verdict(proto::AppendReply::REFUSED);
      reply.set_code(static_cast<uint32_t>(outcome.status.code()));
      reply.set_message(ToUtf8(outcome.status.message()));
      break;
  }
  return reply;
}

proto::ShardDescription ToShardDescription(const ShardConfig& config, const ShardCounts& counts) {
  POMPC_CHECK(!config.run_id.empty());
  proto::ShardDescription description;
  description.set_run_id(config.run_id);
  description.mutable_spec()->set_observation_size(config.table.spec.observation_size);
  description.mutable_spec()->set_action_size(config.table.spec.action_size);
  description.mutable_spec()->set_terminates(config.limits.terminates);
  description.set_horizon(config.table.horizon);
  description.set_shard_count(config.shard_count);
  description.set_oldest_address(counts.oldest_address);
  description.set_next_address(counts.next_address);
  description.set_task(ToUtf8(config.task));
  description.set_action_repeat(config.action_repeat);
  description.set_min_plan_std(config.limits.plan_std.min);
  description.set_max_plan_std(config.limits.plan_std.max);
  return description;
}

absl::StatusOr<proto::ReadRowsReply> ReadStoredRows(const Shard& shard,
                                                    const proto::ReadRowsRequest& request) {
  POMPC_ASSIGN_OR_RETURN(const auto config, shard.config());
  if (request.max_rows() < 1 || request.max_rows() > kMaxReadRows) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_rows is ", request.max_rows(), ", allowed are 1 to ", kMaxReadRows));
  }
  const uint64_t fitting = std::max<uint64_t>(1, kReadBytes / ChunkRowBytes(config->table.spec));
  proto::ReadRowsReply reply;
  proto::StoredRows* run = nullptr;
  // The address and the row that would continue the run.
  uint64_t next_address = 0, next_row = 0;
  SegmentId segment;
  const auto visit = [&](const StoredRow& row) {
    if (!IsSelected(row.segment, request)) return;
    const bool follows = run != nullptr && row.segment == segment && row.address == next_address &&
                         row.row == next_row && run->rows().final_observation().empty();
    if (!follows) {
      run = reply.add_runs();
      segment = row.segment;
      FillStreamId(segment, run->mutable_stream());
      run->set_first_row(row.row);
      run->set_address(row.address);
    }
    AppendRow(row.rows, request.all_columns(), run->mutable_rows());
    next_address = row.address + 1;
    next_row = row.row + row.rows.count;
  };
  POMPC_ASSIGN_OR_RETURN(
      const auto ends,
      shard.ReadRows(request.address(), std::min<uint64_t>(request.max_rows(), fitting), visit));
  reply.set_next_address(ends.first);
  reply.set_end_address(ends.second);
  return reply;
}

proto::ShardInfo ToShardInfo(const Shard& shard) {
  const ShardCounts counts = shard.counts();
  proto::ShardInfo info;
  if (const auto config = shard.config(); config.ok()) info.set_shard_index((*config)->shard_index);
  info.set_shard_incarnation(shard.incarnation());
  info.set_accepted_rows(counts.accepted_rows);
  info.set_planned_rows(counts.planned_rows);
  info.set_imported_rows(counts.imported_rows);
  info.set_stored_rows(counts.stored_rows);
  info.set_stored_bytes(counts.stored_bytes);
  info.set_windows(counts.windows);
  info.set_barred_windows(counts.barred_windows);
  info.set_capacity_rows(counts.capacity_rows);
  info.set_blocked_streams(counts.blocked_writers());
  info.set_max_accepted_rows(counts.max_accepted_rows);
  info.set_opening(shard.opening().opening);
  if (counts.loaded < 1) info.set_loaded_percent(static_cast<uint32_t>(100 * counts.loaded));
  info.set_store_failure(ToUtf8(counts.store.failure.message()));
  for (const NamedTableCounts& table : counts.tables) {
    proto::TableInfo* const entry = info.add_tables();
    entry->set_name(table.name);
    entry->set_windows(table.windows);
    entry->set_mass(table.mass);
    entry->set_sampled_windows(table.sampled_windows);
    entry->set_draws_left(table.draws_left.value_or(0));
  }
  return info;
}

}  // namespace pompc::replay
