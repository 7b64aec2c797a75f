#ifndef POMPC_LEARNER_RANKS_RANK_MESSAGES_H_
#define POMPC_LEARNER_RANKS_RANK_MESSAGES_H_

#include "absl/status/statusor.h"
#include "learner/ranks/rank_group.h"
#include "proto/ranks.pb.h"

namespace pompc::learner {

proto::RankOrder ToProto(const RankOrder& order);
// UNIMPLEMENTED for an order this version does not know.
absl::StatusOr<RankOrder> FromProto(const proto::RankOrder& order);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_RANKS_RANK_MESSAGES_H_
