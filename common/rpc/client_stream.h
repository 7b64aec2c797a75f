#ifndef POMPC_COMMON_RPC_CLIENT_STREAM_H_
#define POMPC_COMMON_RPC_CLIENT_STREAM_H_

#include <atomic>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "grpcpp/support/client_callback.h"

// The client's side of a streaming call, in two kinds. The owner of a ReadStream has a thread that
// waits for the next message. A BidiStream calls its owner back, because one thread owns many of
// them and waits for all at once. After a stream has ended, a Reconnector (reconnector.h) decides
// when the next one is opened.

namespace pompc::rpc {

// What both kinds share: one read in flight at a time, a deadline, and gRPC's hold on the call,
// without which the call could end while its owner starts an operation. The hold lasts until a read
// fails, so a call ends only once all that was received has been read.
template <typename Reactor, typename Message>
class ClientStream : protected Reactor {
 public:
  // Makes the call end with CANCELLED. May be called from any thread, any number of times.
  void Cancel() { context_.TryCancel(); }

 protected:
  // The call ends with DEADLINE_EXCEEDED after `timeout`, by gRPC's clock.
  explicit ClientStream(absl::Duration timeout) { context_.set_deadline(DeadlineAfter(timeout)); }

  // `call` begins the call with the context and the reactor that it is given. To be called by the
  // constructor, last.
  template <typename Call>
  void Start(const Call& call) {
    call(&context_, static_cast<Reactor*>(this));
    this->AddHold();
    ReadNext();
    this->StartCall();
  }

  // Reads the next message into message(). REQUIRES: OnMessage was called since the last time.
  void ReadNext() { this->StartRead(&message_); }
  const Message& message() const { return message_; }

  // A message has come; no other does before ReadNext.
  virtual void OnMessage() = 0;
  // No message comes any more, and no operation may be started; gRPC's OnDone follows.
  virtual void OnClosing() {}

 private:
  void OnReadDone(bool ok) final {
    if (ok) return OnMessage();
    OnClosing();
    this->RemoveHold();
  }

  grpc::ClientContext context_;
  // gRPC's while a read is in flight.
  Message message_;
};

// A stream of messages from a server. The next one is read only when the one before was taken, so
// that an owner who is busy slows the server down. Await, message and ReadNext are for one thread,
// the rest for any. The call ends with DEADLINE_EXCEEDED after the `timeout` of the constructor.
// The destructor cancels the call and waits for its end.
template <typename Request, typename M>
class ReadStream final : private ClientStream<grpc::ClientReadReactor<M>, M> {
  using Base = ClientStream<grpc::ClientReadReactor<M>, M>;

 public:
  enum class Event { kMessage, kEnded, kTimeout };

  // Begins the call:
  //   ReadStream<Request, Message> stream(*stub.async(), &Service::Stub::async::Method, request,
  //                                       timeout);
  template <typename Stub>
  ReadStream(Stub& stub,
             void (Stub::*method)(grpc::ClientContext*, const Request*,
                                  grpc::ClientReadReactor<M>*),
             Request request, absl::Duration timeout)
      : Base(timeout), request_(std::move(request)) {
    Base::Start([&](grpc::ClientContext* context, grpc::ClientReadReactor<M>* reactor) {
      (stub.*method)(context, &request_, reactor);
    });
  }

  ~ReadStream() override {
    Cancel();
    bool pending = false;
    {
      MutexLock lock(&mu_);
      dropped_ = true;
      pending = std::exchange(has_message_, false);
    }
    // The hold goes with the read that fails, which is in flight unless a message was waiting.
    if (pending) Base::ReadNext();
    MutexLock lock(&mu_);
    while (!done_) changed_.Wait(&mu_);
  }

  using Base::Cancel;

  // Waits for a message or the end of the stream until `deadline` of `clock`.
  Event Await(Clock* clock, absl::Duration deadline) {
    MutexLock lock(&mu_);
    while (!has_message_ && !done_) {
      if (!clock->WaitUntil(&changed_, &mu_, deadline) && !has_message_ && !done_) {
        return Event::kTimeout;
      }
    }
    return has_message_ ? Event::kMessage : Event::kEnded;
  }

  // Waits for a message or the end of the stream; never gives kTimeout.
  Event Await() { return Await(Clock::Real(), absl::InfiniteDuration()); }

  // The message that has come. REQUIRES: Await gave kMessage, and ReadNext was not called since.
  const M& message() const {
    MutexLock lock(&mu_);
    POMPC_CHECK(has_message_);
    return Base::message();
  }
  // Drops the message and begins to read the next one. REQUIRES: as message().
  void ReadNext() {
    {
      MutexLock lock(&mu_);
      POMPC_CHECK(has_message_);
      has_message_ = false;
    }
    Base::ReadNext();
  }

