#ifndef POMPC_TESTS_REPLAY_SERVICE_FIXTURE_H_
#define POMPC_TESTS_REPLAY_SERVICE_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "common/rpc/wire.h"
#include "common/values/float_bytes.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "replay/service.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {

inline constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
inline constexpr absl::Duration kTimeout = absl::Seconds(20);

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return ToBytes(absl::MakeConstSpan(values));
}

inline proto::AppendRequest Chunk(uint32_t environment, uint64_t first_row,
                                  const RowBuilder& rows) {
  proto::AppendRequest request;
  *request.mutable_header() = rpc::MakeHeader("run-a");
  request.mutable_stream()->set_actor_index(1);
  request.mutable_stream()->set_incarnation(1);
  request.mutable_stream()->set_environment(environment);
  request.set_first_row(first_row);
  proto::Rows* to = request.mutable_rows();
  to->set_count(rows.View().count);
  to->set_observations(Bytes(rows.observations_));
  to->set_actions(Bytes(rows.actions_));
  to->set_rewards(Bytes(rows.rewards_));
  to->set_terminated(Bytes(rows.terminated_));
  to->set_plan_mean(Bytes(rows.plan_mean_));
  to->set_plan_std(Bytes(rows.plan_std_));
  to->set_plan_value(Bytes(rows.plan_value_));
  to->set_has_plan(Bytes(rows.has_plan_));
  to->set_final_observation(Bytes(rows.final_));
  for (const ParameterVersion& v : rows.versions_) {
    proto::ParameterVersion* version = to->add_versions();
    version->set_incarnation(v.incarnation);
    version->set_number(v.number);
  }
  return request;
}

// An Append call from the writer's side, chunk by chunk.
class Stream {
 public:
  explicit Stream(proto::ReplayService::Stub& stub) {
    context_.set_deadline(rpc::DeadlineAfter(kTimeout));
    call_ = stub.Append(&context_);
  }
  proto::AppendReply Exchange(const proto::AppendRequest& request) {
    EXPECT_TRUE(call_->Write(request));
    return Read();
  }
  bool Write(const proto::AppendRequest& request) { return call_->Write(request); }
  proto::AppendReply Read() {
    proto::AppendReply reply;
    EXPECT_TRUE(call_->Read(&reply));
    return reply;
  }
  // Ends the call from this side.
  absl::Status Finish() {
    call_->WritesDone();
    return AwaitEnd();
  }
  // What the call ends with; replies that still come are dropped.
  absl::Status AwaitEnd() {
    proto::AppendReply reply;
    while (call_->Read(&reply)) {
    }
    return rpc::FromGrpc(call_->Finish());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<proto::AppendRequest, proto::AppendReply>> call_;
};

class ServiceTest : public ::testing::Test {
 protected:
  using Stub = proto::ReplayService::Stub;

  ServiceTest() {
    auto server = rpc::Server::Start({}, {&service_});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = proto::ReplayService::NewStub(server_->InProcessChannel());
  }

  template <typename Request>
  static Request New(const std::string& run_id = "run-a") {
    Request request;
    *request.mutable_header() = rpc::MakeHeader(run_id);
    return request;
  }
  static proto::ConfigureRequest ConfigureMessage(const std::string& run_id = "run-a") {
    auto request = New<proto::ConfigureRequest>(run_id);
    request.set_shard_index(1);
    request.mutable_spec()->set_observation_size(3);
    request.mutable_spec()->set_action_size(2);
    request.set_horizon(3);
    request.set_capacity_rows(1000);
    request.set_capacity_bytes(uint64_t{1} << 30);
    request.mutable_spec()->set_terminates(true);
    return request;
  }
  absl::StatusOr<proto::ShardInfo> Configure(const proto::ConfigureRequest& request) {
    return rpc::CallUnary(*stub_, &Stub::Configure, request, kTimeout);
  }
  absl::StatusOr<proto::ShardInfo> Grant(uint64_t rows, bool seed_phase_over = false) {
    auto request = New<proto::GrantRequest>();
    request.set_max_accepted_rows(rows);
    request.set_reason("rows run ahead of updates");
    request.set_seed_phase_over(seed_phase_over);
    return rpc::CallUnary(*stub_, &Stub::Grant, request, kTimeout);
  }
  absl::StatusOr<proto::ShardInfo> Info(const std::string& run_id = "run-a") {
    return rpc::CallUnary(*stub_, &Stub::Info, New<proto::InfoRequest>(run_id), kTimeout);
  }
  absl::StatusOr<proto::SampleReply> Sample(uint32_t count) {
    auto request = New<proto::SampleRequest>();
    request.set_count(count);
    return rpc::CallUnary(*stub_, &Stub::Sample, request, kTimeout);
  }
  void Open(uint64_t granted = 1000000) {
    ASSERT_TRUE(Configure(ConfigureMessage()).ok());
    ASSERT_TRUE(Grant(granted).ok());
  }

  Shard shard_{42, Clock::Real(), std::make_unique<MemoryStore>()};
  Service service_{&shard_};
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_SERVICE_FIXTURE_H_
