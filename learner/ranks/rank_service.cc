#include "learner/ranks/rank_service.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "common/rpc/wire.h"
#include "learner/ranks/rank_messages.h"

namespace pompc::learner {

// One rank's stream: at most one write in flight, and what to write next is decided when the one
// before is done. Owns itself until gRPC is done with it.
class RankService::Stream final : public grpc::ServerWriteReactor<proto::RankOrder>,
                                  public RankGroup::Listener,
                                  public std::enable_shared_from_this<Stream> {
 public:
  Stream(std::shared_ptr<RankGroup> group, int rank, std::string name)
      : group_(std::move(group)), rank_(rank), name_(std::move(name)) {}

  void Start(const proto::RankWelcome& welcome) {
    self_ = shared_from_this();
    order_.set_kind(proto::RankOrder::WELCOME);
    *order_.mutable_welcome() = welcome;
    Log().info("rank {} ({}) has joined", rank_, name_);
    StartWrite(&order_);
  }

  void OnNews() override { Pump(); }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mu_);
      POMPC_CHECK(writing_);
      writing_ = false;
      if (!ok) gone_ = true;
    }
    Pump();
  }

  void OnCancel() override {
    {
      MutexLock lock(&mu_);
      gone_ = true;
    }
    Pump();
  }

  void OnDone() override {
    // Whoever is announcing news holds the stream a little longer; it is deleted after that.
    const std::shared_ptr<Stream> self = std::move(self_);
  }

 private:
  // Starts the next write, or ends the stream, unless a write is in flight or there is nothing to
  // do. gRPC is called without the lock.
  void Pump() {
    std::optional<absl::Status> ended;
    {
      MutexLock lock(&mu_);
      if (writing_ || finished_) return;
      if (gone_) {
        ended = absl::CancelledError("the rank has left");
      } else if (const std::optional<RankOrder> order = group_->NextOrder(rank_)) {
        order_ = ToProto(*order);
        writing_ = true;
      } else {
        ended = group_->Ended(rank_);
        if (!ended.has_value()) return;
      }
      finished_ = ended.has_value();
    }
    if (!ended.has_value()) return StartWrite(&order_);
    group_->Leave(rank_);
    Finish(rpc::ToGrpc(*ended));
  }

  const std::shared_ptr<RankGroup> group_;
  const int rank_;
  const std::string name_;
  // Until OnDone.
  std::shared_ptr<Stream> self_;

  // gRPC's while a write is in flight; written before it starts.
  proto::RankOrder order_;

  Mutex mu_;
  // The welcome is written first.
  bool writing_ ABSL_GUARDED_BY(mu_) = true;
  // The rank is gone.
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
  // Finish() was called, or is about to be.
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

namespace {

// A rank that joins learns the run's id from the welcome, so its header may have none.
absl::Status CheckJoin(const proto::JoinRequest& request, const RankServiceOptions& options) {
  POMPC_RETURN_IF_ERROR(rpc::CheckOpenHeader(request.header(), options.run_id));
  if (request.num_shards() == options.num_shards) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("rank 0 was started with ", options.num_shards,
                                                    " replay shards, rank ", request.rank(),
                                                    " with ", request.num_shards()));
}

}  // namespace

RankService::RankService(std::shared_ptr<RankGroup> group, std::shared_ptr<Rendezvous> values,
                         const RankServiceOptions& options)
    : group_(std::move(group)), values_(std::move(values)), options_(options) {}

grpc::ServerWriteReactor<proto::RankOrder>* RankService::Join(grpc::CallbackServerContext* context,
                                                              const proto::JoinRequest* request) {
  absl::Status status = CheckJoin(*request, options_);
  if (!status.ok()) return rpc::RefuseStream<proto::RankOrder>(status);
  const int rank = static_cast<int>(request->rank());
  auto stream = std::make_shared<Stream>(group_, rank, request->name());
  // From here on the group may bring orders. The stream finds those when its first write, the
  // welcome, is done: it counts as writing from the beginning.
  status = group_->Join(rank, static_cast<int>(request->world_size()), request->name(), stream);
  if (!status.ok()) return rpc::RefuseStream<proto::RankOrder>(status);
  proto::RankWelcome welcome;
  welcome.set_run_id(options_.run_id);
  *welcome.mutable_config() = options_.config;
  stream->Start(welcome);
  return stream.get();
}

grpc::ServerUnaryReactor* RankService::PutValue(grpc::CallbackServerContext* context,
                                                const proto::PutValueRequest* request,
                                                proto::PutValueReply* reply) {
  return rpc::FinishUnary(context, DoPut(*request));
}

grpc::ServerUnaryReactor* RankService::GetValue(grpc::CallbackServerContext* context,
                                                const proto::GetValueRequest* request,
                                                proto::GetValueReply* reply) {
  return rpc::FinishUnary(context, DoGet(*request), reply);
}

absl::Status RankService::DoPut(const proto::PutValueRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckHeader(request.header(), options_.run_id));
  return values_->Put(request.key(), request.value());
}

absl::StatusOr<proto::GetValueReply> RankService::DoGet(const proto::GetValueRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckHeader(request.header(), options_.run_id));
  absl::StatusOr<std::string> value = values_->Get(request.key(), absl::ZeroDuration());
  // Nobody has put it yet. The caller asks again; waiting here would hold a thread of the server.
  if (absl::IsDeadlineExceeded(value.status())) {
    return absl::NotFoundError(value.status().message());
  }
  if (!value.ok()) return value.status();
  proto::GetValueReply reply;
  reply.set_value(*std::move(value));
  return reply;
}

}  // namespace pompc::learner
