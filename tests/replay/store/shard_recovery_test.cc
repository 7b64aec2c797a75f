#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/core/random.h"
#include "replay/core/shard.h"
#include "replay/store/rocks_store.h"
#include "tests/replay/row_builder.h"
#include "tests/replay/store/store_env.h"
#include "tests/rundir/scratch_folder.h"
#include "tests/support/await.h"

namespace pompc::replay {
namespace {

using testing::HasSubstr;
using Kind = AppendOutcome::Kind;

constexpr RowSpec kSpec{.observation_size = 2, .action_size = 1};
constexpr uint32_t kHorizon = 3;

ShardConfig Config(uint64_t capacity) {
  ShardConfig config = {.run_id = "run-a", .table = {kSpec, kHorizon, capacity, 1 << 30}};
  config.encoded = absl::StrCat(capacity);
  return config;
}

absl::StatusOr<ShardConfig> ReadConfig(const std::string& encoded) {
  return Config(std::stoull(encoded));
}

class Waiter : public RoomWaiter {
 public:
  void OnRoom() override { woken.Set(); }
  Event woken;
};

// All that a shard answers: counts, every window with its bytes.
struct Answers {
  std::string counts;
  // Numbers of a window by the address of its first row.
  std::map<uint64_t, std::vector<float>> windows;

  bool operator==(const Answers&) const = default;
};

Answers AnswersOf(Shard* shard, uint64_t seed) {
  const ShardCounts counts = shard->counts();
  Answers answers;
  answers.counts =
      absl::StrCat(counts.accepted_rows, " accepted, ", counts.planned_rows, " planned, ",
                   counts.stored_rows, " stored, ", counts.stored_bytes, " bytes, ", counts.windows,
                   " windows, ", counts.barred_windows, " barred, ", counts.capacity_rows);
  if (counts.windows == 0) return answers;
  // So many that hardly any window is missed.
  const size_t draws = counts.windows * 30;
  WindowBuffer buffer(kSpec, kHorizon, draws);
  EXPECT_TRUE(shard->Sample(seed, buffer.Columns()).ok());
  for (size_t b = 0; b < draws; ++b) {
    std::vector<float>& window = answers.windows[buffer.addresses[b * (kHorizon + 1)]];
    window.clear();
    const auto add = [&](const auto& column, size_t per_window) {
      window.insert(window.end(), column.begin() + b * per_window,
                    column.begin() + (b + 1) * per_window);
    };
    add(buffer.observations, (kHorizon + 1) * 2);
    add(buffer.actions, kHorizon);
    add(buffer.rewards, kHorizon);
    add(buffer.terminated, kHorizon);
    add(buffer.has_plan, kHorizon + 1);
    add(buffer.plan_mean, kHorizon + 1);
    add(buffer.plan_std, kHorizon + 1);
  }
  return answers;
}

// Memory for rows on disk; 0: rows are in memory. Hardly anything fits in so little.
constexpr uint64_t kRowCaches[] = {0, 1 << 20};

class RecoveryTest : public testing::Test {
 protected:
  RecoveryTest(uint64_t capacity, uint64_t row_cache_bytes) : capacity_(capacity) {
    options_.folder = scratch_.File("data");
    options_.row_cache_bytes = row_cache_bytes;
  }

  // Ends the shard and opens its data again.
  absl::Status Reopen(bool configure = true) {
    shard_.reset();
    absl::StatusOr<std::unique_ptr<RocksStore>> store = RocksStore::Open(options_);
    if (!store.ok()) return store.status();
    const uint64_t incarnation = (*store)->incarnation();
    shard_ = std::make_unique<Shard>(incarnation, &clock_, *std::move(store));
    const absl::Status loaded = shard_->Load(ReadConfig);
    if (!loaded.ok() || !configure) return loaded;
    return shard_->Configure(Config(capacity_));
  }

  void Grant(uint64_t rows, bool seed_phase_over = false) {
    ASSERT_TRUE(
        shard_->Grant({rows, "test", seed_phase_over, ParameterVersion{1, 1'000'000}}).ok());
  }

