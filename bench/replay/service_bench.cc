// One shard through gRPC, in-process, over loopback, and there with certificates: what actors and
// the learner see. For the last (loopback:2) POMPC_CERTIFICATES names a folder of
// deploy/certificates.sh.
#include <memory>
#include <vector>

#include "bench/secured.h"
#include "benchmark/benchmark.h"
#include "common/rpc/server.h"
#include "replay/client/shard_client.h"
#include "replay/client/trajectory_writer.h"
#include "replay/service.h"

namespace pompc::replay {
namespace {

constexpr RowSpec kSpec{.observation_size = 24, .action_size = 6};
constexpr uint32_t kHorizon = 3;
constexpr uint32_t kEpisodeRows = 500;
constexpr absl::Duration kLong = absl::Seconds(60);

// A shard, its server, and the learner's client of it.
class Cluster {
 public:
  explicit Cluster(int64_t connection) {
    rpc::ServerOptions options;
    if (connection != kInProcess) options.listen = "127.0.0.1:0";
    options.certificates = CertificatesOf(connection, proto::Access::REPLAY);
    server_ = *rpc::Server::Start(options, {&service_});
    const auto channel = [&](rpc::Role role) {
      if (connection == kInProcess) return server_->InProcessChannel();
      const rpc::Trust trust = {CertificatesOf(connection, role), proto::Access::REPLAY};
      return rpc::Endpoint(server_->address(), trust).Channel();
    };
    channel_ = channel(proto::Access::ACTOR);
    ShardClientOptions client;
    client.run_id = "run";
    client.spec.set_observation_size(kSpec.observation_size);
    client.spec.set_action_size(kSpec.action_size);
    client.horizon = kHorizon;
    client.capacity_rows = 200000;
    client.capacity_bytes = uint64_t{1} << 34;
    client_ = std::make_unique<ShardClient>(client, channel(proto::Access::LEARNER));
    (void)client_->Configure();
    (void)client_->Grant({~uint64_t{0}, "", false});
  }

  std::unique_ptr<TrajectoryWriter> NewWriter(uint32_t environments) {
    TrajectoryWriterOptions options;
    options.run_id = "run";
    options.incarnation = ++incarnation_;
    options.spec = kSpec;
    options.shard_of_environment.assign(environments, 0);
    options.shards = {channel_};
    auto writer = std::make_unique<TrajectoryWriter>(options, Clock::Real());
    for (uint32_t e = 0; e < environments; ++e) writer->BeginEpisode(e);
    return writer;
  }
  ShardClient& client() { return *client_; }

 private:
  Shard shard_{1, Clock::Real(), std::make_unique<MemoryStore>()};
  Service service_{&shard_};
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<ShardClient> client_;
  uint64_t incarnation_ = 0;
};

// Appends one row to every environment; every kEpisodeRows rounds the episodes end.
class Rollout {
 public:
  Rollout(TrajectoryWriter* writer, uint32_t environments)
      : writer_(writer), environments_(environments) {}
  void Step() {
    RowView row;
    row.Set<float>("observations", observation_);
    row.Set<float>("actions", action_);
    row.Set<float>("rewards", zero_);
    row.Set<uint8_t>("terminated", no_);
    row.Set<uint8_t>("has_plan", yes_);
    row.Set<float>("plan_mean", action_);
    row.Set<float>("plan_std", std_);
    row.Set<float>("plan_value", zero_);
    row.Set<ParameterVersion>("versions", version_);
    for (uint32_t e = 0; e < environments_; ++e) (void)writer_->Append(e, row, kLong);
    if (++step_ % kEpisodeRows != 0) return;
    for (uint32_t e = 0; e < environments_; ++e) {
      (void)writer_->EndEpisode(e, observation_);
      writer_->BeginEpisode(e);
    }
  }

 private:
  TrajectoryWriter* const writer_;
  const uint32_t environments_;
  const std::vector<float> observation_ = std::vector<float>(kSpec.observation_size, 0.5f);
  const std::vector<float> action_ = std::vector<float>(kSpec.action_size, 0.25f);
  const std::vector<float> std_ = std::vector<float>(kSpec.action_size, 1.0f);
  const float zero_ = 0;
  const uint8_t no_ = 0, yes_ = 1;
  const ParameterVersion version_ = {1, 1};
  uint64_t step_ = 0;
};

void BM_Write(benchmark::State& state) {
  const uint32_t environments = static_cast<uint32_t>(state.range(1));
  Cluster cluster(state.range(0));
  const std::unique_ptr<TrajectoryWriter> writer = cluster.NewWriter(environments);
  Rollout rollout(writer.get(), environments);
  for (auto _ : state) rollout.Step();
  if (!writer->Flush(kLong).ok()) state.SkipWithError("rows were not acknowledged");
  state.SetItemsProcessed(state.iterations() * environments);
}
BENCHMARK(BM_Write)
    ->ArgNames({"loopback", "environments"})
    ->ArgsProduct({{0, 1, 2}, {1, 64}})
    ->UseRealTime();

void BM_Sample(benchmark::State& state) {
  const uint32_t count = static_cast<uint32_t>(state.range(1));
  Cluster cluster(state.range(0));
  const std::unique_ptr<TrajectoryWriter> writer = cluster.NewWriter(1);
  Rollout rollout(writer.get(), 1);
  for (int i = 0; i < 20000; ++i) rollout.Step();
  (void)writer->Flush(kLong);
  uint64_t seed = 0;
  for (auto _ : state) {
    const absl::StatusOr<WindowBatch> batch = cluster.client().Sample(count, seed++);
    if (!batch.ok()) state.SkipWithError(batch.status().ToString().c_str());
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(BM_Sample)
    ->ArgNames({"loopback", "windows"})
    ->ArgsProduct({{0, 1, 2}, {128, 256}})
    ->UseRealTime();

}  // namespace
}  // namespace pompc::replay
