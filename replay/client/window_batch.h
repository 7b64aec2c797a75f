#ifndef POMPC_REPLAY_CLIENT_WINDOW_BATCH_H_
#define POMPC_REPLAY_CLIENT_WINDOW_BATCH_H_

#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "proto/replay.pb.h"
#include "proto/trajectory.pb.h"
#include "replay/core/row.h"

namespace pompc::replay {

// B sampled windows of one shard as they came off the wire: owns the message and gives its columns
// as spans, which live as long as the batch. Movable. Shapes as in `WindowColumns`.
class WindowBatch {
 public:
  // The `count` windows of `horizon` rows that were asked for. DATA_LOSS if the reply holds others,
  // or columns whose sizes do not follow from count, horizon and `spec`.
  static absl::StatusOr<WindowBatch> FromReply(proto::SampleReply reply, const RowSpec& spec,
                                               uint32_t count, uint32_t horizon);

  uint32_t count() const { return reply_.windows().count(); }      // B
  uint32_t horizon() const { return reply_.windows().horizon(); }  // H
  std::span<const float> observations() const;                     // [B, H+1, O]
  std::span<const float> actions() const;                          // [B, H, A]
  std::span<const float> rewards() const;                          // [B, H]
  std::span<const uint8_t> terminated() const;                     // [B, H]
  std::span<const float> plan_mean() const;                        // [B, H+1, A]
  std::span<const float> plan_std() const;                         // [B, H+1, A]
  std::span<const uint8_t> has_plan() const;                       // [B, H+1]
  std::span<const uint64_t> addresses() const;                     // [B, H+1]
  std::span<const uint64_t> versions() const;                      // [B, 2]
  std::span<const uint64_t> draws() const;                         // [B]

  // The shard's state when it drew them.
  const proto::ShardInfo& info() const { return reply_.info(); }

 private:
  explicit WindowBatch(proto::SampleReply reply) : reply_(std::move(reply)) {}

  proto::SampleReply reply_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_WINDOW_BATCH_H_