  AppendOutcome Append(const SegmentId& id, uint64_t first_row, const RowBuilder& rows) {
    return shard_->Append(id, first_row, rows.View(), waiter_);
  }

  const ScratchFolder scratch_;
  const uint64_t capacity_;
  RocksStoreOptions options_;
  FakeClock clock_;
  std::shared_ptr<Waiter> waiter_ = std::make_shared<Waiter>();
  std::unique_ptr<Shard> shard_;
};

class ShardRecoveryTest : public RecoveryTest, public testing::WithParamInterface<uint64_t> {
 protected:
  ShardRecoveryTest() : RecoveryTest(60, GetParam()) {}
};

TEST_P(ShardRecoveryTest, UntilItIsLoadedEverythingIsUnavailable) {
  auto store = RocksStore::Open(options_);
  ASSERT_TRUE(store.ok()) << store.status();
  shard_ = std::make_unique<Shard>(1, &clock_, *std::move(store));
  const absl::Status status = shard_->Configure(Config(capacity_));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("loading: 0 % of the rows"));
  EXPECT_EQ(shard_->config().status(), status);
  EXPECT_EQ(Append({1, 1}, 0, RowBuilder(kSpec).Add(0)).status, status);
  EXPECT_LT(shard_->counts().loaded, 1);
  ASSERT_TRUE(shard_->Load(ReadConfig).ok());
  EXPECT_EQ(shard_->counts().loaded, 1);
  EXPECT_THAT(shard_->config().status().message(), HasSubstr("has not configured"));
  EXPECT_TRUE(shard_->Configure(Config(capacity_)).ok());
}

TEST_P(ShardRecoveryTest, WritersAreAnsweredAsBefore) {
  ASSERT_TRUE(Reopen().ok());
  Grant(1000);
  const SegmentId stored{1, 5, 0, 7, 0}, refused{1, 5, 1, 0, 0}, ended{1, 5, 2, 0, 0},
      terminated{1, 5, 3, 0, 0}, fenced{2, 5, 0, 0, 0}, fencing{2, 6, 0, 0, 0};
  ASSERT_EQ(Append(stored, 0, RowBuilder(kSpec).AddMany(0, 5)).kind, Kind::kAcked);
  RowBuilder bad(kSpec);
  bad.Add(1).rewards_[0] = 0.0f / 0.0f;
  const AppendOutcome refusal = Append(refused, 0, bad);
  ASSERT_EQ(refusal.kind, Kind::kRefused);
  ASSERT_EQ(Append(ended, 0, RowBuilder(kSpec).AddMany(0, 2).Final(2)).kind, Kind::kAcked);
  ASSERT_EQ(Append(terminated, 0, RowBuilder(kSpec).Add(0).Terminal()).kind, Kind::kAcked);
  ASSERT_EQ(Append(fenced, 0, RowBuilder(kSpec).Add(0)).kind, Kind::kAcked);
  // A gap: nothing of it is stored, and yet it fences.
  ASSERT_EQ(Append(fencing, 3, RowBuilder(kSpec).Add(3)).kind, Kind::kGap);
  Grant(1000, /*seed_phase_over=*/true);
  for (int opening = 0; opening < 2; ++opening) {
    ASSERT_TRUE(Reopen().ok());
    // Before the first grant: what needs no room is answered all the same.
    const AppendOutcome again = Append(stored, 0, RowBuilder(kSpec).AddMany(0, 5));
    EXPECT_EQ(again.kind, Kind::kAcked);
    EXPECT_EQ(again.next_row, 5u);
    EXPECT_EQ(again.stored, 0u);
    EXPECT_EQ(Append(stored, 9, RowBuilder(kSpec).Add(9)).kind, Kind::kGap);
    const AppendOutcome still = Append(refused, 0, RowBuilder(kSpec).Add(1));
    EXPECT_EQ(still.kind, Kind::kRefused);
    EXPECT_EQ(still.status, refusal.status);
    EXPECT_TRUE(Append(ended, 0, RowBuilder(kSpec).AddMany(0, 2).Final(2)).ended);
    EXPECT_EQ(Append(fenced, 0, RowBuilder(kSpec).Add(0)).kind, Kind::kRefused);
    EXPECT_THAT(Append(fenced, 0, RowBuilder(kSpec).Add(0)).status.message(), HasSubstr("fenced"));
    const AppendOutcome more = Append(stored, 5, RowBuilder(kSpec).Add(5));
    EXPECT_EQ(more.kind, Kind::kBlocked);
    EXPECT_THAT(more.status.message(), HasSubstr("was opened again"));
  }
  Grant(1000);
  EXPECT_THAT(Append(terminated, 1, RowBuilder(kSpec).Add(1)).status.message(),
              HasSubstr("was terminated"));
  // The end of the seed phase is known before the learner says it again.
  EXPECT_THAT(Append(stored, 5, RowBuilder(kSpec).Add(5, /*has_plan=*/false)).status.message(),
              HasSubstr("seed phase is over"));
}

TEST_P(ShardRecoveryTest, AddressesOfAnEarlierOpeningAreEvicted) {
  ASSERT_TRUE(Reopen().ok());
  Grant(100);
  ASSERT_EQ(Append({1, 1}, 0, RowBuilder(kSpec).AddMany(0, 8)).kind, Kind::kAcked);
  const Opening before = shard_->opening();
  const std::vector<uint64_t> addresses = {0, 1};
  const std::vector<float> mean = {0.25f, 0.5f}, std = {2, 3};
  EXPECT_EQ(shard_->UpdatePlans(before, addresses, mean, std)->updated, 2u);
  EXPECT_EQ(shard_->BarWindows(before, addresses).value_or(0), 2u);
  ASSERT_TRUE(Reopen().ok());
  const Opening now = shard_->opening();
  EXPECT_EQ(now.incarnation, before.incarnation);
  EXPECT_EQ(now.opening, before.opening + 1);
  EXPECT_EQ(shard_->UpdatePlans(before, addresses, mean, std)->evicted, 2u);
  EXPECT_EQ(shard_->BarWindows(before, std::vector<uint64_t>{2}).value_or(9), 0u);
  EXPECT_EQ(shard_->counts().barred_windows, 2u);
  EXPECT_EQ(shard_->UpdatePlans(now, addresses, mean, std)->updated, 2u);
}

TEST_P(ShardRecoveryTest, AnotherRunOrOtherRowsAreRefusedAndAnotherCapacityIsApplied) {
  ASSERT_TRUE(Reopen().ok());
  Grant(100);
  ASSERT_EQ(Append({1, 1}, 0, RowBuilder(kSpec).AddMany(0, 40)).kind, Kind::kAcked);
  ASSERT_TRUE(Reopen(/*configure=*/false).ok());
  ShardConfig config = Config(capacity_);
  config.run_id = "run-b";
  absl::Status status = shard_->Configure(config);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("run-a, not run-b"));
  config = Config(capacity_);
  config.table.spec.observation_size = 3;
  status = shard_->Configure(config);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("observation size 2, not 3"));
  ASSERT_TRUE(shard_->Configure(Config(20)).ok());
  EXPECT_EQ(shard_->counts().stored_rows, 20u);
  // What was evicted stays so, whatever the capacity is later.
  ASSERT_TRUE(Reopen(/*configure=*/false).ok());
  EXPECT_EQ(shard_->counts().capacity_rows, 20u);
  ASSERT_TRUE(shard_->Configure(Config(500)).ok());
  EXPECT_EQ(shard_->counts().stored_rows, 20u);
  ASSERT_TRUE(Reopen(/*configure=*/false).ok());
  EXPECT_EQ(shard_->counts().stored_rows, 20u);
  EXPECT_EQ(shard_->counts().accepted_rows, 40u);
}

