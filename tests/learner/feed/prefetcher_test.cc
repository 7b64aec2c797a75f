#include "learner/feed/prefetcher.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "common/values/float_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/learner/fake_engine.h"
#include "tests/replay/window_batch_testing.h"
#include "tests/support/await.h"

namespace pompc::learner {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// Long enough for a starved machine; every wait here ends by what the test does.
constexpr absl::Duration kLong = absl::Seconds(60);

template <typename T>
std::string Repeat(size_t count, T value) {
  return ToBytes(absl::MakeConstSpan(std::vector<T>(count, value)));
}

// `count` windows of one row each, whose draws are `mark`.
replay::WindowBatch Windows(size_t shard, uint32_t count, uint64_t mark) {
  proto::SampleReply reply;
  proto::Windows* windows = reply.mutable_windows();
  windows->set_count(count);
  windows->set_horizon(1);
  for (std::string* column : {windows->mutable_observations(), windows->mutable_plan_mean(),
                              windows->mutable_plan_std()}) {
    *column = Repeat<float>(2 * count, 0);
  }
  windows->set_actions(Repeat<float>(count, 0));
  windows->set_rewards(Repeat<float>(count, 0));
  windows->set_terminated(Repeat<uint8_t>(count, 0));
  windows->set_has_plan(Repeat<uint8_t>(2 * count, 0));
  windows->set_addresses(Repeat<uint64_t>(2 * count, 1));
  windows->set_versions(Repeat<uint64_t>(2 * count, 0));
  windows->set_draws(Repeat<uint64_t>(count, mark));
  windows->set_probabilities(Repeat<float>(count, 0.25f));
  reply.mutable_info()->set_shard_index(static_cast<uint32_t>(shard));
  return *replay::BatchOf(reply, {1, 1}, count, 1);
}

// Shards that answer when the test says so: a test is the latency.
class HeldShards : public WindowSource {
 public:
  struct Call {
    size_t shard = 0;
    uint32_t count = 0;
    uint64_t seed = 0;
    replay::ShardClient::SampleCallback done;

    void Answer() const { done(Windows(shard, count, seed)); }
  };

  explicit HeldShards(size_t size) : size_(size) {}

  size_t size() const override { return size_; }
  void SampleAsync(size_t shard, uint32_t count, uint64_t seed,
                   replay::ShardClient::SampleCallback done) override {
    MutexLock lock(&mu_);
    calls_.push_back({shard, count, seed, std::move(done)});
    changed_.SignalAll();
  }

  // The next calls, waited for, in their order.
  std::vector<Call> Take(size_t count) {
    MutexLock lock(&mu_);
    while (calls_.size() < count) changed_.Wait(&mu_);
    std::vector<Call> taken(calls_.begin(), calls_.begin() + static_cast<ptrdiff_t>(count));
    calls_.erase(calls_.begin(), calls_.begin() + static_cast<ptrdiff_t>(count));
    return taken;
  }
  size_t waiting() {
    MutexLock lock(&mu_);
    return calls_.size();
  }

 private:
  const size_t size_;
  Mutex mu_;
  CondVar changed_;
  std::deque<Call> calls_ ABSL_GUARDED_BY(mu_);
};

// Batches may always be drawn.
class OpenControl : public run::SamplingControl {
 public:
  explicit OpenControl(std::vector<uint64_t> windows) : windows_(std::move(windows)) {}

  bool AwaitSampling(absl::Duration /*timeout*/) override { return true; }
  bool Done() const override { return false; }
  std::vector<uint64_t> Masses() const override { return windows_; }

 private:
  const std::vector<uint64_t> windows_;
};

class PrefetcherTest : public ::testing::Test {
 protected:
  explicit PrefetcherTest(std::vector<uint64_t> windows = {100})
      : shards_(windows.size()), control_(std::move(windows)) {
    options_.batch_size = 4;
    options_.batches = 4;
    options_.clock = &clock_;
  }

  void Start() {
    prefetcher_ = std::make_unique<Prefetcher>(options_, &control_, &shards_, &engine_);
  }
  // The mark of the next batch, which is the seed of its (only) request.
  uint64_t Next() {
    const absl::StatusOr<DrawnBatch> batch = prefetcher_->Next(kLong);
    EXPECT_TRUE(batch.ok()) << batch.status();
    return batch.ok() ? batch->origins.draws[0] : 0;
  }
  bool AwaitReady(size_t count) {
    return Await([&] { return prefetcher_->ready() == count; });
  }

