// One process of clients of a replay shard under load: some writers, or the learner that samples.
// bench/replay/versus_reverb.py starts it, beside a shard of its own process:
//
//   build/release/bench/replay/replay_load {writer|learner} '{"port": 50061, ...}'
//
// The second argument is a JSON object (Settings below). It answers {"ready": true}, and then each
// line of its input: `fill N` (append N rows and wait for the acknowledgements), `run` (work until
// the end of the input, without an answer), `begin` and `end`, between which it measures: rows
// acknowledged or windows received, CPU seconds of the process, and latencies. reverb_peer.py
// speaks the same lines.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <deque>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/support/process.h"
#include "common/base/threads.h"
#include "common/process/freed_memory.h"
#include "common/rpc/endpoint.h"
#include "replay/client/shard_client.h"
#include "replay/client/trajectory_writer.h"
#include "replay/core/random.h"

namespace pompc::replay {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kEpisodeRows = 500;
// Different rows that are appended in turn; their numbers are random, as those of the peer are.
constexpr uint64_t kPoolRows = 1024;
constexpr absl::Duration kLong = absl::Seconds(60);
constexpr absl::Duration kProbePause = absl::Milliseconds(20);

struct Settings {
  uint16_t port = 0;
  RowSpec spec;
  uint32_t horizon = 0;
  uint64_t capacity_rows = 0;
  uint64_t seed = 0;
  // Writers: how many TrajectoryWriters, each with a stream of its own, how many environments of
  // each, and the actor index of the first. With `probe`, one more writer appends a row at a time
  // and waits for its acknowledgement.
  uint32_t writers = 1;
  uint32_t environments = 1;
  uint32_t first_actor = 0;
  bool probe = false;
  // The learner: windows of a batch, batches in flight. It keeps to `windows_per_row` sampled
  // windows for each row beyond the first fill_rows, give or take slack_rows rows; 0: no bound.
  uint32_t batch = 0;
  uint32_t batches_in_flight = 0;
  double windows_per_row = 0;
  uint64_t fill_rows = 0;
  uint64_t slack_rows = 0;

  std::shared_ptr<grpc::Channel> Channel() const {
    return rpc::Endpoint("127.0.0.1:" + std::to_string(port)).Channel();
  }
};

Settings ReadSettings(const Json& json) {
  Settings s;
  s.port = json.at("port");
  s.spec = {json.at("observation_size"), json.at("action_size")};
  s.horizon = json.at("horizon");
  s.capacity_rows = json.at("capacity_rows");
  s.seed = json.at("seed");
  s.writers = json.at("writers");
  s.environments = json.at("environments");
  s.first_actor = json.at("first_actor");
  s.probe = json.at("probe");
  s.batch = json.at("batch");
  s.batches_in_flight = json.at("batches_in_flight");
  s.windows_per_row = json.at("windows_per_row");
  s.fill_rows = json.at("fill_rows");
  s.slack_rows = json.at("slack_rows");
  return s;
}

// Latencies since Reset. Thread-safe.
class Latencies {
 public:
  void Add(absl::Duration latency) {
    MutexLock lock(&mu_);
    seconds_.push_back(absl::ToDoubleSeconds(latency));
  }
  void Reset() {
    MutexLock lock(&mu_);
    seconds_.clear();
  }
  std::vector<double> seconds() const {
    MutexLock lock(&mu_);
    return seconds_;
  }

 private:
  mutable Mutex mu_;
  std::vector<double> seconds_ ABSL_GUARDED_BY(mu_);
};

// What a process does. `run` starts its threads, which the destructor joins.
class Load {
 public:
  virtual ~Load() = default;
  virtual void Fill(uint64_t rows) = 0;
  virtual void Run() = 0;
  // What is counted, and how much of it so far.
  virtual const char* what() const = 0;
  virtual uint64_t count() const = 0;
  Latencies& latencies() { return latencies_; }

