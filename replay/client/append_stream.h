#ifndef POMPC_REPLAY_CLIENT_APPEND_STREAM_H_
#define POMPC_REPLAY_CLIENT_APPEND_STREAM_H_

#include <atomic>
#include <functional>

#include "common/base/check.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"
#include "proto/replay.grpc.pb.h"

namespace pompc::replay {

// One Append call as its client sees it. What happens is reported to callbacks, called from gRPC's
// threads one after another, on_ended last; the object may be destroyed once that was called, and
// not before.
class AppendStream : public grpc::ClientBidiReactor<proto::AppendRequest, proto::AppendReply> {
 public:
  struct Callbacks {
    std::function<void()> on_written;
    std::function<void(const proto::AppendReply&)> on_reply;
    // No reply comes any more: Write must not be called again.
    std::function<void()> on_closing;
    std::function<void(const grpc::Status&)> on_ended;
  };

  AppendStream(proto::ReplayService::Stub* stub, Callbacks callbacks)
      : callbacks_(std::move(callbacks)) {
    stub->async()->Append(&context_, this);
    AddHold();  // writes are started from outside the callbacks
    StartRead(&reply_);
    StartCall();
  }

  // What Write sends.
  proto::AppendRequest* request() { return &request_; }
  // REQUIRES: on_written was called since the last Write; on_closing was not, and cannot be at the
  // same time.
  void Write() {
    POMPC_CHECK(!writing_.exchange(true), "the write before is in progress");
    POMPC_CHECK(!closing_, "the stream is closing");
    StartWrite(&request_);
  }
  void Cancel() { context_.TryCancel(); }

  void OnWriteDone(bool ok) override {
    writing_ = false;
    if (ok) callbacks_.on_written();
  }
  void OnReadDone(bool ok) override {
    if (ok) {
      callbacks_.on_reply(reply_);
      StartRead(&reply_);
      return;
    }
    callbacks_.on_closing();
    closing_ = true;
    RemoveHold();
  }
  void OnDone(const grpc::Status& status) override { callbacks_.on_ended(status); }

 private:
  const Callbacks callbacks_;
  grpc::ClientContext context_;
  proto::AppendRequest request_;
  proto::AppendReply reply_;
  // A write was started and is not done; on_closing was called.
  std::atomic<bool> writing_ = false;
  std::atomic<bool> closing_ = false;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_APPEND_STREAM_H_