TEST_P(ShardRecoveryTest, AFullDiskBlocksWritersAndNotTheLearner) {
  StoreEnv env;
  options_.env = &env;
  ASSERT_TRUE(Reopen().ok());
  Grant(1000);
  ASSERT_EQ(Append({1, 1}, 0, RowBuilder(kSpec).AddMany(0, 8)).kind, Kind::kAcked);
  env.SetFull(true);
  ASSERT_EQ(Append({1, 1}, 8, RowBuilder(kSpec).Add(8)).kind, Kind::kAcked);
  Event durable;
  shard_->WhenDurable([&](const absl::Status& status) {
    EXPECT_TRUE(status.ok()) << status;
    durable.Set();
  });
  ASSERT_TRUE(Await([&] { return !shard_->counts().store.failure.ok(); }));
  const AppendOutcome outcome = Append({1, 1}, 9, RowBuilder(kSpec).Add(9));
  EXPECT_EQ(outcome.kind, Kind::kBlocked);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(outcome.status.message(), HasSubstr("disk is full"));
  EXPECT_FALSE(durable.IsSet());
  // Rows that wait to be written are drawn as well, while the store tries again and again.
  WindowBuffer buffer(kSpec, kHorizon, 4);
  const uint64_t attempts = shard_->counts().store.failed_writes + 3;
  for (uint64_t seed = 0; shard_->counts().store.failed_writes < attempts; ++seed) {
    ASSERT_TRUE(shard_->Sample(seed, buffer.Columns()).ok());
    for (size_t i = 0; i < buffer.addresses.size(); ++i) {
      ASSERT_EQ(buffer.observations[2 * i], RowBuilder::Observation(buffer.addresses[i], 0));
    }
  }
  env.SetFull(false);
  waiter_->woken.Wait();
  durable.Wait();
  EXPECT_EQ(Append({1, 1}, 9, RowBuilder(kSpec).Add(9)).kind, Kind::kAcked);
  const Answers before = AnswersOf(shard_.get(), 1);
  ASSERT_TRUE(Reopen().ok());
  EXPECT_EQ(AnswersOf(shard_.get(), 1), before);
  shard_.reset();  // before its file system
}