  FakeClock clock_;
  HeldShards shards_;
  OpenControl control_;
  FakeEngine engine_;
  PrefetcherOptions options_;
  std::unique_ptr<Prefetcher> prefetcher_;
};

TEST_F(PrefetcherTest, SeveralBatchesAreInFlightBeforeTheFirstIsAnswered) {
  Start();
  const std::vector<HeldShards::Call> calls = shards_.Take(4);
  // The thread has nothing left to do.
  clock_.AwaitWaiters(1);
  EXPECT_EQ(shards_.waiting(), 0);
  EXPECT_EQ(prefetcher_->in_flight(), 4);
  EXPECT_EQ(prefetcher_->ready(), 0);
  std::set<uint64_t> seeds;
  for (const HeldShards::Call& call : calls) seeds.insert(call.seed);
  EXPECT_THAT(seeds, SizeIs(4));
  for (const HeldShards::Call& call : calls) call.Answer();
}

TEST_F(PrefetcherTest, BatchesComeInTheOrderOfUpdatesWhateverTheOrderOfAnswers) {
  Start();
  const std::vector<HeldShards::Call> calls = shards_.Take(4);
  for (const int i : {3, 1, 2, 0}) calls[i].Answer();
  for (const HeldShards::Call& call : calls) EXPECT_EQ(Next(), call.seed);
}

TEST_F(PrefetcherTest, EachBatchTakenLetsOneMoreBeRequested) {
  Start();
  for (const HeldShards::Call& call : shards_.Take(4)) call.Answer();
  ASSERT_TRUE(AwaitReady(4));
  EXPECT_EQ(shards_.waiting(), 0);
  for (int i = 0; i < 3; ++i) {
    Next();
    shards_.Take(1)[0].Answer();
    EXPECT_EQ(shards_.waiting(), 0);
  }
}

TEST_F(PrefetcherTest, WhatIsDrawnForAnUpdateDoesNotDependOnHowManyAreInFlight) {
  Start();
  std::vector<uint64_t> ahead;
  for (const HeldShards::Call& call : shards_.Take(4)) {
    ahead.push_back(call.seed);
    call.Answer();
  }
  prefetcher_->Close();
  options_.ahead = false;
  Start();
  for (const uint64_t seed : ahead) {
    Thread shard("shard", [&] {
      const HeldShards::Call call = shards_.Take(1)[0];
      EXPECT_EQ(call.count, 4);
      call.Answer();
    });
    EXPECT_EQ(Next(), seed);
  }
}

TEST_F(PrefetcherTest, CloseEndsWaitingAndLateAnswersAreDropped) {
  Start();
  const std::vector<HeldShards::Call> calls = shards_.Take(4);
  Event cancelled;
  Thread trainer("trainer", [&] {
    EXPECT_EQ(prefetcher_->Next(kLong).status().code(), absl::StatusCode::kCancelled);
    cancelled.Set();
  });
  clock_.AwaitWaiters(2);
  prefetcher_->Close();
  cancelled.Wait();
  trainer.Join();
  prefetcher_.reset();
  for (const HeldShards::Call& call : calls) call.Answer();
}

TEST_F(PrefetcherTest, ARefusalEndsItAfterTheBatchesBeforeIt) {
  Start();
  const std::vector<HeldShards::Call> calls = shards_.Take(4);
  calls[3].Answer();
  calls[1].done(absl::InvalidArgumentError("count of windows is 4"));
  calls[0].Answer();
  ASSERT_TRUE(AwaitReady(2));
  EXPECT_EQ(Next(), calls[0].seed);
  const absl::Status status = prefetcher_->Next(kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "shard 0: count of windows is 4");
  calls[2].Answer();
  EXPECT_EQ(shards_.waiting(), 0);
}

TEST_F(PrefetcherTest, WhoWaitsHearsWhichShardIsSilent) {
  Start();
  const std::vector<HeldShards::Call> calls = shards_.Take(4);
  const absl::Status status = prefetcher_->Next(absl::ZeroDuration()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status.message(), "the learner waits for a batch from shard 0");
  for (const HeldShards::Call& call : calls) call.Answer();
}

class TwoShardsTest : public PrefetcherTest {
 protected:
  TwoShardsTest() : PrefetcherTest({100, 100}) { options_.batch_size = 64; }
};

TEST_F(TwoShardsTest, AFailedDrawIsDrawnAnewInItsPlaceWithoutTheShardAndHoldsUpNoOther) {
  Start();
  // Two calls for each batch, shard 0 first.
  const std::vector<HeldShards::Call> calls = shards_.Take(8);
  for (int i = 2; i < 8; ++i) calls[i].Answer();
  calls[1].Answer();
  ASSERT_TRUE(AwaitReady(3));
  calls[0].done(absl::UnavailableError("connection reset"));
  const HeldShards::Call again = shards_.Take(1)[0];
  EXPECT_EQ(again.shard, 1);
  EXPECT_EQ(again.count, 64);
  // The same update has the same seed.
  EXPECT_EQ(again.seed, calls[1].seed);
  const absl::Status waiting = prefetcher_->Next(absl::ZeroDuration()).status();
  EXPECT_EQ(waiting.message(), "the learner waits for a batch from shard 1");
  again.Answer();
  EXPECT_EQ(Next(), again.seed);
  for (const int i : {2, 4, 6}) EXPECT_EQ(Next(), calls[i].seed);
  // What is drawn next leaves the shard out, until some time has passed.
  const std::vector<HeldShards::Call> without = shards_.Take(4);
  for (const HeldShards::Call& call : without) EXPECT_EQ(call.shard, 1);
  for (const HeldShards::Call& call : without) call.Answer();
  ASSERT_TRUE(AwaitReady(4));
  clock_.Advance(options_.avoid);
  Next();
  EXPECT_EQ(shards_.Take(2)[0].shard, 0);
}

TEST_F(TwoShardsTest, WithoutAnyShardItWaitsUntilOneMayBeAskedAgain) {
  Start();
  for (const HeldShards::Call& call : shards_.Take(8)) {
    call.done(absl::DeadlineExceededError("no answer"));
  }
  ASSERT_TRUE(Await([&] { return prefetcher_->in_flight() == 0; }));
  // Nothing wakes the thread from here on but the clock.
  clock_.AwaitWaiters(1);
  EXPECT_EQ(shards_.waiting(), 0);
  EXPECT_EQ(prefetcher_->Next(absl::ZeroDuration()).status().message(),
            "the learner waits for shards to deliver windows");
  clock_.Advance(options_.avoid);
  const std::vector<HeldShards::Call> again = shards_.Take(8);
  for (const HeldShards::Call& call : again) call.Answer();
  EXPECT_EQ(Next(), again[0].seed);
}

// Updates a second that a learner makes of which each takes 10 ms, in steps of 1 ms, with answers
// that come `round_trip_ms` after their requests.
int UpdatesWithin(int round_trip_ms, int ms, PrefetchDepth* depth) {
  constexpr int kUpdateMs = 10;
  std::deque<int> in_flight;
  size_t ready = 0;
  int free_at = 0, updates = 0;
  bool wanted = false;
  for (int now = 0; now < ms; ++now) {
    while (!in_flight.empty() && in_flight.front() <= now) {
      in_flight.pop_front();
      ++ready;
    }
    if (now >= free_at) {
      if (!std::exchange(wanted, true)) depth->Wanted(ready, in_flight.size());
      if (ready > 0) {
        --ready;
        ++updates;
        free_at = now + kUpdateMs;
        wanted = false;
      }
    }
    while (in_flight.size() + ready < depth->value()) in_flight.push_back(now + round_trip_ms);
  }
  return updates;
}

TEST(PrefetchDepthTest, SettlesAtTheRoundTripTimesTheRateOfUpdates) {
  PrefetchDepth depth(64);
  UpdatesWithin(200, 5000, &depth);
  // 200 ms at 100 updates a second.
  EXPECT_GE(depth.value(), 20);
  EXPECT_LE(depth.value(), 24);
  // No update waits from then on but the first, whose request is not there yet.
  EXPECT_GE(UpdatesWithin(200, 10'000, &depth), (10'000 - 200) / 10 - 5);
}

TEST(PrefetchDepthTest, ShrinksWhenTheRoundTripGetsShorterAndStaysInItsBounds) {
  PrefetchDepth depth(6);
  UpdatesWithin(1000, 20'000, &depth);
  EXPECT_EQ(depth.value(), 6);
  UpdatesWithin(1, 20'000, &depth);
  EXPECT_EQ(depth.value(), PrefetchDepth::kLeast);
  PrefetchDepth one(1);
  UpdatesWithin(1000, 20'000, &one);
  EXPECT_EQ(one.value(), 1);
}

TEST(PrefetchDepthTest, WithoutRequestsInFlightWaitingIsNoReasonForMore) {
  PrefetchDepth depth(16);
  for (int i = 0; i < 1000; ++i) depth.Wanted(0, 0);
  EXPECT_EQ(depth.value(), PrefetchDepth::kLeast);
}

}  // namespace
}  // namespace pompc::learner
