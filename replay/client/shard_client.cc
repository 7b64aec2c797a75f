#include "replay/client/shard_client.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "common/rpc/message_size.h"
#include "common/rpc/wire.h"
#include "common/values/float_bytes.h"
#include "common/values/utf8.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "proto/replay.grpc.pb.h"
#include "replay/core/random.h"

namespace pompc::replay {
namespace {

// The method as channels know it.
const std::string& SampleMethod() {
  static const std::string name =
      absl::StrCat("/", proto::ReplayService::service_full_name(), "/Sample");
  return name;
}

template <typename T>
std::string Bytes(std::span<const T> values) {
  return ToBytes(absl::MakeConstSpan(values.data(), values.size()));
}

// Starts a call with a callback for its result, and waits for it; every call made here has a
// deadline. The result is shared, since the callback still holds it when the waiting thread has it
// already.
template <typename Result, typename Call>
Result Await(Call start) {
  struct Handover {
    Event set;
    std::optional<Result> result;
  };
  auto handover = std::make_shared<Handover>();
  start([handover](Result result) {
    POMPC_CHECK(!handover->result.has_value(), "a call has one result");
    handover->result.emplace(std::move(result));
    handover->set.Set();
  });
  handover->set.Wait();
  return *std::move(handover->result);
}

void FillStart(const LearnerStart& start, proto::LearnerStart* message) {
  message->set_incarnation(start.incarnation);
  message->set_token(start.token);
}

}  // namespace

class ShardClient::Impl {
 public:
  using Stub = proto::ReplayService::Stub;

  Impl(ShardClientOptions options, std::shared_ptr<grpc::Channel> channel)
      : options_(std::move(options)),
        stub_(proto::ReplayService::NewStub(channel)),
        sample_stub_(std::move(channel)) {}
  ~Impl() { Close(); }

  const ShardClientOptions& options() const { return options_; }

  // A message of this run.
  template <typename Request>
  Request New() const {
    Request request;
    *request.mutable_header() = rpc::MakeHeader(options_.run_id);
    return request;
  }

  // Runs `method` of the stub's callback interface; `done` gets its reply. With a deadline, and in
  // the set of calls that Close cancels.
  template <typename Request, typename Reply>
  void Start(void (Stub::async::*method)(grpc::ClientContext*, const Request*, Reply*,
                                         std::function<void(grpc::Status)>),
             Request request, std::function<void(absl::StatusOr<Reply>)> done) {
    StartCall<Request, Reply>(
        [this, method](grpc::ClientContext* context, const Request* sent, Reply* reply,
                       std::function<void(grpc::Status)> on_end) {
          (stub_->async()->*method)(context, sent, reply, std::move(on_end));
        },
        std::move(request), Reply::descriptor()->name(), std::move(done));
  }

  // Does the same for Sample, whose reply stays as it was received: SampleReplyReader says why.
  void StartSample(proto::SampleRequest request,
                   std::function<void(absl::StatusOr<grpc::ByteBuffer>)> done) {
    StartCall<proto::SampleRequest, grpc::ByteBuffer>(
        [this](grpc::ClientContext* context, const proto::SampleRequest* sent,
               grpc::ByteBuffer* reply, std::function<void(grpc::Status)> on_end) {
          sample_stub_.UnaryCall(context, SampleMethod(), grpc::StubOptions(), sent, reply,
                                 std::move(on_end));
        },
        std::move(request), proto::SampleReply::descriptor()->name(), std::move(done));
  }

  // Does the same and waits for the reply.
  template <typename Request, typename Reply>
  absl::StatusOr<Reply> Wait(void (Stub::async::*method)(grpc::ClientContext*, const Request*,
                                                         Reply*, std::function<void(grpc::Status)>),
                             Request request) {
    return Await<absl::StatusOr<Reply>>([&](std::function<void(absl::StatusOr<Reply>)> done) {
      Start<Request, Reply>(method, std::move(request), std::move(done));
    });
  }

