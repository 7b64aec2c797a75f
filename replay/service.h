#ifndef POMPC_REPLAY_SERVICE_H_
#define POMPC_REPLAY_SERVICE_H_

#include <cstddef>
#include <memory>
#include <unordered_map>

#include "common/rpc/slow_call.h"
#include "grpcpp/support/server_callback.h"
#include "proto/replay.grpc.pb.h"
#include "replay/core/shard.h"

namespace pompc::replay {

class AppendReactor;

// ReplayService over one shard: checks messages, calls the shard, converts what it returns.
// Thread-safe. Does not own the shard, which must outlive it; must outlive the server it is
// registered with.
//
// Sample takes and gives bytes, so that windows are gathered where gRPC sends them from
// (wire/sample_reply.h); on the wire it is the call of proto/replay.proto.
class Service : public proto::ReplayService::WithRawCallbackMethod_Sample<
                    proto::ReplayService::CallbackService> {
 public:
  // Append streams at once; each keeps one chunk in memory while the limiter is closed. One more is
  // ended with RESOURCE_EXHAUSTED.
  static constexpr size_t kMaxStreams = 1024;

  // Answers that an Append stream owes its writer at most; then it reads nothing more.
  static constexpr size_t kMaxReplies = 32;

  explicit Service(Shard* shard, size_t max_streams = kMaxStreams)
      : shard_(shard), max_streams_(max_streams) {
    POMPC_CHECK(shard != nullptr);
    POMPC_CHECK_GT(max_streams, 0u);
  }

  grpc::ServerUnaryReactor* Configure(grpc::CallbackServerContext* context,
                                      const proto::ConfigureRequest* request,
                                      proto::ShardInfo* reply) override;
  grpc::ServerBidiReactor<proto::AppendRequest, proto::AppendReply>* Append(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Sample(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* reply) override;
  grpc::ServerUnaryReactor* UpdatePlans(grpc::CallbackServerContext* context,
                                        const proto::UpdatePlansRequest* request,
                                        proto::UpdatePlansReply* reply) override;
  grpc::ServerUnaryReactor* UpdatePriorities(grpc::CallbackServerContext* context,
                                             const proto::UpdatePrioritiesRequest* request,
                                             proto::UpdatePrioritiesReply* reply) override;
  grpc::ServerUnaryReactor* BarWindows(grpc::CallbackServerContext* context,
                                       const proto::BarWindowsRequest* request,
                                       proto::BarWindowsReply* reply) override;
  grpc::ServerUnaryReactor* Grant(grpc::CallbackServerContext* context,
                                  const proto::GrantRequest* request,
                                  proto::ShardInfo* reply) override;
  grpc::ServerUnaryReactor* Info(grpc::CallbackServerContext* context,
                                 const proto::InfoRequest* request,
                                 proto::ShardInfo* reply) override;
  grpc::ServerUnaryReactor* Describe(grpc::CallbackServerContext* context,
                                     const proto::DescribeRequest* request,
                                     proto::ShardDescription* reply) override;
  grpc::ServerUnaryReactor* ReadRows(grpc::CallbackServerContext* context,
                                     const proto::ReadRowsRequest* request,
                                     proto::ReadRowsReply* reply) override;
  grpc::ServerUnaryReactor* ImportRows(grpc::CallbackServerContext* context,
                                       const proto::ImportRowsRequest* request,
                                       proto::ImportRowsReply* reply) override;
  grpc::ServerUnaryReactor* Snapshot(grpc::CallbackServerContext* context,
                                     const proto::SnapshotRequest* request,
                                     proto::SnapshotReply* reply) override;

  // Ends every stream with UNAVAILABLE, now and from now on: writers keep what was not acknowledged
  // and look for the shard's next life. Idempotent.
  void Drain();

  // Append streams open now.
  size_t streams() const;

 private:
  absl::Status CheckHeader(const proto::Header& header) const;
  // The same for a request that changes what the shard holds: Shard::CheckMayChange.
  template <typename Request>
  absl::Status CheckLearner(const Request& request) const;
  absl::Status DoSample(const grpc::ByteBuffer& request, grpc::ByteBuffer* reply);
  absl::Status DoUpdatePlans(const proto::UpdatePlansRequest& request,
                             proto::UpdatePlansReply* reply);
  absl::Status DoUpdatePriorities(const proto::UpdatePrioritiesRequest& request,
                                  proto::UpdatePrioritiesReply* reply);
  absl::Status DoBarWindows(const proto::BarWindowsRequest& request, proto::BarWindowsReply* reply);
  absl::StatusOr<proto::ShardDescription> DoDescribe(const proto::DescribeRequest& request) const;
  absl::StatusOr<proto::ReadRowsReply> DoReadRows(const proto::ReadRowsRequest& request) const;
  // Stores the chunks and tells how far the shard is.
  absl::Status DoImportRows(const proto::ImportRowsRequest& request, proto::ImportRowsReply* reply);
  absl::Status DoSnapshot(const proto::SnapshotRequest& request, proto::SnapshotReply* reply);
  void FillInfo(proto::ShardInfo* info) const;

  Shard* const shard_;
  const size_t max_streams_;
  rpc::SlowCall snapshots_{"snapshot"};

  mutable Mutex mu_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  std::unordered_map<AppendReactor*, std::weak_ptr<AppendReactor>> streams_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_SERVICE_H_
