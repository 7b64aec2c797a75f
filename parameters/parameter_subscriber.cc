#include "parameters/parameter_subscriber.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/rpc/client_stream.h"
#include "common/rpc/reconnector.h"
#include "common/values/utf8.h"
#include "grpcpp/channel.h"
#include "parameters/snapshot_messages.h"
#include "proto/parameters.grpc.pb.h"

namespace pompc::parameters {
namespace {

using MessageStream = rpc::ReadStream<proto::SubscribeRequest, proto::ParametersMessage>;

rpc::ReconnectOptions ReconnectOptionsOf(const ParameterSubscriberOptions& options) {
  return {.backoff = options.backoff,
          .seed = options.seed,
          .max_age = options.max_stream_age,
          .progress_timeout = options.progress_timeout};
}

}  // namespace

class ParameterSubscriber::Impl {
 public:
  Impl(const ParameterSubscriberOptions& options, OnSnapshot on_snapshot)
      : options_(options),
        on_snapshot_(std::move(on_snapshot)),
        stub_(proto::ParameterService::NewStub(options.learner.Channel())),
        reconnector_(ReconnectOptionsOf(options)),
        run_id_(options.run_id),
        thread_("param-subscribe", [this] { Run(); }) {
    POMPC_CHECK_GT(options_.progress_timeout, absl::ZeroDuration());
    POMPC_CHECK_GT(options_.max_stream_age, absl::ZeroDuration());
  }

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
    while (!stop_.IsSet()) {
      bool answered = false;
      const absl::Status ended = FollowOneStream(&answered);
      if (stop_.IsSet()) return;
      const absl::Status why = reconnector_.OnEnded(ended, options_.clock->Now());
      Record(why, answered);
      if (IsWrongPeer(why, answered) && GiveUp(why)) return;
      // A renewal needs no pause, for evaluations wait for nobody.
      stop_.WaitUntil(options_.clock, reconnector_.retry_at());
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

  // Subscribes, and handles messages until the stream ends. Returns why it ended; `*answered` tells
  // whether the learner accepted it.
  absl::Status FollowOneStream(bool* answered) {
    // The stream is renewed before its deadline, which is there in case that this thread hangs.
    MessageStream stream(*stub_->async(), &proto::ParameterService::Stub::async::Subscribe,
                         Request(), 2 * options_.max_stream_age);
    reconnector_.OnOpened(options_.clock->Now());
    SetStream(&stream);
    const absl::Status ended = HandleMessages(stream);
    SetStream(nullptr);
    *answered = stream.answered();
    return ended;
  }

  absl::Status HandleMessages(MessageStream& stream) {
    SnapshotAssembler assembler(options_.max_bytes);
    while (true) {
      if (stop_.IsSet()) return absl::CancelledError("closing");
      const absl::Duration deadline = reconnector_.NextDeadline(assembler.in_progress());
      switch (stream.Await(options_.clock, deadline)) {
        case MessageStream::Event::kEnded:
          return stream.status();
        case MessageStream::Event::kTimeout:
          if (reconnector_.GivesUp(options_.clock->Now(),
                                   [&] { return assembler.in_progress(); })) {
            return absl::CancelledError("given up");
          }
          continue;
        case MessageStream::Event::kMessage:
          reconnector_.OnAnswer(options_.clock->Now());
          break;
      }
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

  // A stream ended, OK if it is renewed; `answered`: the learner had accepted it.
  void Record(const absl::Status& why, bool answered) {
    MutexLock lock(&mu_);
    ++status_.disconnects;
    if (why.ok()) return;
    const std::string error = absl::StrCat(options_.learner.address(), ": ", why.ToString());
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
  rpc::Reconnector reconnector_;
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
