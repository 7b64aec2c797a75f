#include "parameters/parameter_service.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/rpc/call.h"
#include "common/rpc/wire.h"
#include "common/values/short_text.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "parameters/message_encoding.h"

namespace pompc::parameters {
namespace {

// Names come from outside and go to messages and pages.
constexpr size_t kMaxName = 128;

}  // namespace

// What the streams of one service have in common.
struct ParameterService::Shared {
  struct Entry {
    std::string name;
    std::string peer;
    ParameterVersion version;
    // When it was connected; of lost ones, when it was lost.
    absl::Duration at;
    // When the oldest version came that it lacks.
    std::optional<absl::Duration> lacks_since;

    proto::PlannerStatus StatusAt(absl::Duration now, bool connected) const {
      proto::PlannerStatus status;
      status.set_name(name);
      status.set_peer(peer);
      status.set_connected(connected);
      *status.mutable_version() = ToProto(version);
      if (connected) {
        status.set_behind_seconds(absl::ToDoubleSeconds(now - lacks_since.value_or(now)));
      }
      status.set_since_seconds(absl::ToDoubleSeconds(now - at));
      return status;
    }
  };

  // The stream has, or is to get, something that the subscriber lacks.
  void Lacks(const Stream* stream) {
    MutexLock lock(&mu);
    const auto found = streams.find(stream);
    if (found == streams.end() || found->second.lacks_since.has_value()) return;
    found->second.lacks_since = clock->Now();
  }
  // The subscriber was sent `version` while `newest` was the newest.
  void Sent(const Stream* stream, ParameterVersion version, ParameterVersion newest) {
    MutexLock lock(&mu);
    const auto found = streams.find(stream);
    if (found == streams.end()) return;
    Entry& entry = found->second;
    // A kept version may come after the newest.
    entry.version = std::max(entry.version, version);
    entry.lacks_since.reset();
    if (entry.version < newest) entry.lacks_since = clock->Now();
  }
  void Lost(const Stream* stream) {
    MutexLock lock(&mu);
    const auto found = streams.find(stream);
    if (found == streams.end()) return;
    Entry entry = std::move(found->second);
    streams.erase(found);
    // A subscriber that renews its stream may have begun the next one before this one ends.
    const bool renewed = std::any_of(streams.begin(), streams.end(), [&](const auto& other) {
      return other.second.name == entry.name;
    });
    if (renewed) return;
    entry.at = clock->Now();
    lost.push_back(std::move(entry));
    if (lost.size() > kMaxLost) lost.pop_front();
  }

  Clock* clock = nullptr;
  Mutex mu;
  std::map<const Stream*, Entry> streams ABSL_GUARDED_BY(mu);
  std::deque<Entry> lost ABSL_GUARDED_BY(mu);
  uint64_t versions_sent ABSL_GUARDED_BY(mu) = 0;
  uint64_t bytes_sent ABSL_GUARDED_BY(mu) = 0;
};

// One subscriber's stream: at most one write in flight, and what to write next is decided when the
// one before is done. Owns itself until gRPC is done with it.
class ParameterService::Stream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                                       public Publisher::Listener,
                                       public std::enable_shared_from_this<Stream> {
 public:
  Stream(Publisher* publisher, std::shared_ptr<Shared> shared, ParameterVersion have)
      : publisher_(publisher), shared_(std::move(shared)) {
    cursor_.have = have;
  }

  void Start() {
    self_ = shared_from_this();
    // At once, so that the subscriber knows that it is connected while there is nothing to send.
    StartSendInitialMetadata();
    publisher_->AddListener(self_);
    Pump();
  }

  void OnPublished() override {
    if (!publisher_->closed()) shared_->Lacks(this);
    Pump();
  }

  void OnWriteDone(bool ok) override {
    std::optional<ParameterVersion> sent;
    {
      MutexLock lock(&mu_);
      POMPC_CHECK(writing_);
      writing_ = false;
      if (!ok) ended_ = true;
      sent.swap(completes_);
    }
    if (ok && sent.has_value()) {
      const std::shared_ptr<const ParameterSnapshot> newest = publisher_->Newest();
      shared_->Sent(this, *sent, newest == nullptr ? *sent : newest->version());
    }
    Pump();
  }

  void OnCancel() override {
    {
      MutexLock lock(&mu_);
      ended_ = true;
    }
    Pump();
  }

  void OnDone() override {
    shared_->Lost(this);
    // A publication that is just being announced may hold the stream a little longer.
    const std::shared_ptr<Stream> self = std::move(self_);
  }

 private:
  // Starts the next write, or ends the stream, unless a write is in flight or there is nothing to
  // do. gRPC is called without the lock.
  void Pump() {
    bool finish = false;
    {
      MutexLock lock(&mu_);
      if (writing_ || finished_) return;
      finish = ended_ || publisher_->closed();
      if (finish) {
        finished_ = true;
      } else {
        if (!NextMessage()) return;
        writing_ = true;
      }
    }
    if (finish) {
      Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the learner is shutting down"));
    } else {
      StartWrite(&message_);
    }
  }

  // Puts what follows into message_. False if there is nothing to send now.
  bool NextMessage() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (snapshot_ == nullptr) {
      snapshot_ = publisher_->Next(&cursor_);
      if (snapshot_ == nullptr) return false;
      shared_->Lacks(this);
      offset_ = 0;
      message_ = EncodeDescription(*snapshot_);
    } else {
      const size_t bytes = std::min(kChunkBytes, snapshot_->data->size() - offset_);
      message_ = EncodeData(*snapshot_, offset_, bytes);
      offset_ += bytes;
    }
    POMPC_CHECK_LE(offset_, snapshot_->data->size());
    const bool last = offset_ == snapshot_->data->size();
    {
      MutexLock lock(&shared_->mu);
      shared_->bytes_sent += message_.Length();
      if (last) ++shared_->versions_sent;
    }
    if (last) completes_ = snapshot_->version();
    if (last) snapshot_ = nullptr;
    return true;
  }

