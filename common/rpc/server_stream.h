#ifndef POMPC_COMMON_RPC_SERVER_STREAM_H_
#define POMPC_COMMON_RPC_SERVER_STREAM_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/check.h"
#include "common/base/threads.h"
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

// One stream of messages from a server to a client. A derived class decides what is written; this
// class keeps the events in order: at most one write is in flight, the next step is decided when it
// is done, and the stream ends once. A client that reads slowly therefore slows its stream down,
// and nothing is queued for it. Thread-safe; holds no thread; keeps itself alive from Start until
// gRPC is done with it.
//
// The functions that a derived class overrides are called one at a time, by the thread that called
// Start or Wake or by one of gRPC's, and without locks held. What they use among themselves
// therefore needs no lock. They must not block.
//
// (Replay's Append, on which the client sends as well, does not use this class: there each
// direction waits for the other, in an order that only its service knows.)
template <typename M>
class ServerStream : private grpc::ServerWriteReactor<M>,
                     public std::enable_shared_from_this<ServerStream<M>> {
 public:
  using Message = M;

  ServerStream() = default;

  // Accepts the call and begins to write; the service's method returns the result. REQUIRES: it was
  // not called before.
  grpc::ServerWriteReactor<Message>* Start() {
    POMPC_CHECK(self_ == nullptr, "a stream is started once");
    self_ = this->shared_from_this();
    // At once, so that the client knows that it was accepted while there is nothing to send.
    this->StartSendInitialMetadata();
    Advance();
    return this;
  }

  // Announces that Next may return something new. May be called from any thread, also before Start;
  // the caller keeps the stream alive meanwhile.
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
  // Decides what the stream does next. To write, it fills in `*message`, which still holds the
  // message before, and returns Write().
  virtual StreamStep Next(Message* message) = 0;
  // The message that Next filled in last was written.
  virtual void OnWritten() {}
  // The stream ends, because Next returned End or because the client is gone. Called once, before
  // the client is told; no other function is called afterwards.
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
      // A thread that called Wake since Next was called has left the next step to this one.
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

  // A thread that is just calling Wake holds the stream as well; the last one deletes it.
  void OnDone() final { const std::shared_ptr<ServerStream> self = std::move(self_); }

  // From Start until OnDone.
  std::shared_ptr<ServerStream> self_;
  // gRPC's while a write is in flight, else that of the thread for which busy_ is set.
  Message message_;

  Mutex mu_;
  // A thread decides the next step, a write is in flight, the stream has not started or it has
  // ended: in all these cases no other thread may take a step.
  bool busy_ ABSL_GUARDED_BY(mu_) = true;
  // Wake was called since Next was called last.
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