  void Close() {
    MutexLock lock(&mu_);
    closed_ = true;
    // A cancelled call ends with its callback like any other, only sooner.
    for (grpc::ClientContext* call : cancellable_) call->TryCancel();
    while (running_ > 0) left_.Wait(&mu_);
  }

 private:
  // Starts a call with `start(context, request, reply, on_end)`.
  template <typename Request, typename Reply, typename StartFunction>
  void StartCall(StartFunction start, Request request, std::string reply_type,
                 std::function<void(absl::StatusOr<Reply>)> done) {
    struct Call {
      grpc::ClientContext context;
      Request request;
      Reply reply;
    };
    // gRPC needs context, request and reply at fixed addresses until the callback has run.
    auto* const call = new Call;  // deleted by its callback, which gRPC calls exactly once
    call->request = std::move(request);
    call->context.set_deadline(rpc::DeadlineAfter(options_.timeout));
    // The call is counted before it is started: Close waits for every callback that may still run,
    // and the callback uses this object.
    if (!Enter(&call->context)) {
      delete call;
      return done(absl::CancelledError("the shard client is closed"));
    }
    start(&call->context, &call->request, &call->reply,
          [this, call, reply_type = std::move(reply_type),
           done = std::move(done)](const grpc::Status& status) {
            Uncancellable(&call->context);
            if (status.ok()) {
              done(std::move(call->reply));
            } else {
              done(rpc::CallError(status, call->request, reply_type));
            }
            // The context keeps the channel. Were it the last one to do so, here, in gRPC's own
            // thread, gRPC would wait for that thread.
            delete call;
            Leave();
          });
  }

  bool Enter(grpc::ClientContext* call) {
    MutexLock lock(&mu_);
    if (closed_) return false;
    cancellable_.insert(call);
    ++running_;
    return true;
  }
  // The context is destroyed soon: Close must not cancel it any more. The call still counts as
  // running, for its callback has not ended.
  void Uncancellable(grpc::ClientContext* call) {
    MutexLock lock(&mu_);
    cancellable_.erase(call);
  }
  void Leave() {
    MutexLock lock(&mu_);
    POMPC_CHECK_GT(running_, 0u);
    --running_;
    left_.SignalAll();
  }

  const ShardClientOptions options_;
  const std::unique_ptr<Stub> stub_;
  // Calls Sample without parsing its reply.
  grpc::TemplatedGenericStub<proto::SampleRequest, grpc::ByteBuffer> sample_stub_;

  Mutex mu_;
  CondVar left_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  size_t running_ ABSL_GUARDED_BY(mu_) = 0;  // calls whose callback has not ended
  std::unordered_set<grpc::ClientContext*> cancellable_ ABSL_GUARDED_BY(mu_);
};

ShardClient::ShardClient(ShardClientOptions options, std::shared_ptr<grpc::Channel> channel)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(channel))) {}
ShardClient::~ShardClient() = default;

absl::StatusOr<proto::ShardInfo> ShardClient::Configure() {
  const ShardClientOptions& options = impl_->options();
  auto request = impl_->New<proto::ConfigureRequest>();
  request.set_shard_index(options.shard_index);
  request.set_shard_count(options.shard_count);
  *request.mutable_spec() = options.spec;
  request.set_horizon(options.horizon);
  request.set_capacity_rows(options.capacity_rows);
  request.set_capacity_bytes(options.capacity_bytes);
  request.set_chunk_rows(options.chunk_rows);
  request.set_min_plan_std(options.min_plan_std);
  request.set_max_plan_std(options.max_plan_std);
  request.set_task(ToUtf8(options.task));
  request.set_action_repeat(options.action_repeat);
  *request.mutable_replay() = options.replay;
  FillStart(options.start, request.mutable_learner_start());
  return impl_->Wait<proto::ConfigureRequest, proto::ShardInfo>(&Impl::Stub::async::Configure,
                                                                std::move(request));
}

