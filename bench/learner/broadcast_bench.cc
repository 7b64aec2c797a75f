// What it costs the learner to send parameters to many planners, over ports of loopback: the time
// from publication until every subscriber holds a verified copy, the learner's CPU time, and the
// most memory it held.
//
// The subscribers are a process of their own on another core, each with its own connection; the
// learner keeps to the first core it may use. The bytes stand for parameters: nothing here looks at
// them but the checksum.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/support/process.h"
#include "benchmark/benchmark.h"
#include "common/base/threads.h"
#include "common/process/log.h"
#include "common/rpc/server.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "parameters/parameter_service.h"
#include "parameters/parameter_subscriber.h"
#include "parameters/publisher.h"

namespace pompc::learner {
namespace {

constexpr char kSubscribe[] = "--subscribe";

// Models of the cart-pole in presets/quickstart.textproto's size and of the size 5M, as float32 and
// as bfloat16.
constexpr int64_t kTinyBytes = 600 << 10;
constexpr int64_t k5MBytes = 20 << 20;

// Which version each subscriber holds; says, when the oldest of them changes, what it is.
class Progress {
 public:
  explicit Progress(int subscribers) : numbers_(subscribers) {}

  void Received(int subscriber, uint64_t number) {
    MutexLock lock(&mu_);
    numbers_[subscriber] = std::max(numbers_[subscriber], number);
    const uint64_t oldest = *std::min_element(numbers_.begin(), numbers_.end());
    if (oldest == said_) return;
    said_ = oldest;
    bench::WriteLine(absl::StrCat(oldest));
  }

 private:
  Mutex mu_;
  std::vector<uint64_t> numbers_ ABSL_GUARDED_BY(mu_);
  uint64_t said_ ABSL_GUARDED_BY(mu_) = 0;
};

// The process of the subscribers.
int Subscribe(const std::string& address, int count) {
  bench::StayOnOneCore(/*first=*/false);
  (void)SetUpLogging({.level = "off"});
  grpc::ChannelArguments own_connection = rpc::MakeChannelArguments({});
  own_connection.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  Progress progress(count);
  std::vector<std::unique_ptr<parameters::ParameterSubscriber>> subscribers;
  for (int i = 0; i < count; ++i) {
    parameters::ParameterSubscriberOptions options;
    options.learner = rpc::Endpoint(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), own_connection));
    subscribers.push_back(std::make_unique<parameters::ParameterSubscriber>(
        options, [&progress, i](const parameters::ParameterSnapshot& snapshot) {
          progress.Received(i, snapshot.version().number);
          return absl::OkStatus();
        }));
  }
  bench::AwaitEndOfInput();
  return 0;
}

// A learner's broadcast with so many subscribers, all of which hold version 1.
class Broadcast {
 public:
  Broadcast(int subscribers, const parameters::ParameterSnapshot& first) {
    (void)SetUpLogging({.level = "off"});
    server_ = *rpc::Server::Start({.listen = "127.0.0.1:0"}, {&service_});
    peers_ = std::make_unique<bench::PeerProcess>(
        std::vector<std::string>{kSubscribe, server_->address(), absl::StrCat(subscribers)});
    Publish(first);
    Await(number_);
  }
  ~Broadcast() { publisher_.Close(); }

  // Publishes it under the next number, which is returned. Copies share the data.
  uint64_t Publish(parameters::ParameterSnapshot snapshot) {
    snapshot.description.mutable_version()->set_number(++number_);
    publisher_.Publish(std::move(snapshot));
    return number_;
  }
  // Until every subscriber has this version or a newer one.
  void Await(uint64_t number) {
    while (held_ < number) held_ = std::strtoull(peers_->ReadLine().c_str(), nullptr, 10);
  }
  parameters::ParameterService::Stats stats() const { return service_.stats(); }

 private:
  parameters::Publisher publisher_;
  parameters::ParameterService service_{&publisher_, {.run_id = "run"}};
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<bench::PeerProcess> peers_;
  uint64_t number_ = 0;
  uint64_t held_ = 0;
};

parameters::ParameterSnapshot Snapshot(int64_t bytes) {
  proto::ParametersDescription description;
  description.mutable_version()->set_incarnation(1);
  description.set_run_id("run");
  return parameters::MakeSnapshot(std::move(description),
                                  std::make_shared<std::string>(bytes, 'x'));
}

double Megabytes(uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

// One version after the other, each when all have the one before.
void BM_Version(benchmark::State& state) {
  const parameters::ParameterSnapshot snapshot = Snapshot(state.range(0));
  const auto subscribers = static_cast<int>(state.range(1));
  Broadcast broadcast(subscribers, snapshot);
  bench::ResetPeakMemory();
  const bench::Usage before = bench::UsageNow();
  for (auto _ : state) broadcast.Await(broadcast.Publish(snapshot));
  const auto versions = static_cast<double>(state.iterations());
  const bench::Usage after = bench::UsageNow();
  state.counters["cpu_ms"] = (after.cpu_us - before.cpu_us) / 1000 / versions;
  state.counters["kernel_ms"] = (after.kernel_us - before.kernel_us) / 1000 / versions;
  state.counters["peak_mb"] = Megabytes(bench::PeakMemory());
  state.SetBytesProcessed(state.iterations() * subscribers * state.range(0));
}
BENCHMARK(BM_Version)
    ->ArgNames({"bytes", "subscribers"})
    ->ArgsProduct({{kTinyBytes / 2, kTinyBytes, k5MBytes / 2, k5MBytes}, {1, 2, 4, 8, 16, 32, 64}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// Twenty versions at once, each with bytes of its own: how many of them a subscriber is sent
// until it has the newest, and how much memory that takes.
void BM_Burst(benchmark::State& state) {
  constexpr int kVersions = 20;
  const auto subscribers = static_cast<int>(state.range(1));
  Broadcast broadcast(subscribers, Snapshot(state.range(0)));
  bench::ResetPeakMemory();
  const uint64_t sent = broadcast.stats().versions_sent;
  for (auto _ : state) {
    uint64_t newest = 0;
    for (int i = 0; i < kVersions; ++i) newest = broadcast.Publish(Snapshot(state.range(0)));
    broadcast.Await(newest);
  }
  state.counters["sent"] = static_cast<double>(broadcast.stats().versions_sent - sent) /
                           static_cast<double>(state.iterations() * subscribers);
  state.counters["peak_mb"] = Megabytes(bench::PeakMemory());
}
BENCHMARK(BM_Burst)
    ->ArgNames({"bytes", "subscribers"})
    ->ArgsProduct({{kTinyBytes, k5MBytes}, {1, 8, 64}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pompc::learner

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == pompc::learner::kSubscribe) {
    return pompc::learner::Subscribe(argv[2], std::atoi(argv[3]));
  }
  pompc::bench::StayOnOneCore(/*first=*/true);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
