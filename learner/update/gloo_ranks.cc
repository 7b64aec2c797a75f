#include <csignal>

#include "learner/update/ranks.h"

#ifdef POMPC_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "learner/update/c10d_ranks.h"
#endif

namespace pompc::update {

#ifdef POMPC_GLOO

bool HasGloo() { return true; }

absl::StatusOr<std::shared_ptr<Ranks>> ConnectGloo(const RankOptions& options,
                                                   std::shared_ptr<Rendezvous> rendezvous) {
  // Gloo writes to sockets whose other end may be gone.
  std::signal(SIGPIPE, SIG_IGN);
  const auto connect = [&](std::chrono::milliseconds timeout) -> std::shared_ptr<Ranks> {
    auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(options.host));
    gloo->threads = 1;
    auto group = c10::make_intrusive<c10d::ProcessGroupGloo>(
        c10::make_intrusive<RendezvousStore>(std::move(rendezvous), timeout), options.rank,
        options.size, std::move(gloo));
    return std::make_shared<C10dRanks<c10d::ProcessGroupGloo>>(
        options.rank, options.size, at::Device(at::kCPU), timeout, std::move(group));
  };
  return ConnectC10d(options, connect);
}

#else

bool HasGloo() { return false; }

absl::StatusOr<std::shared_ptr<Ranks>> ConnectGloo(const RankOptions&,
                                                   std::shared_ptr<Rendezvous>) {
  return absl::UnimplementedError("built without c10d's Gloo (docs/build.md)");
}

#endif

}  // namespace pompc::update
