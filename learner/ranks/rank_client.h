#ifndef POMPC_LEARNER_RANKS_RANK_CLIENT_H_
#define POMPC_LEARNER_RANKS_RANK_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/rendezvous.h"
#include "common/rpc/endpoint.h"
#include "learner/ranks/rank_group.h"
#include "proto/ranks.grpc.pb.h"

namespace pompc::learner {

struct RankClientOptions {
  // Rank 0.
  rpc::Endpoint leader;
  int rank = 1;
  int world_size = 2;
  // Replay shards this rank was given.
  uint32_t num_shards = 1;
  // Names this process, for example host:pid.
  std::string name;
  // Of a call, the stream apart.
  absl::Duration call_timeout = absl::Seconds(5);
  Clock* clock = Clock::Real();
};

// A rank's side of RankService. Cancel is for any thread, the rest for one.
class RankClient {
 public:
  explicit RankClient(const RankClientOptions& options);
  // Leaves.
  ~RankClient();

  // Joins once: UNAVAILABLE when nobody is there yet, or another is in this place; CANCELLED after
  // Cancel; otherwise rank 0's refusal. Blocks for an answer; a machine that vanished is noticed by
  // the channel.
  absl::StatusOr<proto::RankWelcome> Join();
  // Waits for what is to be done next. Nothing: rank 0 has ended in order. Its error if it has
  // ended with one, UNAVAILABLE when it is gone, CANCELLED after Cancel. REQUIRES: joined.
  absl::StatusOr<std::optional<RankOrder>> Next();
  // Values by way of rank 0; thread-safe, and may outlive this. REQUIRES: joined.
  std::shared_ptr<Rendezvous> values() const;

  // Ends the call that is under way and all later ones. Idempotent.
  void Cancel();

 private:
  struct Call;

  absl::Status EndOf(Call& call);

  const RankClientOptions options_;
  const std::shared_ptr<proto::RankService::Stub> stub_;
  std::string run_id_;

  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  // Replaced under the lock, by the one thread.
  std::unique_ptr<Call> call_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_RANKS_RANK_CLIENT_H_