  // True while the server has answered and the stream has not ended.
  bool connected() const {
    MutexLock lock(&mu_);
    return answered_ && !done_;
  }
  // True if the server ever answered.
  bool answered() const {
    MutexLock lock(&mu_);
    return answered_;
  }
  // Returns the status with which the stream ended. REQUIRES: Await gave kEnded.
  absl::Status status() const {
    MutexLock lock(&mu_);
    POMPC_CHECK(done_, "the stream has not ended");
    return FromGrpc(status_);
  }

 private:
  void OnReadInitialMetadataDone(bool ok) override {
    MutexLock lock(&mu_);
    answered_ = answered_ || ok;
  }
  void OnMessage() override {
    {
      MutexLock lock(&mu_);
      // gRPC's threads may report the first message before they report that the server answered.
      answered_ = true;
      if (!dropped_) {
        has_message_ = true;
        changed_.SignalAll();
        return;
      }
    }
    // What comes after the owner has gone is read and dropped, up to the end.
    Base::ReadNext();
  }
  void OnDone(const grpc::Status& status) override {
    MutexLock lock(&mu_);
    done_ = true;
    status_ = status;
    changed_.SignalAll();
  }

  const Request request_;

  mutable Mutex mu_;
  CondVar changed_;
  // A message waits for its owner; no read is in flight.
  bool has_message_ ABSL_GUARDED_BY(mu_) = false;
  // The owner has gone, and waits for the end.
  bool dropped_ ABSL_GUARDED_BY(mu_) = false;
  bool answered_ ABSL_GUARDED_BY(mu_) = false;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
};

// A stream in both directions. It reports what happens to callbacks, which gRPC's threads call.
// Calls of on_reply and on_closing come one after another; on_written may run at the same time as
// one of them; on_ended comes alone and last. REQUIRES: on_ended was called before the object is
// destroyed. (Another thread may destroy the object while on_ended is still running.)
template <typename Request, typename Reply>
class BidiStream final : private ClientStream<grpc::ClientBidiReactor<Request, Reply>, Reply> {
  using Base = ClientStream<grpc::ClientBidiReactor<Request, Reply>, Reply>;

 public:
  struct Callbacks {
    std::function<void()> on_written;
    std::function<void(const Reply&)> on_reply;
    // No reply comes any more: Write must not be called again.
    std::function<void()> on_closing;
    std::function<void(const grpc::Status&)> on_ended;
  };

  // Begins the call, as ReadStream does. REQUIRES: all callbacks are set.
  template <typename Stub>
  BidiStream(Stub& stub,
             void (Stub::*method)(grpc::ClientContext*, grpc::ClientBidiReactor<Request, Reply>*),
             Callbacks callbacks, absl::Duration timeout)
      : Base(timeout), callbacks_(std::move(callbacks)) {
    POMPC_CHECK(callbacks_.on_written && callbacks_.on_reply);
    POMPC_CHECK(callbacks_.on_closing && callbacks_.on_ended);
    Base::Start([&](auto* context, auto* reactor) { (stub.*method)(context, reactor); });
  }

  ~BidiStream() override { POMPC_CHECK(ended_, "the stream has not ended"); }

  using Base::Cancel;

  // What Write sends.
  Request* request() { return &request_; }
  // REQUIRES: on_written was called since the last Write; on_closing was not, and cannot be at the
  // same time.
  void Write() {
    POMPC_CHECK(!writing_.exchange(true), "the write before is in progress");
    POMPC_CHECK(!closing_, "the stream is closing");
    this->StartWrite(&request_);
  }

 private:
  void OnWriteDone(bool ok) override {
    writing_ = false;
    if (ok) callbacks_.on_written();
  }
  void OnMessage() override {
    callbacks_.on_reply(Base::message());
    Base::ReadNext();
  }
  void OnClosing() override {
    callbacks_.on_closing();
    closing_ = true;
  }
  void OnDone(const grpc::Status& status) override {
    // The owner may destroy the object as soon as it knows, so that nothing here is used by then.
    const std::function<void(const grpc::Status&)> on_ended = std::move(callbacks_.on_ended);
    ended_ = true;
    on_ended(status);
  }

  Callbacks callbacks_;
  Request request_;
  // A write was started and is not done.
  std::atomic<bool> writing_ = false;
  // The callback on_closing was called.
  std::atomic<bool> closing_ = false;
  // The callback on_ended is being called, or was.
  std::atomic<bool> ended_ = false;
};

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_CLIENT_STREAM_H_
