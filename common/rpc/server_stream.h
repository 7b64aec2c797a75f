#ifndef POMPC_COMMON_RPC_SERVER_STREAM_H_
#define POMPC_COMMON_RPC_SERVER_STREAM_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/rpc/call.h"

namespace pompc::rpc {

// What a stream of a server does next.
struct StreamStep {
  enum class Kind {
    kWait,   // there is nothing to write before the next Wake
    kWrite,  // write the message that was filled in
    kEnd,    // end the stream with `status`
  };
  Kind kind = Kind::kWait;
  absl::Status status;

  static StreamStep Wait() { return {}; }
  static StreamStep Write() { return {Kind::kWrite, absl::OkStatus()}; }
  static StreamStep End(absl::Status status) { return {Kind::kEnd, std::move(status)}; }
};

// One stream of messages from a server to a client. A derived class says what is written; this one
// sees to the order of events: one write is in flight at most, what follows is decided when it is
// done, and the stream ends once. A client that reads slowly thus holds the stream back, and
// nothing is queued for it. Thread-safe; holds no thread; keeps itself alive from Start until gRPC
// is done with it.
//
// The functions that a derived class overrides are called one at a time, by whichever thread brings
// news and without locks held, so that what they use needs no lock of its own. They must not block.
//
// (A stream on which the client sends as well, like replay's Append, has two directions that wait
// for each other; which of them goes on is for its service to say. It is no ServerStream.)
template <typename M>
class ServerStream : private grpc::ServerWriteReactor<M>,
                     public std::enable_shared_from_this<ServerStream<M>> {
 public:
  using Message = M;

  ServerStream() = default;

  // Accepts the call and begins to write; the service's method returns the result. To be called
  // once.
  grpc::ServerWriteReactor<Message>* Start() {
    POMPC_CHECK(self_ == nullptr, "a stream is started once");
    self_ = this->shared_from_this();
    // At once, so that the client knows that it was accepted while there is nothing to send.
    this->StartSendInitialMetadata();
    Advance();
    return this;
  }

  // Says that Next may have something else to say. May be called from any thread that keeps the
  // stream alive meanwhile, before Start as well.
  void Wake() {
    {
      MutexLock lock(&mu_);
      woken_ = true;
      if (busy_) return;
      busy_ = true;
    }
    Advance();
  }

 protected:
  // Fills in the message to be written next, which holds the one before, and says that it did, or
  // what else is to be done.
  virtual StreamStep Next(Message* message) = 0;
  // The message that Next gave last was written.
  virtual void OnWritten() {}
  // The stream ends: Next said so, or the client is gone. Called once, before the client is told;
  // no other function is called afterwards.
  virtual void OnEnd() {}

 private:
  // Takes steps until a write is in flight, the stream has ended or there is nothing to do.
  // REQUIRES: busy_, on behalf of the caller.
  void Advance() {
    while (true) {
      bool gone = false;
      {
        MutexLock lock(&mu_);
        POMPC_CHECK(busy_);
        woken_ = false;
        gone = gone_;
      }
      const StreamStep step =
          gone ? StreamStep::End(absl::CancelledError("the client is gone")) : Next(&message_);
      // gRPC may call back before these return, and the object may be gone after that.
      if (step.kind == StreamStep::Kind::kWrite) return this->StartWrite(&message_);
      if (step.kind == StreamStep::Kind::kEnd) {
        OnEnd();
        return this->Finish(ToGrpc(step.status));
      }
      MutexLock lock(&mu_);
      // Whoever woke the stream since it was asked has left the question to this thread.
      if (woken_) continue;
      busy_ = false;
      return;
    }
  }

  void OnWriteDone(bool ok) final {
    if (ok) {
      OnWritten();
    } else {
      MutexLock lock(&mu_);
      gone_ = true;
    }
    Advance();
  }

  void OnCancel() final {
    {
      MutexLock lock(&mu_);
      gone_ = true;
    }
    Wake();
  }

  // Whoever is waking the stream holds it a little longer; it is deleted after that.
  void OnDone() final { const std::shared_ptr<ServerStream> self = std::move(self_); }

  // From Start until OnDone.
  std::shared_ptr<ServerStream> self_;
  // gRPC's while a write is in flight, else that of the thread for which busy_ is set.
  Message message_;

  Mutex mu_;
  // A thread decides what is next, or a write is in flight, or the stream has not begun or has
  // ended: nobody else may go on.
  bool busy_ ABSL_GUARDED_BY(mu_) = true;
  // Wake was called since Next was asked last.
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  // The client has cancelled the call, or its connection is lost.
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
};

// Starts a stream that a service has made, or refuses the call with the error:
//   return rpc::ServeStream(MakeStream(*request));
template <typename Stream>
grpc::ServerWriteReactor<typename Stream::Message>* ServeStream(
    const absl::StatusOr<std::shared_ptr<Stream>>& stream) {
  // gRPC's own end of a call needs a reactor as well.
  struct Refusal final : grpc::ServerWriteReactor<typename Stream::Message> {
    void OnDone() override { delete this; }
  };
  if (stream.ok()) return (*stream)->Start();
  auto* const refusal = new Refusal;
  refusal->Finish(ToGrpc(stream.status()));
  return refusal;
}

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_SERVER_STREAM_H_
