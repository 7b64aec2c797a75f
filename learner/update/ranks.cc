#include "learner/update/ranks.h"

#if defined(POMPC_GLOO) || defined(POMPC_NCCL)
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "torch/csrc/distributed/c10d/Store.hpp"
#endif
#ifdef POMPC_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#ifdef POMPC_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

namespace pompc::update {

#if defined(POMPC_GLOO) || defined(POMPC_NCCL)
namespace {

// An error's message without the backtrace that LibTorch appends to it.
std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

// A rendezvous as c10d wants it. Errors become exceptions, which is how c10d takes them.
class RendezvousStore : public c10d::Store {
 public:
  RendezvousStore(std::shared_ptr<Rendezvous> rendezvous, std::chrono::milliseconds timeout)
      : c10d::Store(timeout), rendezvous_(std::move(rendezvous)) {}

  using c10d::Store::set;
  void set(const std::string& key, const std::vector<uint8_t>& value) override {
    const absl::Status status = rendezvous_->Put(key, std::string(value.begin(), value.end()));
    TORCH_CHECK(status.ok(), status.ToString());
  }
  std::vector<uint8_t> get(const std::string& key) override { return Get(key, timeout_); }
  bool check(const std::vector<std::string>& keys) override {
    for (const std::string& key : keys) {
      if (!rendezvous_->Get(key, absl::ZeroDuration()).ok()) return false;
    }
    return true;
  }
  void wait(const std::vector<std::string>& keys) override { wait(keys, timeout_); }
  void wait(const std::vector<std::string>& keys,
            const std::chrono::milliseconds& timeout) override {
    for (const std::string& key : keys) Get(key, timeout);
  }

  // Newer versions of LibTorch declare it, and this overrides it there.
  c10::intrusive_ptr<c10d::Store> clone() {
    return c10::make_intrusive<RendezvousStore>(rendezvous_, timeout_);
  }

  // Process groups of one job on one store do not call these.
  int64_t add(const std::string& key, int64_t value) override { return Refuse("add"); }
  bool deleteKey(const std::string& key) override { return Refuse("deleteKey") != 0; }
  int64_t getNumKeys() override { return Refuse("getNumKeys"); }

 private:
  static int64_t Refuse(const char* call) { TORCH_CHECK(false, "the rendezvous has no ", call); }

  std::vector<uint8_t> Get(const std::string& key, std::chrono::milliseconds timeout) {
    const absl::StatusOr<std::string> value =
        rendezvous_->Get(key, absl::Milliseconds(timeout.count()));
    TORCH_CHECK(value.ok(), value.status().ToString());
    return {value->begin(), value->end()};
  }

  const std::shared_ptr<Rendezvous> rendezvous_;
};

// Exchanges through a process group that takes tensors on `device`; others are copied there and
// back.
template <typename Group>
class C10dRanks : public Ranks {
 public:
  C10dRanks(int rank, int size, at::Device device, std::chrono::milliseconds timeout,
            c10::intrusive_ptr<Group> group)
      : Ranks(rank, size), device_(device), timeout_(timeout), group_(std::move(group)) {}

  absl::Status Sum(const at::Tensor& x) override {
    return InPlace("sum", x,
                   [this](std::vector<at::Tensor>& tensors) { return group_->allreduce(tensors); });
  }

  absl::Status Broadcast(const at::Tensor& x) override {
    return InPlace("broadcast", x,
                   [this](std::vector<at::Tensor>& tensors) { return group_->broadcast(tensors); });
  }

  absl::StatusOr<at::Tensor> Gather(const at::Tensor& x) override {
    POMPC_CHECK_GE(x.dim(), 1);
    at::Tensor all;
    const absl::Status status = Guard("gather", [&] {
      at::NoGradGuard no_grad;
      std::vector<at::Tensor> inputs = {x.detach().to(device_).contiguous()};
      std::vector<std::vector<at::Tensor>> outputs(1);
      for (int i = 0; i < size(); ++i) outputs[0].push_back(at::empty_like(inputs[0]));
      group_->allgather(outputs, inputs)->wait(timeout_);
      all = at::cat(outputs[0]).to(x.device());
    });
    if (!status.ok()) return status;
    return all;
  }

 private:
  // contiguous() gives back a dense tensor itself: on the group's own device nothing is copied.
  template <typename Call>
  absl::Status InPlace(const char* what, const at::Tensor& x, Call call) {
    POMPC_CHECK(x.is_contiguous(), what);
    return Guard(what, [&] {
      at::NoGradGuard no_grad;
      std::vector<at::Tensor> tensors = {x.detach().to(device_).contiguous()};
      call(tensors)->wait(timeout_);
      if (tensors[0].data_ptr() != x.data_ptr()) x.detach().copy_(tensors[0]);
    });
  }

  // c10d throws when a peer's socket closes and when the timeout passes; which of the two it was is
  // in the message alone, and rank 0 finds out who is gone (RankGroup::WhoIsGone).
  template <typename Function>
  absl::Status Guard(const char* what, Function function) {
    try {
      function();
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return absl::UnavailableError(
          absl::StrCat("rank ", rank(), " of ", size(), ", ", what,
                       ": another rank is gone or too late: ", FirstLine(error.what())));
    }
  }

  const at::Device device_;
  const std::chrono::milliseconds timeout_;
  const c10::intrusive_ptr<Group> group_;
};

// The ranks that `connect` makes. What it throws becomes UNAVAILABLE; INVALID_ARGUMENT naming the
// option that is out of range.
template <typename Connect>
absl::StatusOr<std::shared_ptr<Ranks>> ConnectC10d(const RankOptions& options, Connect connect) {
  if (options.size < 1 || options.rank < 0 || options.rank >= options.size) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", options.rank, " of ", options.size,
                                                   ": must be 0 to ", options.size - 1));
  }
  try {
    return connect(std::chrono::milliseconds(absl::ToInt64Milliseconds(options.timeout)));
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("rank ", options.rank, " of ", options.size,
                     " cannot connect to the others: ", FirstLine(error.what())));
  }
}

}  // namespace
#endif

#ifdef POMPC_GLOO

bool HasGloo() { return true; }

absl::StatusOr<std::shared_ptr<Ranks>> ConnectGloo(const RankOptions& options,
                                                   std::shared_ptr<Rendezvous> rendezvous) {
  // Gloo writes to sockets whose other end may be gone.
  std::signal(SIGPIPE, SIG_IGN);
  const auto connect = [&](std::chrono::milliseconds timeout) -> std::shared_ptr<Ranks> {
    auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(options.host));
    // Exchanges come one at a time.
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

#endif  // POMPC_GLOO

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

#endif  // POMPC_NCCL

}  // namespace pompc::update
