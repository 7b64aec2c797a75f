#include "parameters/parameter_subscriber.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/event.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/thread.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "common/rpc/wire.h"
#include "common/values/utf8.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"
#include "parameters/snapshot_assembler.h"
#include "proto/parameters.grpc.pb.h"

namespace pompc::parameters {
namespace {

// One Subscribe call. The next message is read only when the one before was taken, so that a
// subscriber that is busy with a version holds the learner back instead of buffering. Await and
// ReadNext are for one thread, Cancel for any.
class MessageStream final : public grpc::ClientReadReactor<proto::ParametersMessage> {
 public:
  enum class Event { kMessage, kEnded, kTimeout };

  MessageStream(proto::ParameterService::Stub* stub, proto::SubscribeRequest request,
                absl::Duration max_age)
      : request_(std::move(request)) {
    context_.set_deadline(rpc::DeadlineAfter(max_age));
    stub->async()->Subscribe(&context_, &request_, this);
    // Reads are started outside of gRPC's callbacks: without a hold the call could be gone by then.
    AddHold();
    StartRead(&message_);
    StartCall();
  }

  // Ends the call.
  ~MessageStream() override {
    Cancel();
    bool release;
    {
      MutexLock lock(&mu_);
      closing_ = true;
      release = !reading_ && std::exchange(held_, false);
    }
    if (release) RemoveHold();
    MutexLock lock(&mu_);
    while (!done_) changed_.Wait(&mu_);
  }

  void Cancel() { context_.TryCancel(); }

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

  // REQUIRES: Await gave kMessage, and ReadNext was not called since.
  const proto::ParametersMessage& message() const {
    MutexLock lock(&mu_);
    POMPC_CHECK(has_message_ && !reading_);
    return message_;
  }
  void ReadNext() {
    {
      MutexLock lock(&mu_);
      POMPC_CHECK(has_message_ && !reading_);
      has_message_ = false;
      reading_ = true;
    }
    StartRead(&message_);
  }

  // True if the learner has answered.
  bool connected() const {
    MutexLock lock(&mu_);
    return connected_;
  }

  // True if it ever had.
  bool answered() const {
    MutexLock lock(&mu_);
    return answered_;
  }

  // REQUIRES: Await gave kEnded.
  absl::Status status() const {
    MutexLock lock(&mu_);
    POMPC_CHECK(done_);
    return rpc::FromGrpc(status_);
  }

  void OnReadInitialMetadataDone(bool ok) override {
    MutexLock lock(&mu_);
    connected_ = answered_ = ok;
  }
  void OnReadDone(bool ok) override {
    bool release;
    {
      MutexLock lock(&mu_);
      reading_ = false;
      has_message_ = ok;
      release = (!ok || closing_) && std::exchange(held_, false);
      changed_.SignalAll();
    }
    if (release) RemoveHold();
  }
  void OnDone(const grpc::Status& status) override {
    MutexLock lock(&mu_);
    done_ = true;
    connected_ = false;
    status_ = status;
    changed_.SignalAll();
  }

 private:
  const proto::SubscribeRequest request_;
  grpc::ClientContext context_;
  // gRPC's while a read is in flight.
  proto::ParametersMessage message_;

  mutable Mutex mu_;
  CondVar changed_;
  // A read is in flight; else has_message_, or there are no more.
  bool reading_ ABSL_GUARDED_BY(mu_) = true;
  bool has_message_ ABSL_GUARDED_BY(mu_) = false;
  // No read is started any more; the one in flight lets go of the call.
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  // gRPC keeps the call until RemoveHold().
  bool held_ ABSL_GUARDED_BY(mu_) = true;
  bool connected_ ABSL_GUARDED_BY(mu_) = false;
  bool answered_ ABSL_GUARDED_BY(mu_) = false;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
};

// The subscriber renews its streams itself, after max_stream_age.
bool IsRenewal(const absl::Status& status) { return absl::IsDeadlineExceeded(status); }

}  // namespace

class ParameterSubscriber::Impl {
 public:
  Impl(const ParameterSubscriberOptions& options, OnSnapshot on_snapshot)
      : options_(options),
        on_snapshot_(std::move(on_snapshot)),
        stub_(proto::ParameterService::NewStub(options.learner.Channel())),
        run_id_(options.run_id),
        thread_("param-subscribe", [this] { Run(); }) {}

  ~Impl() { Close(); }

  Status status() const {
    MutexLock lock(&mu_);
    Status status = status_;
    status.connected = stream_ != nullptr && stream_->connected();
    // Once the learner answers, that it could not be reached is history.
    if (status.connected && unreachable_) status.last_error.clear();
    return status;
  }

  void Close() {
    stop_.Set();
    {
      MutexLock lock(&mu_);
      if (stream_ != nullptr) stream_->Cancel();
    }
    MutexLock lock(&join_mu_);
    thread_.Join();
  }

 private:
  void Run() {
    Backoff backoff(options_.backoff, options_.seed);
    while (!stop_.IsSet()) {
      bool progress = false, answered = false;
      const absl::Status ended = FollowOneStream(&progress, &answered);
      if (progress) backoff.Reset();
      if (stop_.IsSet()) return;
      Record(ended, answered);
      // At once and without a pause: a renewal is no failure, and evaluations wait for nobody.
      if (IsRenewal(ended)) continue;
      if (IsWrongPeer(ended, progress || answered) && GiveUp(ended)) return;
      stop_.WaitUntil(options_.clock, options_.clock->Now() + backoff.Next());
    }
  }

