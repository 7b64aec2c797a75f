#include "replay/columns.h"

#include <memory>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/float_bytes.h"
#include "common/rpc/endpoint.h"
#include "common/utf8.h"

namespace pompc::replay {
namespace {

// Beside the columns a reply holds little.
static_assert(kMaxSampleBytes + 4096 <= rpc::kMaxMessageBytes);

template <typename T>
std::span<T> Resize(uint64_t count, std::string* bytes) {
  bytes->resize(count * sizeof(T));
  return {reinterpret_cast<T*>(bytes->data()), count};
}

}  // namespace

absl::StatusOr<RowsView> ToRowsView(const proto::Rows& rows,
                                    std::vector<ParameterVersion>* versions) {
  for (const std::string* column :
       {&rows.observations(), &rows.actions(), &rows.rewards(), &rows.plan_mean(), &rows.plan_std(),
        &rows.plan_value(), &rows.final_observation()}) {
    if (column->size() % sizeof(float) == 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("a column has ", column->size(), " bytes, not a multiple of 4"));
  }
  versions->clear();
  for (const proto::ParameterVersion& v : rows.versions()) {
    versions->push_back({v.incarnation(), v.number()});
  }
  return RowsView{.count = rows.count(),
                  .observations = NumbersIn<float>(rows.observations()),
                  .actions = NumbersIn<float>(rows.actions()),
                  .rewards = NumbersIn<float>(rows.rewards()),
                  .terminated = NumbersIn<uint8_t>(rows.terminated()),
                  .plan_mean = NumbersIn<float>(rows.plan_mean()),
                  .plan_std = NumbersIn<float>(rows.plan_std()),
                  .plan_value = NumbersIn<float>(rows.plan_value()),
                  .has_plan = NumbersIn<uint8_t>(rows.has_plan()),
                  .versions = *versions,
                  .final_observation = NumbersIn<float>(rows.final_observation())};
}

absl::StatusOr<WindowColumns> MakeRoom(const TableOptions& table, uint32_t count,
                                       proto::Windows* windows) {
  const uint64_t o = table.spec.observation_size, a = table.spec.action_size;
  const uint32_t most = MaxSampleWindows(table.spec, table.horizon);
  if (count < 1 || count > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("count of windows is ", count, ", allowed are 1 to ", most));
  }
  const uint64_t steps = uint64_t{count} * table.horizon, states = steps + count;
  windows->set_count(count);
  windows->set_horizon(table.horizon);
  return WindowColumns{
      .observations = Resize<float>(states * o, windows->mutable_observations()),
      .actions = Resize<float>(steps * a, windows->mutable_actions()),
      .rewards = Resize<float>(steps, windows->mutable_rewards()),
      .terminated = Resize<uint8_t>(steps, windows->mutable_terminated()),
      .plan_mean = Resize<float>(states * a, windows->mutable_plan_mean()),
      .plan_std = Resize<float>(states * a, windows->mutable_plan_std()),
      .has_plan = Resize<uint8_t>(states, windows->mutable_has_plan()),
      .addresses = Resize<uint64_t>(states, windows->mutable_addresses()),
      .versions = Resize<uint64_t>(2 * uint64_t{count}, windows->mutable_versions()),
      .draws = Resize<uint64_t>(count, windows->mutable_draws())};
}

SegmentId ToSegmentId(const proto::StreamId& id) {
  return {.actor_index = id.actor_index(),
          .incarnation = id.incarnation(),
          .environment = id.environment(),
          .episode = id.episode(),
          .segment = id.segment()};
}

ShardConfig ToShardConfig(const proto::ConfigureRequest& request) {
  return {.run_id = request.header().run_id(),
          .shard_index = request.shard_index(),
          .table = {.spec = {.observation_size = request.spec().observation_size(),
                             .action_size = request.spec().action_size()},
                    .horizon = request.horizon(),
                    .capacity_rows = request.capacity_rows(),
                    .capacity_bytes = request.capacity_bytes()}};
}

proto::AppendReply ToReply(const proto::StreamId& stream, const AppendOutcome& outcome) {
  proto::AppendReply reply;
  *reply.mutable_stream() = stream;
  reply.set_next_row(outcome.next_row);
  reply.set_ended(outcome.ended);
  switch (outcome.kind) {
    case AppendOutcome::Kind::kAcked:
      reply.set_verdict(proto::AppendReply::ACKED);
      break;
    case AppendOutcome::Kind::kGap:
      reply.set_verdict(proto::AppendReply::GAP);
      break;
    default:
      reply.set_verdict(proto::AppendReply::REFUSED);
      reply.set_code(static_cast<uint32_t>(outcome.status.code()));
      reply.set_message(ToUtf8(outcome.status.message()));
      break;
  }
  return reply;
}

proto::ShardInfo ToShardInfo(const Shard& shard) {
  const ShardCounts counts = shard.counts();
  proto::ShardInfo info;
  if (const auto config = shard.config(); config.ok()) info.set_shard_index((*config)->shard_index);
  info.set_shard_incarnation(shard.incarnation());
  info.set_accepted_rows(counts.accepted_rows);
  info.set_planned_rows(counts.planned_rows);
  info.set_stored_rows(counts.stored_rows);
  info.set_stored_bytes(counts.stored_bytes);
  info.set_windows(counts.windows);
  info.set_capacity_rows(counts.capacity_rows);
  info.set_blocked_streams(counts.blocked_writers);
  info.set_max_accepted_rows(counts.max_accepted_rows);
  return info;
}

}  // namespace pompc::replay
