#ifndef POMPC_TESTS_RPC_APPEND_CLIENT_H_
#define POMPC_TESTS_RPC_APPEND_CLIENT_H_

#include <memory>
#include <utility>

#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "proto/replay.grpc.pb.h"

namespace pompc::rpc {

// One Append stream, through the callback API: no thread of its own. Destruction cancels the stream
// and waits for its end.
class AppendClient : public grpc::ClientBidiReactor<proto::AppendRequest, proto::AppendReply> {
 public:
  // With wait_for_ready a connection that fails is tried again until the timeout.
  explicit AppendClient(const std::shared_ptr<grpc::Channel>& channel,
                        absl::Duration timeout = absl::InfiniteDuration(),
                        bool wait_for_ready = false)
      : stub_(proto::ReplayService::NewStub(channel)) {
    context_.set_deadline(DeadlineAfter(timeout));
    context_.set_wait_for_ready(wait_for_ready);
    stub_->async()->Append(&context_, this);
    AddHold();
    StartRead(&reply_);
    StartCall();
  }
  ~AppendClient() override { static_cast<void>(Finish()); }

  // Sends first_row = `row`. REQUIRES: the echo of the one before was awaited.
  void Send(uint64_t row) {
    {
      MutexLock lock(&mu_);
      if (ended_) return;
      awaited_row_ = row;
      answered_ = false;
      written_ = false;
    }
    request_.set_first_row(row);
    StartWrite(&request_);
  }

  // Waits for the echo of what was sent last; false when the stream has ended. The echo may come
  // before gRPC says that the write is done, and only then may the next one begin.
  bool AwaitEcho() {
    MutexLock lock(&mu_);
    while (!(answered_ && written_) && !ended_) changed_.Wait(&mu_);
    return answered_ && !ended_;
  }

  bool RoundTrip(uint64_t row) {
    Send(row);
    return AwaitEcho();
  }

  // Set when the server's side, or the connection, has ended the stream.
  Event& ended() { return ended_event_; }

  void OnReadDone(bool ok) override {
    MutexLock lock(&mu_);
    if (!ok) {
      ended_ = true;
      ended_event_.Set();
    } else {
      answered_ = reply_.next_row() == awaited_row_;
      StartRead(&reply_);
    }
    changed_.SignalAll();
  }
  void OnWriteDone(bool ok) override {
    MutexLock lock(&mu_);
    written_ = ok;
    changed_.SignalAll();
  }
  void OnDone(const grpc::Status& status) override {
    status_ = FromGrpc(status);
    done_.Set();
  }

  // Cancels what is left of the stream and returns its status.
  absl::Status Finish() {
    context_.TryCancel();
    if (!std::exchange(released_, true)) RemoveHold();
    done_.Wait();
    return status_;
  }

 private:
  const std::unique_ptr<proto::ReplayService::Stub> stub_;
  grpc::ClientContext context_;
  proto::AppendRequest request_;
  proto::AppendReply reply_;
  bool released_ = false;
  Event ended_event_;
  Event done_;
  absl::Status status_;

  Mutex mu_;
  CondVar changed_;
  uint64_t awaited_row_ ABSL_GUARDED_BY(mu_) = 0;
  bool answered_ ABSL_GUARDED_BY(mu_) = false;
  bool written_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc::rpc

#endif  // POMPC_TESTS_RPC_APPEND_CLIENT_H_
