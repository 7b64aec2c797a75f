#include "learner/ranks/rank_service.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/rpc/server_stream.h"

namespace pompc::learner {

// One rank's stream: the welcome, then its orders, then the end of the run.
class RankService::Stream final : public rpc::ServerStream<proto::RankOrder>,
                                  public RankGroup::Listener {
 public:
  Stream(std::shared_ptr<RankGroup> group, int rank, proto::RankOrder welcome)
      : group_(std::move(group)), rank_(rank), welcome_(std::move(welcome)) {}

  void OnNews() override { Wake(); }

 private:
  rpc::StreamStep Next(proto::RankOrder* message) override {
    if (welcome_.has_value()) {
      *message = *std::exchange(welcome_, std::nullopt);
      return rpc::StreamStep::Write();
    }
    if (std::optional<proto::RankOrder> order = group_->NextOrder(rank_)) {
      *message = *std::move(order);
      return rpc::StreamStep::Write();
    }
    // Asked last: an end comes after the orders that were given before it.
    const std::optional<absl::Status> ended = group_->Ended(rank_);
    return ended.has_value() ? rpc::StreamStep::End(*ended) : rpc::StreamStep::Wait();
  }

  void OnEnd() override { group_->Leave(rank_); }

  const std::shared_ptr<RankGroup> group_;
  const int rank_;
  // Until it is written.
  std::optional<proto::RankOrder> welcome_;
};

namespace {

// A rank that joins learns the run's id from the welcome, so its header may have none.
absl::Status CheckJoin(const proto::JoinRequest& request, const RankServiceOptions& options) {
  POMPC_RETURN_IF_ERROR(rpc::CheckOpenHeader(request.header(), options.run_id));
  // Batches are split over the shards in their order. A rank that
  // knows another number of shards would draw windows that do not fit the others'.
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
  return rpc::ServeStream(MakeStream(*request));
}

absl::StatusOr<std::shared_ptr<RankService::Stream>> RankService::MakeStream(
    const proto::JoinRequest& request) {
  POMPC_RETURN_IF_ERROR(CheckJoin(request, options_));
  const int rank = static_cast<int>(request.rank());
  proto::RankOrder welcome;
  welcome.set_kind(proto::RankOrder::WELCOME);
  welcome.mutable_welcome()->set_run_id(options_.run_id);
  *welcome.mutable_welcome()->mutable_config() = options_.config;
  *welcome.mutable_welcome()->mutable_learner_start() = options_.start;
  auto stream = std::make_shared<Stream>(group_, rank, std::move(welcome));
  // From here on the group may bring orders. The stream finds them once the welcome is written.
  POMPC_RETURN_IF_ERROR(
      group_->Join(rank, static_cast<int>(request.world_size()), request.name(), stream));
  Log().info("rank {} ({}) has joined", rank, request.name());
  return stream;
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