absl::StatusOr<proto::ShardInfo> ShardClient::Grant(const RowGrant& grant) {
  auto request = impl_->New<proto::GrantRequest>();
  request.set_max_accepted_rows(grant.max_accepted_rows);
  // Reasons may name paths and addresses, which are any bytes; protobuf's text fields are UTF-8.
  request.set_reason(ToUtf8(grant.reason));
  request.set_seed_phase_over(grant.seed_phase_over);
  FillStart(impl_->options().start, request.mutable_learner_start());
  if (grant.newest_version.has_value()) {
    request.mutable_newest_version()->set_incarnation(grant.newest_version->incarnation);
    request.mutable_newest_version()->set_number(grant.newest_version->number);
  }
  if (grant.newest_lease.has_value()) request.set_newest_lease(*grant.newest_lease);
  return impl_->Wait<proto::GrantRequest, proto::ShardInfo>(&Impl::Stub::async::Grant,
                                                            std::move(request));
}

absl::StatusOr<proto::ShardInfo> ShardClient::Info() {
  return impl_->Wait<proto::InfoRequest, proto::ShardInfo>(&Impl::Stub::async::Info,
                                                           impl_->New<proto::InfoRequest>());
}

void ShardClient::SampleAsync(uint32_t count, uint64_t seed, SampleCallback done) {
  auto request = impl_->New<proto::SampleRequest>();
  request.set_count(count);
  request.set_seed(seed);
  const ShardClientOptions& options = impl_->options();
  request.set_table(options.table);
  const RowSpec spec{options.spec.observation_size(), options.spec.action_size()};
  impl_->StartSample(std::move(request),
                     [spec, count, horizon = options.horizon,
                      done = std::move(done)](const absl::StatusOr<grpc::ByteBuffer>& reply) {
                       // Sizes are checked here, once: behind this the learner reads columns
                       // without looking.
                       if (!reply.ok()) return done(reply.status());
                       done(WindowBatch::Parse(*reply, spec, count, horizon));
                     });
}

absl::StatusOr<WindowBatch> ShardClient::Sample(uint32_t count, uint64_t seed) {
  return Await<absl::StatusOr<WindowBatch>>(
      [&](SampleCallback done) { SampleAsync(count, seed, std::move(done)); });
}

absl::StatusOr<proto::UpdatePlansReply> ShardClient::UpdatePlans(
    const Opening& opening, std::span<const uint64_t> addresses, std::span<const float> plan_mean,
    std::span<const float> plan_std) {
  const size_t a = impl_->options().spec.action_size();
  POMPC_CHECK_EQ(plan_mean.size(), addresses.size() * a);
  POMPC_CHECK_EQ(plan_std.size(), addresses.size() * a);
  // A batch of plans may be larger than a request; rows are independent, so it is sent in parts.
  const size_t rows_at_once = rpc::ItemsPerRequest(PlanUpdateBytes(a), addresses.size() + 1);
  proto::UpdatePlansReply sum;
  for (size_t begin = 0; begin < addresses.size(); begin += rows_at_once) {
    const size_t rows = std::min(rows_at_once, addresses.size() - begin);
    auto request = impl_->New<proto::UpdatePlansRequest>();
    FillStart(impl_->options().start, request.mutable_learner_start());
    request.set_count(static_cast<uint32_t>(rows));
    request.set_shard_incarnation(opening.incarnation);
    request.set_opening(opening.opening);
    request.set_addresses(Bytes(addresses.subspan(begin, rows)));
    request.set_plan_mean(Bytes(plan_mean.subspan(begin * a, rows * a)));
    request.set_plan_std(Bytes(plan_std.subspan(begin * a, rows * a)));
    POMPC_ASSIGN_OR_RETURN(const proto::UpdatePlansReply reply,
                           (impl_->Wait<proto::UpdatePlansRequest, proto::UpdatePlansReply>(
                               &Impl::Stub::async::UpdatePlans, std::move(request))));
    // If a later part fails, the earlier ones stay replaced. That does no harm, as each row's plan
    // stands for itself.
    sum.set_updated(sum.updated() + reply.updated());
    sum.set_evicted(sum.evicted() + reply.evicted());
  }
  return sum;
}

