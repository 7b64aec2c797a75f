#include "learner/ranks/rank_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/call.h"
#include "common/values/utf8.h"
#include "grpcpp/channel.h"

namespace pompc::learner {
namespace {

// The interval at which a value that no rank has put yet is requested.
constexpr absl::Duration kAskAgain = absl::Milliseconds(20);

// The values by which the ranks' libraries find each other. Rank 0 keeps them.
class RpcRendezvous : public Rendezvous {
 public:
  RpcRendezvous(std::shared_ptr<proto::RankService::Stub> stub, std::string run_id,
                absl::Duration call_timeout, Clock* clock)
      : stub_(std::move(stub)),
        run_id_(std::move(run_id)),
        call_timeout_(call_timeout),
        clock_(clock) {}

  absl::Status Put(const std::string& key, const std::string& value) override {
    proto::PutValueRequest request;
    *request.mutable_header() = rpc::MakeHeader(run_id_);
    request.set_key(key);
    request.set_value(value);
    return rpc::CallUnary(*stub_, &proto::RankService::Stub::PutValue, request, call_timeout_)
        .status();
  }

  absl::StatusOr<std::string> Get(const std::string& key, absl::Duration timeout) override {
    proto::GetValueRequest request;
    *request.mutable_header() = rpc::MakeHeader(run_id_);
    request.set_key(key);
    // Rank 0 answers at once, with the value or with NOT_FOUND; the waiting is done here.
    const absl::Duration deadline = clock_->Now() + timeout;
    while (true) {
      absl::StatusOr<proto::GetValueReply> reply =
          rpc::CallUnary(*stub_, &proto::RankService::Stub::GetValue, request, call_timeout_);
      if (reply.ok()) return reply->value();
      if (!absl::IsNotFound(reply.status())) return reply.status();
      const absl::Duration now = clock_->Now();
      if (now >= deadline) return absl::DeadlineExceededError(reply.status().message());
      Event().WaitUntil(clock_, std::min(deadline, now + kAskAgain));
    }
  }

 private:
  const std::shared_ptr<proto::RankService::Stub> stub_;
  const std::string run_id_;
  const absl::Duration call_timeout_;
  Clock* const clock_;
};

}  // namespace

RankClient::RankClient(const RankClientOptions& options)
    : options_(options), stub_(proto::RankService::NewStub(options.leader.Channel())) {}

RankClient::~RankClient() = default;

absl::StatusOr<proto::RankWelcome> RankClient::Join() {
  proto::JoinRequest request;
  *request.mutable_header() = rpc::MakeHeader("");
  request.set_rank(static_cast<uint32_t>(options_.rank));
  request.set_world_size(static_cast<uint32_t>(options_.world_size));
  request.set_name(ToUtf8(options_.name));
  request.set_num_shards(options_.num_shards);
  // A stream of an earlier Join ends first, or rank 0 would find this rank present already. Its end
  // is awaited without the lock.
  std::unique_ptr<Stream> before;
  {
    MutexLock lock(&mu_);
    before = std::exchange(stream_, nullptr);
  }
  before.reset();
  // Under the lock: a Cancel that comes now either finds the stream, or is found here.
  {
    MutexLock lock(&mu_);
    if (cancelled_) return absl::CancelledError("this rank is to end");
    stream_ = std::make_unique<Stream>(*stub_->async(), &proto::RankService::Stub::async::Join,
                                       std::move(request), absl::InfiniteDuration());
  }
  // The welcome is the first message of the stream. A stream without one is a refusal.
  POMPC_ASSIGN_OR_RETURN(const std::optional<proto::RankOrder> order, Next());
  if (!order.has_value()) return absl::UnavailableError("rank 0 has just ended");
  run_id_ = order->welcome().run_id();
  return order->welcome();
}

absl::StatusOr<std::optional<proto::RankOrder>> RankClient::Next() {
  POMPC_CHECK(stream_ != nullptr, "Join comes first");
  // Rank 0 may give no order for hours, while it waits for rows. If it dies, the connection's
  // keepalive ends the stream at the latest.
  if (stream_->Await() == Stream::Event::kEnded) {
    POMPC_RETURN_IF_ERROR(stream_->status());
    return std::nullopt;
  }
  proto::RankOrder order = stream_->message();
  stream_->ReadNext();
  return order;
}

std::shared_ptr<Rendezvous> RankClient::values() const {
  POMPC_CHECK(!run_id_.empty(), "Join comes first");
  return std::make_shared<RpcRendezvous>(stub_, run_id_, options_.call_timeout, options_.clock);
}

void RankClient::Cancel() {
  MutexLock lock(&mu_);
  cancelled_ = true;
  if (stream_ != nullptr) stream_->Cancel();
}

}  // namespace pompc::learner
