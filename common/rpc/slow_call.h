#ifndef POMPC_COMMON_RPC_SLOW_CALL_H_
#define POMPC_COMMON_RPC_SLOW_CALL_H_

#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"

namespace pompc::rpc {

// Serves a call that takes seconds on a thread of its own, one at a time, so that it holds up none
// of gRPC's. Owned by the service, which outlives its calls. The end of the server waits for a call
// that runs: cancelling does not end it, so its work must have a bound. Thread-safe.
class SlowCall {
 public:
  // `name` says in errors what it does.
  explicit SlowCall(std::string name) : name_(std::move(name)) {}

  // Starts `work`, whose status becomes that of the call. UNAVAILABLE while another one runs.
  grpc::ServerUnaryReactor* Start(grpc::CallbackServerContext* context,
                                  std::function<absl::Status()> work) {
    MutexLock lock(&mu_);
    if (running_) {
      return FinishUnary(context, absl::UnavailableError(absl::StrCat("another ", name_, " runs")));
    }
    running_ = true;
    // The one before needs nothing of this object any more.
    thread_.Join();
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    thread_ = Thread("slow-call", [this, reactor, work = std::move(work)] {
      const grpc::Status status = ToGrpc(work());
      {
        MutexLock ending(&mu_);
        running_ = false;
      }
      reactor->Finish(status);
    });
    return reactor;
  }

 private:
  const std::string name_;
  Mutex mu_;
  bool running_ ABSL_GUARDED_BY(mu_) = false;
  Thread thread_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_SLOW_CALL_H_