INSTANTIATE_TEST_SUITE_P(RowCaches, ShardRecoveryTest, testing::ValuesIn(kRowCaches));

// Random operations, with openings in between: the shard answers as one that was never closed, and
// whose rows are in memory.
class RandomRecoveryTest : public RecoveryTest,
                           public testing::WithParamInterface<std::tuple<uint64_t, uint64_t>> {
 protected:
  RandomRecoveryTest()
      : RecoveryTest(20 + std::get<0>(GetParam()) * 7 % 60, std::get<1>(GetParam())),
        random_(std::get<0>(GetParam())) {
    twin_ = std::make_unique<Shard>(1, &clock_, std::make_unique<MemoryStore>());
    EXPECT_TRUE(twin_->Configure(Config(capacity_)).ok());
  }

  void GrantBoth() {
    granted_ = twin_->counts().accepted_rows + random_.Below(40);
    ASSERT_TRUE(shard_->Grant({granted_, "test"}).ok());
    ASSERT_TRUE(twin_->Grant({granted_, "test"}).ok());
  }

  void Step() {
    switch (random_.Below(10)) {
      case 0:
        return GrantBoth();
      case 1:
        return ChangeRows();
      default:
        return AppendSomething();
    }
  }

  // Replaces plans and bars windows at random addresses, stored or not.
  void ChangeRows() {
    const uint64_t end = twin_->counts().accepted_rows + 8;
    std::vector<uint64_t> addresses;
    std::vector<float> mean, std;
    for (uint64_t i = random_.Below(6); i > 0; --i) {
      addresses.push_back(random_.Below(end));
      mean.push_back(static_cast<float>(random_.Below(9)) / 8);
      std.push_back(static_cast<float>(1 + random_.Below(5)));
    }
    EXPECT_EQ(shard_->UpdatePlans(shard_->opening(), addresses, mean, std)->updated,
              twin_->UpdatePlans(Opening{1}, addresses, mean, std)->updated);
    if (random_.Below(3) != 0) return;
    EXPECT_EQ(shard_->BarWindows(shard_->opening(), addresses).value_or(77),
              twin_->BarWindows(Opening{1}, addresses).value_or(99));
  }

  void AppendSomething() {
    const uint32_t actor = random_.Below(2), environment = random_.Below(2);
    if (random_.Below(200) == 0) ++incarnation_[actor];
    auto& [episode, next_row] = position_[{actor, environment}];
    SegmentId id{actor, incarnation_[actor], environment, episode, 0};
    if (random_.Below(50) == 0 && id.episode > 0) --id.episode;
    if (random_.Below(50) == 0) --id.incarnation;
    const uint64_t first = next_row - (random_.Below(4) == 0 ? random_.Below(next_row + 1) : 0) +
                           (random_.Below(40) == 0 ? 1 : 0);
    RowBuilder rows(kSpec);
    for (uint64_t i = random_.Below(7); i > 0; --i) rows.Add(id.episode * 100 + first + i);
    const bool terminal = !rows.rewards_.empty() && random_.Below(10) == 0;
    if (terminal) rows.Terminal();
    if (rows.rewards_.empty() || terminal || random_.Below(12) == 0) rows.Final(id.episode);
    if (random_.Below(40) == 0 && !rows.rewards_.empty()) rows.rewards_[0] = 0.0f / 0.0f;
    const AppendOutcome have = shard_->Append(id, first, rows.View(), waiter_);
    const AppendOutcome want = twin_->Append(id, first, rows.View(), waiter_);
    ASSERT_EQ(have.kind, want.kind) << id.ToString() << have.status << want.status;
    ASSERT_EQ(have.next_row, want.next_row);
    ASSERT_EQ(have.ended, want.ended);
    ASSERT_EQ(have.status.code(), want.status.code());
    if (id.episode == episode && want.kind != Kind::kRefused) next_row = want.next_row;
    if (want.kind != Kind::kRefused && !want.ended) return;
    ++episode;
    next_row = 0;
  }

  Random random_;
  std::unique_ptr<Shard> twin_;
  uint64_t granted_ = 0;
  std::map<uint32_t, uint64_t> incarnation_ = {{0, 5}, {1, 5}};
  std::map<std::pair<uint32_t, uint32_t>, std::pair<uint64_t, uint64_t>> position_;
};

