#include "replay/service.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/unary.h"
#include "common/rpc/wire.h"
#include "common/values/float_bytes.h"
#include "replay/messages.h"

namespace pompc::replay {
namespace {

absl::Status CheckSpec(const proto::ConfigureRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckWireVersion(request.header()));
  if (!request.header().run_id().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("header.run_id is empty");
}

}  // namespace

absl::Status Service::CheckHeader(const proto::Header& header) const {
  POMPC_ASSIGN_OR_RETURN(const auto config, shard_->config());
  return rpc::CheckHeader(header, config->run_id);
}

void Service::FillInfo(proto::ShardInfo* info) const {
  *info = ToShardInfo(*shard_);
  info->set_streams(static_cast<uint32_t>(streams()));
}

grpc::ServerUnaryReactor* Service::Configure(grpc::CallbackServerContext* context,
                                             const proto::ConfigureRequest* request,
                                             proto::ShardInfo* reply) {
  absl::Status status = CheckSpec(*request);
  if (status.ok()) status = shard_->Configure(ToShardConfig(*request));
  if (status.ok()) FillInfo(reply);
  return rpc::FinishUnary(context, status);
}

grpc::ServerBidiReactor<proto::AppendRequest, proto::AppendReply>* Service::Append(
    grpc::CallbackServerContext* /*context*/) {
  const std::shared_ptr<AppendReactor> stream =
      AppendReactor::Start(shard_, [this](AppendReactor* done) {
        MutexLock lock(&mu_);
        streams_.erase(done);
      });
  MutexLock lock(&mu_);
  streams_.emplace(stream.get(), stream);
  if (draining_) {
    stream->End(absl::UnavailableError("the shard is stopping"));
  } else if (streams_.size() > max_streams_) {
    stream->End(absl::ResourceExhaustedError(
        absl::StrCat("the shard serves ", max_streams_, " streams already, the most it does")));
  }
  return stream.get();
}

grpc::ServerUnaryReactor* Service::Sample(grpc::CallbackServerContext* context,
                                          const proto::SampleRequest* request,
                                          proto::SampleReply* reply) {
  return rpc::FinishUnary(context, DoSample(*request, reply));
}

absl::Status Service::DoSample(const proto::SampleRequest& request, proto::SampleReply* reply) {
  POMPC_RETURN_IF_ERROR(CheckHeader(request.header()));
  POMPC_ASSIGN_OR_RETURN(const auto config, shard_->config());
  POMPC_ASSIGN_OR_RETURN(const WindowColumns columns,
                         MakeRoomFor(request.count(), config->table, reply->mutable_windows()));
  POMPC_RETURN_IF_ERROR(shard_->Sample(request.seed(), columns));
  FillInfo(reply->mutable_info());
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Service::UpdatePlans(grpc::CallbackServerContext* context,
                                               const proto::UpdatePlansRequest* request,
                                               proto::UpdatePlansReply* reply) {
  return rpc::FinishUnary(context, DoUpdatePlans(*request, reply));
}

absl::Status Service::DoUpdatePlans(const proto::UpdatePlansRequest& request,
                                    proto::UpdatePlansReply* reply) {
  POMPC_RETURN_IF_ERROR(CheckHeader(request.header()));
  POMPC_ASSIGN_OR_RETURN(const auto config, shard_->config());
  const size_t rows = request.count(), numbers = rows * config->table.spec.action_size;
  POMPC_RETURN_IF_ERROR(CheckByteCount(request.addresses(), rows, sizeof(uint64_t), "addresses"));
  POMPC_RETURN_IF_ERROR(CheckByteCount(request.plan_mean(), numbers, sizeof(float), "plan_mean"));
  POMPC_RETURN_IF_ERROR(CheckByteCount(request.plan_std(), numbers, sizeof(float), "plan_std"));
  POMPC_ASSIGN_OR_RETURN(
      const Table::UpdateCounts counts,
      shard_->UpdatePlans(request.shard_incarnation(), NumbersIn<uint64_t>(request.addresses()),
                          NumbersIn<float>(request.plan_mean()),
                          NumbersIn<float>(request.plan_std())));
  reply->set_updated(counts.updated);
  reply->set_evicted(counts.evicted);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Service::BarWindows(grpc::CallbackServerContext* context,
                                              const proto::BarWindowsRequest* request,
                                              proto::BarWindowsReply* reply) {
  return rpc::FinishUnary(context, DoBarWindows(*request, reply));
}

absl::Status Service::DoBarWindows(const proto::BarWindowsRequest& request,
                                   proto::BarWindowsReply* reply) {
  POMPC_RETURN_IF_ERROR(CheckHeader(request.header()));
  POMPC_RETURN_IF_ERROR(
      CheckByteCount(request.addresses(), request.count(), sizeof(uint64_t), "addresses"));
  POMPC_ASSIGN_OR_RETURN(const uint32_t barred,
                         shard_->BarWindows(request.shard_incarnation(),
                                            NumbersIn<uint64_t>(request.addresses())));
  reply->set_barred(barred);
  reply->set_gone(request.count() - barred);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Service::Grant(grpc::CallbackServerContext* context,
                                         const proto::GrantRequest* request,
                                         proto::ShardInfo* reply) {
  absl::Status status = CheckHeader(request->header());
  if (status.ok()) {
    status = shard_->Grant(ToRowGrant(*request), ToLearnerStart(request->learner_start()));
  }
  if (status.ok()) FillInfo(reply);
  return rpc::FinishUnary(context, status);
}

grpc::ServerUnaryReactor* Service::Info(grpc::CallbackServerContext* context,
                                        const proto::InfoRequest* request,
                                        proto::ShardInfo* reply) {
  const absl::Status status = CheckHeader(request->header());
  if (status.ok()) FillInfo(reply);
  return rpc::FinishUnary(context, status);
}

void Service::Drain() {
  std::vector<std::shared_ptr<AppendReactor>> streams;
  {
    MutexLock lock(&mu_);
    draining_ = true;
    for (const auto& [raw, stream] : streams_) streams.push_back(stream.lock());
  }
  for (const std::shared_ptr<AppendReactor>& stream : streams) {
    if (stream != nullptr) stream->End(absl::UnavailableError("the shard is stopping"));
  }
}

size_t Service::streams() const {
  MutexLock lock(&mu_);
  return streams_.size();
}

}  // namespace pompc::replay
