#ifndef POMPC_LEARNER_ENGINE_TORCH_ENGINE_H_
#define POMPC_LEARNER_ENGINE_TORCH_ENGINE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "learner/engine/engine.h"
#include "proto/config.pb.h"

namespace pompc::learner {

struct TorchEngineOptions {
  // "cpu", "cuda" or "cuda:N".
  std::string device = "cpu";
  // CPU threads of one operation, 1 to 1024. More than the machine has free makes it slower by
  // factors.
  int threads = 1;
  // This process's number among those that make the updates together, 0 to world_size - 1.
  int rank = 0;
  int world_size = 1;
  // Address or name of this machine, on which the other ranks reach this one.
  std::string host = "127.0.0.1";
  // Bounds the time of connecting to the other ranks, and of each exchange with them.
  absl::Duration timeout = absl::Seconds(60);
};

// Makes the PO-MPC update on LibTorch, with fresh parameters that follow from config.seed. `config`
// is resolved, with env.spec. INVALID_ARGUMENT naming the field or option, FAILED_PRECONDITION when
// there is no such device, UNIMPLEMENTED for several ranks where this LibTorch cannot connect them.
// A state that it imports continues with config.seed, too; a change of the seed is logged.
absl::StatusOr<std::shared_ptr<Engine>> MakeTorchEngine(const proto::RunConfig& config,
                                                        const TorchEngineOptions& options);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_ENGINE_TORCH_ENGINE_H_