TEST_P(RandomRecoveryTest, AnOpenedShardAnswersAsOneThatWasNeverClosed) {
  ASSERT_TRUE(Reopen().ok());
  for (int opening = 0; opening < 4; ++opening) {
    GrantBoth();
    for (int step = 0; step < 60; ++step) {
      Step();
      if (HasFatalFailure()) return;
    }
    ASSERT_TRUE(Reopen().ok());
    const Answers have = AnswersOf(shard_.get(), opening), want = AnswersOf(twin_.get(), opening);
    ASSERT_EQ(have.counts, want.counts);
    ASSERT_EQ(have.windows.size(), want.windows.size());
    for (const auto& [address, window] : want.windows) {
      ASSERT_TRUE(have.windows.contains(address)) << address;
      ASSERT_EQ(have.windows.at(address), window) << address;
    }
  }
  // The same rows draw the same windows for the same seed, in each opening.
  const size_t draws = 20;
  if (shard_->counts().windows == 0) return;
  WindowBuffer one(kSpec, kHorizon, draws), two(kSpec, kHorizon, draws);
  ASSERT_TRUE(shard_->Sample(7, one.Columns()).ok());
  ASSERT_TRUE(Reopen().ok());
  ASSERT_TRUE(shard_->Sample(7, two.Columns()).ok());
  EXPECT_EQ(one.addresses, two.addresses);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomRecoveryTest,
                         testing::Combine(testing::Range<uint64_t>(1, 8),
                                          testing::ValuesIn(kRowCaches)));

}  // namespace
}  // namespace pompc::replay
