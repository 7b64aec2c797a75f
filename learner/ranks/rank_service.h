#ifndef POMPC_LEARNER_RANKS_RANK_SERVICE_H_
#define POMPC_LEARNER_RANKS_RANK_SERVICE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/rendezvous.h"
#include "learner/ranks/rank_group.h"
#include "proto/config.pb.h"
#include "proto/ranks.grpc.pb.h"

namespace pompc::learner {

struct RankServiceOptions {
  std::string run_id;
  // Resolved.
  proto::RunConfig config;
  // Replay shards of the run.
  uint32_t num_shards = 1;
  // The learner's start, with which all ranks change what shards hold.
  proto::LearnerStart start = {};
};

// RankService over a RankGroup, and over the values its ranks leave for one another. Streams hold
// no threads. They end when the group is closed, which must come before the server's end.
// Thread-safe.
class RankService final : public proto::RankService::CallbackService {
 public:
  RankService(std::shared_ptr<RankGroup> group, std::shared_ptr<Rendezvous> values,
              const RankServiceOptions& options);

  grpc::ServerWriteReactor<proto::RankOrder>* Join(grpc::CallbackServerContext* context,
                                                   const proto::JoinRequest* request) override;
  grpc::ServerUnaryReactor* PutValue(grpc::CallbackServerContext* context,
                                     const proto::PutValueRequest* request,
                                     proto::PutValueReply* reply) override;
  grpc::ServerUnaryReactor* GetValue(grpc::CallbackServerContext* context,
                                     const proto::GetValueRequest* request,
                                     proto::GetValueReply* reply) override;

 private:
  class Stream;

  // The stream of a rank that has joined, not started. Statuses of RankGroup::Join, and
  // FAILED_PRECONDITION for another wire version, run or number of shards.
  absl::StatusOr<std::shared_ptr<Stream>> MakeStream(const proto::JoinRequest& request);
  absl::Status DoPut(const proto::PutValueRequest& request);
  absl::StatusOr<proto::GetValueReply> DoGet(const proto::GetValueRequest& request);

  const std::shared_ptr<RankGroup> group_;
  const std::shared_ptr<Rendezvous> values_;
  const RankServiceOptions options_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_RANKS_RANK_SERVICE_H_