  Publisher* const publisher_;
  const std::shared_ptr<Shared> shared_;
  // Until OnDone.
  std::shared_ptr<Stream> self_;

  // gRPC's while a write is in flight; written before it starts.
  grpc::ByteBuffer message_;

  Mutex mu_;
  Publisher::Cursor cursor_ ABSL_GUARDED_BY(mu_);
  // Being sent, up to offset_; null between versions.
  std::shared_ptr<const ParameterSnapshot> snapshot_ ABSL_GUARDED_BY(mu_);
  size_t offset_ ABSL_GUARDED_BY(mu_) = 0;
  // The version of which the message in flight is the last.
  std::optional<ParameterVersion> completes_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  // The subscriber is gone.
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  // Finish() was called.
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

namespace {

absl::StatusOr<proto::SubscribeRequest> Parse(const grpc::ByteBuffer& bytes) {
  proto::SubscribeRequest request;
  grpc::ByteBuffer copy(bytes);
  const grpc::Status parsed =
      grpc::SerializationTraits<proto::SubscribeRequest>::Deserialize(&copy, &request);
  if (!parsed.ok()) return absl::InvalidArgumentError("not a SubscribeRequest");
  return request;
}

}  // namespace

ParameterService::ParameterService(Publisher* publisher, const ParameterServiceOptions& options)
    : publisher_(publisher), options_(options), shared_(std::make_shared<Shared>()) {
  shared_->clock = options.clock;
}

ParameterService::~ParameterService() = default;

grpc::ServerWriteReactor<grpc::ByteBuffer>* ParameterService::Subscribe(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  absl::StatusOr<proto::SubscribeRequest> parsed = Parse(*request);
  if (!parsed.ok()) return rpc::RefuseStream<grpc::ByteBuffer>(parsed.status());
  // A subscriber learns the run from the first version that it gets.
  const absl::Status allowed = rpc::CheckOpenHeader(parsed->header(), options_.run_id);
  if (!allowed.ok()) return rpc::RefuseStream<grpc::ByteBuffer>(allowed);
  auto stream = std::make_shared<Stream>(publisher_, shared_, FromProto(parsed->have()));
  const absl::Status admitted =
      Admit(stream.get(), parsed->subscriber(), context->peer(), FromProto(parsed->have()));
  if (!admitted.ok()) return rpc::RefuseStream<grpc::ByteBuffer>(admitted);
  stream->Start();
  return stream.get();
}

absl::Status ParameterService::Admit(const Stream* stream, const std::string& name,
                                     const std::string& peer, ParameterVersion have) {
  MutexLock lock(&shared_->mu);
  if (shared_->streams.size() >= static_cast<size_t>(options_.max_subscribers)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(options_.max_subscribers, " subscribers are connected already"));
  }
  // A planner renews its stream now and then, and comes back under its name.
  const std::string known = ShortText(name, kMaxName);
  std::erase_if(shared_->lost, [&](const Shared::Entry& lost) { return lost.name == known; });
  shared_->streams[stream] = {known, peer, have, shared_->clock->Now(), {}};
  return absl::OkStatus();
}

ParameterService::Stats ParameterService::stats() const {
  MutexLock lock(&shared_->mu);
  Stats stats;
  const absl::Duration now = shared_->clock->Now();
  for (const auto& [stream, entry] : shared_->streams) {
    stats.subscribers.push_back(entry.StatusAt(now, /*connected=*/true));
  }
  for (const Shared::Entry& entry : shared_->lost) {
    if (now - entry.at > kForgetLost) continue;
    stats.lost.push_back(entry.StatusAt(now, /*connected=*/false));
  }
  stats.versions_sent = shared_->versions_sent;
  stats.bytes_sent = shared_->bytes_sent;
  return stats;
}

}  // namespace pompc::parameters
