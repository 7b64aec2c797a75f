#include <cstdlib>

#include "learner/update/ranks.h"

#ifdef POMPC_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "learner/update/c10d_ranks.h"
#endif

namespace pompc::update {

#ifdef POMPC_NCCL

bool HasNccl() { return true; }

absl::StatusOr<std::shared_ptr<Ranks>> ConnectNccl(const RankOptions& options, at::Device device,
                                                   std::shared_ptr<Rendezvous> rendezvous) {
  const auto connect = [&](std::chrono::milliseconds timeout) -> std::shared_ptr<Ranks> {
    // Older versions' only way to wait with a bound; newer ones know it by another name.
    setenv("NCCL_BLOCKING_WAIT", "1", 0);
    setenv("TORCH_NCCL_BLOCKING_WAIT", "1", 0);
    auto nccl = c10d::ProcessGroupNCCL::Options::create();
    nccl->timeout = timeout;
    auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(
        c10::make_intrusive<RendezvousStore>(std::move(rendezvous), timeout), options.rank,
        options.size, std::move(nccl));
    auto ranks = std::make_shared<C10dRanks<c10d::ProcessGroupNCCL>>(
        options.rank, options.size, device, timeout, std::move(group));
    // Connections are made by the first exchange.
    const absl::Status connected = ranks->Sum(at::zeros({1}, device));
    TORCH_CHECK(connected.ok(), connected.ToString());
    return ranks;
  };
  return ConnectC10d(options, connect);
}

#else

bool HasNccl() { return false; }

absl::StatusOr<std::shared_ptr<Ranks>> ConnectNccl(const RankOptions&, at::Device,
                                                   std::shared_ptr<Rendezvous>) {
  return absl::UnimplementedError("built without c10d's NCCL (docs/build.md)");
}

#endif

}  // namespace pompc::update
