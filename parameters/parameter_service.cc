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
#include "common/rpc/server_stream.h"
#include "common/values/short_text.h"
#include "parameters/snapshot_messages.h"

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

// One subscriber's stream.
class ParameterService::Stream final : public rpc::ServerStream<grpc::ByteBuffer>,
                                       public Publisher::Listener {
 public:
  Stream(Publisher* publisher, std::shared_ptr<Shared> shared, ParameterVersion have)
      : publisher_(publisher), shared_(std::move(shared)) {
    cursor_.have = have;
  }

  void OnPublished() override {
    if (!publisher_->closed()) shared_->Lacks(this);
    Wake();
  }

 private:
  rpc::StreamStep Next(grpc::ByteBuffer* message) override {
    if (publisher_->closed()) {
      return rpc::StreamStep::End(absl::UnavailableError("the learner is shutting down"));
    }
    if (snapshot_ == nullptr) {
      snapshot_ = publisher_->Next(&cursor_);
      if (snapshot_ == nullptr) return rpc::StreamStep::Wait();
      shared_->Lacks(this);
      offset_ = 0;
      *message = EncodeDescription(*snapshot_);
    } else {
      const size_t bytes = std::min(kChunkBytes, snapshot_->data->size() - offset_);
      *message = EncodeData(*snapshot_, offset_, bytes);
      offset_ += bytes;
    }
    POMPC_CHECK_LE(offset_, snapshot_->data->size());
    const bool last = offset_ == snapshot_->data->size();
    {
      MutexLock lock(&shared_->mu);
      shared_->bytes_sent += message->Length();
      if (last) ++shared_->versions_sent;
    }
    if (last) completes_ = std::exchange(snapshot_, nullptr)->version();
    return rpc::StreamStep::Write();
  }

  void OnWritten() override {
    if (!completes_.has_value()) return;
    const std::shared_ptr<const ParameterSnapshot> newest = publisher_->Newest();
    shared_->Sent(this, *completes_, newest == nullptr ? *completes_ : newest->version());
    completes_.reset();
  }

  void OnEnd() override { shared_->Lost(this); }

  Publisher* const publisher_;
  const std::shared_ptr<Shared> shared_;
  Publisher::Cursor cursor_;
  // Being sent, up to offset_; null between versions.
  std::shared_ptr<const ParameterSnapshot> snapshot_;
  size_t offset_ = 0;
  // The version of which the message in flight is the last.
  std::optional<ParameterVersion> completes_;
};

ParameterService::ParameterService(Publisher* publisher, const ParameterServiceOptions& options)
    : publisher_(publisher), options_(options), shared_(std::make_shared<Shared>()) {
  shared_->clock = options.clock;
}

ParameterService::~ParameterService() = default;

grpc::ServerWriteReactor<grpc::ByteBuffer>* ParameterService::Subscribe(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return rpc::ServeStream(MakeStream(context->peer(), *request));
}

absl::StatusOr<std::shared_ptr<ParameterService::Stream>> ParameterService::MakeStream(
    const std::string& peer, const grpc::ByteBuffer& request) {
  POMPC_ASSIGN_OR_RETURN(const auto parsed, rpc::ParseMessage<proto::SubscribeRequest>(request));
  // A subscriber learns the run from the first version that it gets.
  POMPC_RETURN_IF_ERROR(rpc::CheckOpenHeader(parsed.header(), options_.run_id));
  const ParameterVersion have = FromProto(parsed.have());
  auto stream = std::make_shared<Stream>(publisher_, shared_, have);
  POMPC_RETURN_IF_ERROR(Admit(stream.get(), parsed.subscriber(), peer, have));
  publisher_->AddListener(stream);
  return stream;
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
