#ifndef POMPC_LEARNER_RANKS_RANK_CLIENT_H_
#define POMPC_LEARNER_RANKS_RANK_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/rendezvous.h"
#include "common/base/threads.h"
#include "common/rpc/client_stream.h"
#include "common/rpc/endpoint.h"
#include "proto/ranks.grpc.pb.h"

namespace pompc::learner {

struct RankClientOptions {
  // The address at which rank 0 serves.
  rpc::Endpoint leader;
  int rank = 1;
  int world_size = 2;
  // Number of replay shards that this rank was given.
  uint32_t num_shards = 1;
  // Names this process, for example host:pid.
  std::string name;
  // Bounds each call, the stream apart.
  absl::Duration call_timeout = absl::Seconds(5);
  Clock* clock = Clock::Real();
};

// A rank's side of RankService. Cancel may be called from any thread, the rest from one.
class RankClient {
 public:
  explicit RankClient(const RankClientOptions& options);
  // Leaves.
  ~RankClient();

  // Tries once to join, and leaves first if an earlier call was OK: UNAVAILABLE when rank 0 does
  // not serve yet, or another process has this rank; CANCELLED after Cancel; otherwise rank 0's
  // refusal. Blocks for an answer; a machine that vanished is noticed by the channel.
  absl::StatusOr<proto::RankWelcome> Join();
  // Waits for the next order; nothing when rank 0 has ended in order. Its error if it has ended
  // with one, UNAVAILABLE when it is gone, CANCELLED after Cancel. REQUIRES: the last Join was OK.
  absl::StatusOr<std::optional<proto::RankOrder>> Next();
  // Values by way of rank 0; thread-safe, and may outlive this. REQUIRES: Join was OK.
  std::shared_ptr<Rendezvous> values() const;

  // Ends the call in progress and all later ones. Idempotent.
  void Cancel();

 private:
  using Stream = rpc::ReadStream<proto::JoinRequest, proto::RankOrder>;

  const RankClientOptions options_;
  const std::shared_ptr<proto::RankService::Stub> stub_;
  std::string run_id_;

  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  // Replaced under the lock, by the one thread.
  std::unique_ptr<Stream> stream_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_RANKS_RANK_CLIENT_H_