  // True once streams have ended for long enough in a way that shows that no learner is there.
  // `answered` says that this stream had been accepted.
  bool IsWrongPeer(const absl::Status& ended, bool answered) {
    const bool no_method = absl::IsUnimplemented(ended);
    if (answered && !no_method) was_learner_ = true;
    if (was_learner_ || !no_method) {
      no_method_since_.reset();
      return false;
    }
    const absl::Duration now = options_.clock->Now();
    if (!no_method_since_.has_value()) no_method_since_ = now;
    return now - *no_method_since_ >= options_.wrong_peer_timeout;
  }

  // False if nobody wants to know.
  bool GiveUp(const absl::Status& ended) {
    if (options_.on_wrong_peer == nullptr) return false;
    options_.on_wrong_peer(absl::Status(
        ended.code(),
        absl::StrCat("no learner at ", options_.learner.address(), ": ", ended.message())));
    return true;
  }

  // Subscribes, and handles messages until the stream ends. Returns why it ended; `*progress` tells
  // whether a message came, `*answered` whether the learner accepted the stream.
  absl::Status FollowOneStream(bool* progress, bool* answered) {
    MessageStream stream(stub_.get(), Request(), options_.max_stream_age);
    SetStream(&stream);
    const absl::Status ended = HandleMessages(stream, progress);
    SetStream(nullptr);
    *answered = stream.answered();
    return ended;
  }

  absl::Status HandleMessages(MessageStream& stream, bool* progress) {
    SnapshotAssembler assembler(options_.max_bytes);
    while (true) {
      if (stop_.IsSet()) return absl::CancelledError("closing");
      const absl::Duration deadline = assembler.in_progress()
                                          ? options_.clock->Now() + options_.progress_timeout
                                          : absl::InfiniteDuration();
      switch (stream.Await(options_.clock, deadline)) {
        case MessageStream::Event::kEnded:
          return stream.status();
        case MessageStream::Event::kTimeout:
          return absl::UnavailableError(absl::StrCat(
              "a version made no progress for ", absl::FormatDuration(options_.progress_timeout)));
        case MessageStream::Event::kMessage:
          break;
      }
      *progress = true;
      POMPC_ASSIGN_OR_RETURN(std::optional<ParameterSnapshot> snapshot,
                             assembler.Add(stream.message()));
      if (snapshot.has_value()) POMPC_RETURN_IF_ERROR(HandOn(*snapshot));
      stream.ReadNext();
    }
  }

  // FAILED_PRECONDITION for parameters of another run.
  absl::Status HandOn(const ParameterSnapshot& snapshot) {
    const std::string& run_id = snapshot.description.run_id();
    if (run_id_.empty()) run_id_ = run_id;
    if (run_id != run_id_) {
      return absl::FailedPreconditionError(absl::StrCat(
          "parameters are of run \"", run_id, "\", this process belongs to \"", run_id_, "\""));
    }
    const absl::Status taken = on_snapshot_(snapshot);
    if (!taken.ok()) {
      Log().error("parameters {}: {}", snapshot.version().ToString(), taken.ToString());
    }
    MutexLock lock(&mu_);
    status_.have = std::max(status_.have, snapshot.version());
    ++status_.versions;
    status_.bytes += snapshot.data->size();
    status_.last_error = taken.ok() ? "" : std::string(taken.message());
    unreachable_ = false;
    return absl::OkStatus();
  }

  proto::SubscribeRequest Request() const {
    proto::SubscribeRequest request;
    *request.mutable_header() = rpc::MakeHeader(run_id_);
    request.set_subscriber(ToUtf8(options_.name));
    MutexLock lock(&mu_);
    *request.mutable_have() = ToProto(status_.have);
    return request;
  }

  void SetStream(MessageStream* stream) {
    MutexLock lock(&mu_);
    stream_ = stream;
    // Close may have come before there was a stream to cancel.
    if (stream_ != nullptr && stop_.IsSet()) stream_->Cancel();
  }

  // A stream ended; `answered`: the learner had accepted it.
  void Record(const absl::Status& ended, bool answered) {
    const std::string error = absl::StrCat(options_.learner.address(), ": ", ended.ToString());
    MutexLock lock(&mu_);
    ++status_.disconnects;
    if (IsRenewal(ended)) return;
    // Said once, not at every attempt.
    if (error != status_.last_error) Log().warn("no parameters from the learner at {}", error);
    status_.last_error = error;
    unreachable_ = !answered;
  }

  const ParameterSubscriberOptions options_;
  const OnSnapshot on_snapshot_;
  const std::unique_ptr<proto::ParameterService::Stub> stub_;

  Event stop_;

  // The thread's own.
  std::string run_id_;
  // Something at the learner's address has taken a stream; since when it has only said that it has
  // no such method.
  bool was_learner_ = false;
  std::optional<absl::Duration> no_method_since_;

  mutable Mutex mu_;
  MessageStream* stream_ ABSL_GUARDED_BY(mu_) = nullptr;
  Status status_ ABSL_GUARDED_BY(mu_);
  // status_.last_error is that the learner could not be reached.
  bool unreachable_ ABSL_GUARDED_BY(mu_) = false;

  Mutex join_mu_;
  // Last: it uses all of the above.
  Thread thread_ ABSL_GUARDED_BY(join_mu_);
};

ParameterSubscriber::ParameterSubscriber(const ParameterSubscriberOptions& options,
                                         OnSnapshot on_snapshot)
    : impl_(std::make_unique<Impl>(options, std::move(on_snapshot))) {}

ParameterSubscriber::~ParameterSubscriber() = default;

ParameterSubscriber::Status ParameterSubscriber::status() const { return impl_->status(); }

void ParameterSubscriber::Close() { impl_->Close(); }

}  // namespace pompc::parameters