 protected:
  Latencies latencies_;
};

class Writers : public Load {
 public:
  explicit Writers(const Settings& settings) : settings_(settings) {
    const RowSpec& spec = settings.spec;
    Random random(settings.seed);
    pool_.resize(kPoolRows * (spec.observation_size + spec.action_size));
    for (float& number : pool_) number = static_cast<float>(random.Below(1 << 24)) / (1 << 24);
    for (uint32_t i = 0; i < settings.writers; ++i) {
      writers_.push_back(MakeWriter(settings.first_actor + i, settings.environments));
    }
  }
  ~Writers() override {
    stopping_.Set();
    thread_.Join();
    probe_.Join();
  }

  void Fill(uint64_t rows) override {
    for (uint64_t appended = 0; appended < rows;) appended += Step();
    for (const auto& writer : writers_) POMPC_CHECK_OK(writer->Flush(kLong));
  }
  void Run() override {
    thread_ = Thread("rows", [this] {
      while (!stopping_.IsSet()) Step();
    });
    if (settings_.probe) probe_ = Thread("probe", [this] { Probe(); });
  }
  const char* what() const override { return "rows"; }
  uint64_t count() const override {
    uint64_t acked = 0;
    for (const auto& writer : writers_) acked += writer->stats().acked_rows;
    return acked;
  }

 private:
  std::unique_ptr<TrajectoryWriter> MakeWriter(uint32_t actor, uint32_t environments) const {
    TrajectoryWriterOptions options;
    options.run_id = "run";
    options.actor_index = actor;
    options.incarnation = 1;
    options.spec = settings_.spec;
    options.shard_of_environment.assign(environments, 0);
    options.shards = {settings_.Channel()};
    options.seed = actor;
    auto writer = std::make_unique<TrajectoryWriter>(options, Clock::Real());
    for (uint32_t e = 0; e < environments; ++e) writer->BeginEpisode(e);
    return writer;
  }

  // Appends the next row to each environment of each writer; returns how many these are. Where the
  // shard takes no more rows, Append waits for it.
  uint64_t Step() {
    const RowView row = Row(step_++);
    const bool ends = step_ % kEpisodeRows == 0;
    uint64_t appended = 0;
    for (const auto& writer : writers_) {
      for (uint32_t e = 0; e < settings_.environments; ++e) {
        if (!Append(writer.get(), e, row)) return appended;
        ++appended;
        if (!ends) continue;
        POMPC_CHECK_OK(writer->EndEpisode(e, row.Get<float>("observations")));
        writer->BeginEpisode(e);
      }
    }
    return appended;
  }

  // Waits in parts, so that a process whose shard holds the rows back can be stopped.
  bool Append(TrajectoryWriter* writer, uint32_t environment, const RowView& row) {
    while (!stopping_.IsSet()) {
      const absl::Status status = writer->Append(environment, row, absl::Milliseconds(200));
      if (status.ok()) return true;
      POMPC_CHECK(absl::IsDeadlineExceeded(status), status.ToString());
    }
    return false;
  }

  RowView Row(uint64_t number) const {
    const RowSpec& spec = settings_.spec;
    const std::span<const float> numbers(pool_);
    const size_t begin = number % kPoolRows * (spec.observation_size + spec.action_size);
    const auto action = numbers.subspan(begin + spec.observation_size, spec.action_size);
    RowView row;
    row.Set<float>("observations", numbers.subspan(begin, spec.observation_size));
    row.Set<float>("actions", action);
    row.Set<float>("rewards", reward_);
    row.Set<uint8_t>("terminated", no_);
    row.Set<uint8_t>("has_plan", yes_);
    row.Set<float>("plan_mean", action);
    row.Set<float>("plan_std", std_);
    row.Set<float>("plan_value", reward_);
    row.Set<ParameterVersion>("versions", version_);
    return row;
  }

