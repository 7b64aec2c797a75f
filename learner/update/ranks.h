// The processes that make one update together.
#ifndef POMPC_LEARNER_UPDATE_RANKS_H_
#define POMPC_LEARNER_UPDATE_RANKS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/rendezvous.h"
#include "model/torch_compat.h"

namespace pompc::update {

// Exchanges numbers between the ranks of one update. Every call is collective: all ranks make the
// same calls in the same order with tensors of the same shape and dtype, and each waits for the
// others. UNAVAILABLE when another is gone or does not come within the timeout: no further call
// succeeds then, and what the tensors hold is undefined. One thread at a time.
class Ranks {
 public:
  Ranks(int rank, int size) : rank_(rank), size_(size) {}
  virtual ~Ranks() = default;

  // 0 to size() - 1.
  int rank() const { return rank_; }
  int size() const { return size_; }

  // `x` becomes its sum over the ranks, with the same bits on all of them. REQUIRES: x is dense.
  virtual absl::Status Sum(const at::Tensor& x) = 0;
  // The ranks' `x` one after the other along the first dimension: [size * n, ...] of [n, ...].
  // REQUIRES: x has a dimension.
  virtual absl::StatusOr<at::Tensor> Gather(const at::Tensor& x) = 0;
  // `x` becomes that of rank 0. REQUIRES: x is dense.
  virtual absl::Status Broadcast(const at::Tensor& x) = 0;

 private:
  const int rank_, size_;
};

struct RankOptions {
  int rank = 0;
  int size = 1;
  // Address or name of this machine, on which the other ranks reach this one. NCCL finds its own.
  std::string host = "127.0.0.1";
  // Bounds the time of connecting, and of each exchange.
  absl::Duration timeout = absl::Seconds(60);
};

// These say whether this LibTorch has c10d with Gloo, and with NCCL.
bool HasGloo();
bool HasNccl();

// Connects ranks by LibTorch's c10d, with Gloo over TCP or with NCCL between GPUs; tensors of other
// devices are copied to the CPU, or to `device`, and back. Blocks until all ranks have connected.
// With Gloo the process ignores SIGPIPE from then on.
// INVALID_ARGUMENT naming the option that is out of range, UNIMPLEMENTED without HasGloo() or
// HasNccl(), UNAVAILABLE when not all came in time.
absl::StatusOr<std::shared_ptr<Ranks>> ConnectGloo(const RankOptions& options,
                                                   std::shared_ptr<Rendezvous> rendezvous);
absl::StatusOr<std::shared_ptr<Ranks>> ConnectNccl(const RankOptions& options, at::Device device,
                                                   std::shared_ptr<Rendezvous> rendezvous);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_RANKS_H_