absl::StatusOr<proto::UpdatePrioritiesReply> ShardClient::UpdatePriorities(
    const Opening& opening, std::span<const uint64_t> addresses,
    std::span<const float> priorities) {
  POMPC_CHECK_EQ(priorities.size(), addresses.size());
  proto::UpdatePrioritiesReply sum;
  for (size_t begin = 0; begin < addresses.size(); begin += kMaxWindows) {
    const size_t windows = std::min<size_t>(kMaxWindows, addresses.size() - begin);
    auto request = impl_->New<proto::UpdatePrioritiesRequest>();
    FillStart(impl_->options().start, request.mutable_learner_start());
    request.set_count(static_cast<uint32_t>(windows));
    request.set_table(impl_->options().table);
    request.set_shard_incarnation(opening.incarnation);
    request.set_opening(opening.opening);
    request.set_addresses(Bytes(addresses.subspan(begin, windows)));
    request.set_priorities(Bytes(priorities.subspan(begin, windows)));
    POMPC_ASSIGN_OR_RETURN(
        const proto::UpdatePrioritiesReply reply,
        (impl_->Wait<proto::UpdatePrioritiesRequest, proto::UpdatePrioritiesReply>(
            &Impl::Stub::async::UpdatePriorities, std::move(request))));
    sum.set_updated(sum.updated() + reply.updated());
    sum.set_gone(sum.gone() + reply.gone());
  }
  return sum;
}

absl::StatusOr<proto::BarWindowsReply> ShardClient::BarWindows(
    const Opening& opening, std::span<const uint64_t> addresses) {
  auto request = impl_->New<proto::BarWindowsRequest>();
  FillStart(impl_->options().start, request.mutable_learner_start());
  request.set_count(static_cast<uint32_t>(addresses.size()));
  request.set_shard_incarnation(opening.incarnation);
  request.set_opening(opening.opening);
  request.set_addresses(Bytes(addresses));
  return impl_->Wait<proto::BarWindowsRequest, proto::BarWindowsReply>(
      &Impl::Stub::async::BarWindows, std::move(request));
}

absl::StatusOr<proto::ImportRowsReply> ShardClient::ImportRows(
    uint32_t data_set, std::vector<proto::ImportedRows> chunks) {
  auto request = impl_->New<proto::ImportRowsRequest>();
  request.set_data_set(data_set);
  for (proto::ImportedRows& chunk : chunks) *request.add_chunks() = std::move(chunk);
  return impl_->Wait<proto::ImportRowsRequest, proto::ImportRowsReply>(
      &Impl::Stub::async::ImportRows, std::move(request));
}

void ShardClient::Close() { impl_->Close(); }

const ShardClientOptions& ShardClient::options() const { return impl_->options(); }

std::vector<uint32_t> SplitBatch(uint32_t batch, std::span<const uint64_t> masses, uint64_t seed) {
  std::vector<uint32_t> shares(masses.size(), 0);
  // Every machine must split alike: std::discrete_distribution is left out, because the standard
  // leaves to each library how it draws.
  // cumulative[i]: mass of shards 0 .. i. Each draw picks a point of the union.
  std::vector<uint64_t> cumulative(masses.size());
  std::partial_sum(masses.begin(), masses.end(), cumulative.begin());
  POMPC_CHECK(std::is_sorted(cumulative.begin(), cumulative.end()), "the sum of masses overflows");
  if (cumulative.empty() || cumulative.back() == 0) return shares;
  Random random(seed);
  // One draw for each window is slower than a multinomial sampler, and needs no floating point: the
  // split is exact. A batch of 256 takes microseconds.
  for (uint32_t i = 0; i < batch; ++i) {
    const uint64_t point = random.Below(cumulative.back());
    const auto shard = std::upper_bound(cumulative.begin(), cumulative.end(), point);
    POMPC_DCHECK(shard != cumulative.end());
    ++shares[shard - cumulative.begin()];
  }
  return shares;
}

}  // namespace pompc::replay