  // One row at a time: how long an acknowledgement takes beside the writers.
  void Probe() {
    const auto writer = MakeWriter(settings_.first_actor + settings_.writers, 1);
    Clock* const clock = Clock::Real();
    for (uint64_t i = 0; !stopping_.WaitUntil(clock, clock->Now() + kProbePause); ++i) {
      const absl::Duration start = clock->Now();
      POMPC_CHECK_OK(writer->Append(0, Row(i), kLong));
      POMPC_CHECK_OK(writer->Flush(kLong));
      latencies_.Add(clock->Now() - start);
    }
  }

  const Settings settings_;
  std::vector<float> pool_;
  const float reward_ = 0.5f;
  const uint8_t no_ = 0, yes_ = 1;
  const ParameterVersion version_ = {1, 1};
  const std::vector<float> std_ = std::vector<float>(settings_.spec.action_size, 0.5f);
  std::vector<std::unique_ptr<TrajectoryWriter>> writers_;
  uint64_t step_ = 0;
  Event stopping_;
  Thread thread_, probe_;
};

// Opens the shard, grants rows and, once it runs, draws batches and joins their columns, as the
// learner does, in memory that it reuses.
class Learner : public Load {
 public:
  explicit Learner(const Settings& settings)
      : settings_(settings), client_(Options(settings), settings.Channel()) {
    const absl::StatusOr<proto::ShardInfo> info = client_.Configure();
    POMPC_CHECK_OK(info.status());
    Grant();
    thread_ = Thread("batches", [this] { Work(); });
  }
  ~Learner() override {
    stopping_.Set();
    thread_.Join();
    client_.Close();
  }

  void Fill(uint64_t /*rows*/) override {}
  void Run() override { running_.Set(); }
  const char* what() const override { return "windows"; }
  uint64_t count() const override { return windows_.load(); }

 private:
  using Share = absl::StatusOr<WindowBatch>;
  struct Pending {
    Event arrived;
    std::optional<Share> share;
  };

  static ShardClientOptions Options(const Settings& settings) {
    ShardClientOptions options;
    options.run_id = "run";
    options.spec.set_observation_size(settings.spec.observation_size);
    options.spec.set_action_size(settings.spec.action_size);
    options.horizon = settings.horizon;
    options.capacity_rows = settings.capacity_rows;
    options.capacity_bytes = uint64_t{1} << 40;
    return options;
  }

  bool Limited() const { return settings_.windows_per_row > 0; }

  // Grants as many rows as the windows drawn so far allow, and learns how many there are.
  void Grant() {
    granted_ = ~uint64_t{0};
    if (Limited()) {
      granted_ = settings_.fill_rows + settings_.slack_rows +
                 static_cast<uint64_t>(static_cast<double>(requested_) / settings_.windows_per_row);
    }
    const auto info = client_.Grant({granted_, "the windows drawn so far allow no more", false});
    POMPC_CHECK_OK(info.status());
    accepted_ = info->accepted_rows();
    granted_at_ = Clock::Real()->Now();
  }

  // Grants go out four times a second, and in between when half of the slack is used up.
  void GrantIfDue() {
    const bool used = Limited() && granted_ - std::min(granted_, accepted_) < settings_.slack_rows;
    const absl::Duration age = Clock::Real()->Now() - granted_at_;
    if (age > absl::Milliseconds(250) || (used && age > absl::Milliseconds(5))) Grant();
  }

  bool MayDraw() const {
    if (!Limited()) return true;
    const double rows = static_cast<double>(accepted_ - std::min(accepted_, settings_.fill_rows));
    return static_cast<double>(requested_ + settings_.batch) <=
           settings_.windows_per_row * (rows + static_cast<double>(settings_.slack_rows));
  }

  void Request() {
    auto pending = std::make_shared<Pending>();
    requested_ += settings_.batch;
    client_.SampleAsync(settings_.batch, ++seed_, [pending](Share share) {
      pending->share.emplace(std::move(share));
      pending->arrived.Set();
    });
    pending_.push_back(std::move(pending));
  }

  void Work() {
    Clock* const clock = Clock::Real();
    while (!stopping_.IsSet()) {
      GrantIfDue();
      if (!running_.IsSet()) {
        stopping_.WaitUntil(clock, clock->Now() + absl::Milliseconds(5));
        continue;
      }
      const absl::Duration start = clock->Now();
      while (pending_.size() < settings_.batches_in_flight && MayDraw()) Request();
      if (pending_.empty()) {
        stopping_.WaitUntil(clock, clock->Now() + absl::Milliseconds(1));
        continue;
      }
      pending_.front()->arrived.Wait();
      Take(*pending_.front()->share);
      pending_.pop_front();
      latencies_.Add(clock->Now() - start);
    }
    for (const auto& pending : pending_) pending->arrived.Wait();
  }

  void Take(const Share& share) {
    POMPC_CHECK_OK(share.status());
    for (size_t c = 0; c < kNumColumns; ++c) {
      if (kColumns[c].in_window == InWindow::kNever) continue;
      columns_[c].resize(share->bytes(c));
      share->CopyTo(c, columns_[c].data());
    }
    accepted_ = share->info().accepted_rows();
    windows_ += share->count();
  }

  const Settings settings_;
  ShardClient client_;
  Event running_, stopping_;
  std::atomic<uint64_t> windows_ = 0;
  // These belong to the thread, once it has started.
  std::deque<std::shared_ptr<Pending>> pending_;
  std::array<std::vector<std::byte>, kNumColumns> columns_;
  uint64_t requested_ = 0, accepted_ = 0, granted_ = 0, seed_ = 0;
  absl::Duration granted_at_;
  Thread thread_;
};

void Serve(Load& load) {
  Clock* const clock = Clock::Real();
  uint64_t count = 0;
  double cpu_us = 0;
  absl::Duration start;
  bench::WriteLine(Json{{"ready", true}}.dump());
  for (std::string command; std::cin >> command;) {
    if (command == "fill") {
      uint64_t rows = 0;
      std::cin >> rows;
      load.Fill(rows);
      bench::WriteLine(Json{{"filled", true}}.dump());
    } else if (command == "run") {
      load.Run();
    } else if (command == "begin") {
      load.latencies().Reset();
      count = load.count();
      cpu_us = bench::UsageNow().cpu_us;
      start = clock->Now();
      bench::WriteLine(Json{{"begun", true}}.dump());
    } else if (command == "end") {
      const Json found = {{load.what(), load.count() - count},
                          {"cpu_s", (bench::UsageNow().cpu_us - cpu_us) / 1e6},
                          {"seconds", absl::ToDoubleSeconds(clock->Now() - start)},
                          {"latencies_s", load.latencies().seconds()}};
      bench::WriteLine(found.dump());
    }
  }
}

int Main(int argc, char** argv) {
  const Json json = argc == 3 ? Json::parse(argv[2], nullptr, /*allow_exceptions=*/false) : Json();
  const std::string role = argc == 3 ? argv[1] : "";
  if (!json.is_object() || (role != "writer" && role != "learner")) {
    std::fprintf(stderr, "usage: replay_load {writer|learner} '{\"port\": ...}'\n");
    return 2;
  }
  POMPC_CHECK_OK(rpc::SetUpGrpc());
  // The learner does so.
  KeepFreedMemory();
  const Settings settings = ReadSettings(json);
  std::unique_ptr<Load> load;
  if (role == "writer") {
    load = std::make_unique<Writers>(settings);
  } else {
    load = std::make_unique<Learner>(settings);
  }
  Serve(*load);
  return 0;
}

}  // namespace
}  // namespace pompc::replay

int main(int argc, char** argv) { return pompc::replay::Main(argc, argv); }
