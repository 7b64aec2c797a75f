#include "replay/store/rocks_store.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/core/random.h"
#include "replay/store/database.h"
#include "tests/replay/row_builder.h"
#include "tests/replay/store/store_env.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::replay {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
constexpr SegmentId kSegment = {1, 1, 0, 5, 0};

std::string Sum(const ChunkRecord& chunk) {
  double sum = 0;
  for (const float number : chunk.rows.Get<float>("observations")) sum += number;
  for (const float number : chunk.rows.final_observation) sum += number;
  return absl::StrCat(sum);
}

// A record in words, with all that matters of it.
struct InWords {
  std::string operator()(const ConfigRecord& record) const {
    return absl::StrCat("config ", record.config);
  }
  std::string operator()(const ChunkRecord& chunk) const {
    return absl::StrCat("chunk at ", chunk.address, " after ",
                        chunk.previous == Table::kNoAddress ? "none" : absl::StrCat(chunk.previous),
                        ", ", chunk.slots(), " slots, row ", chunk.first_row, " of ",
                        chunk.segment.ToString(), ", oldest ", chunk.oldest, ", ",
                        chunk.accepted_rows, " ", chunk.planned_rows, ", sum ", Sum(chunk));
  }
  std::string operator()(const SegmentRecord& record) const {
    return absl::StrCat(record.id.ToString(), ": ", record.next_row, " ended ", record.ended, " ",
                        record.terminated, " tail ", record.tail, " ", record.refused.ToString());
  }
  std::string operator()(const ActorRecord& record) const {
    return absl::StrCat("actor ", record.actor_index, ".", record.incarnation);
  }
  std::string operator()(const ForgottenRecord& record) const {
    return absl::StrCat("forgotten up to ", record.mark.ToString());
  }
  std::string operator()(const PlansRecord& plans) const {
    return absl::StrCat("plans of ", absl::StrJoin(plans.addresses, " "), ": ",
                        absl::StrJoin(plans.plan_mean, " "), "; ",
                        absl::StrJoin(plans.plan_std, " "));
  }
  std::string operator()(const BarredRecord& barred) const {
    return absl::StrCat("barred ", absl::StrJoin(barred.addresses, " "));
  }
  std::string operator()(const GrantRecord& grant) const {
    return absl::StrCat("grant ", grant.seed_phase_over, " ",
                        grant.newest_version ? grant.newest_version->ToString() : "any");
  }
  std::string operator()(const EvictedRecord& evicted) const {
    return absl::StrCat("evicted to ", evicted.oldest);
  }
};

std::string Words(const StoreRecord& record) { return std::visit(InWords(), record); }

// What a store holds, in words; or its error.
std::vector<std::string> ContentOf(Store* store) {
  std::vector<std::string> words;
  const absl::Status status = store->Load([&](const StoreRecord& record, double loaded) {
    EXPECT_GE(loaded, 0);
    EXPECT_LE(loaded, 1);
    words.push_back(Words(record));
    return absl::OkStatus();
  });
  if (!status.ok()) words.push_back(status.ToString());
  return words;
}

// Makes chunks of one segment that go on where the last one ended.
class Segment {
 public:
  explicit Segment(const SegmentId& id = kSegment, const RowSpec& spec = kSpec)
      : id_(id), spec_(spec), rows_(spec) {}

  // `oldest`: what is evicted once the chunk is in.
  const ChunkRecord& Next(uint32_t rows, bool has_final = false, uint64_t oldest = 0) {
    rows_ = RowBuilder(spec_);
    rows_.AddMany(next_row_, rows);
    if (has_final) rows_.Final(next_row_ + rows);
    chunk_ = {.segment = id_,
              .spec = spec_,
              .first_row = next_row_,
              .rows = rows_.View(),
              .address = next_,
              .previous = next_ == 0 ? Table::kNoAddress : next_ - 1,
              .oldest = oldest,
              .accepted_rows = next_row_ + rows,
              .planned_rows = next_row_ + rows};
    next_row_ += rows;
    next_ += rows + (has_final ? 1 : 0);
    return chunk_;
  }
  // The segment after the last chunk.
  SegmentRecord State() const {
    return {.id = id_, .next_row = next_row_, .tail = next_ - 1, .changed_at = next_};
  }
  uint64_t next() const { return next_; }

 private:
  const SegmentId id_;
  const RowSpec spec_;
  RowBuilder rows_;
  ChunkRecord chunk_;
  uint64_t next_row_ = 0, next_ = 0;
};

void Record(Store* store, const StoreRecord& record) {
  store->Record(std::span<const StoreRecord>(&record, 1));
}

absl::Status AwaitDurable(Store* store) {
  Event set;
  absl::Status result;
  store->WhenDurable([&](const absl::Status& status) {
    result = status;
    set.Set();
  });
  set.Wait();
  return result;
}

class RocksStoreTest : public testing::Test {
 protected:
  RocksStoreTest() { options_.folder = scratch_.File("data/shard-0"); }

  std::unique_ptr<RocksStore> Open() {
    absl::StatusOr<std::unique_ptr<RocksStore>> store = RocksStore::Open(options_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // Records something of each kind, and returns its words in the order of Load.
  std::vector<std::string> Fill(RocksStore* store) {
    Segment segment;
    std::vector<std::string> chunks;
    Record(store, ConfigRecord{"the settings"});
    Record(store, ActorRecord{1, 1});
    for (const uint32_t rows : {3, 1, 4}) {
      const StoreRecord records[] = {segment.Next(rows), segment.State()};
      store->Record(records);
      chunks.push_back(Words(records[0]));
    }
    const std::vector<uint64_t> addresses = {1, 4};
    const std::vector<float> mean = {0.1f, 0.2f, 0.3f, 0.4f}, std = {1, 2, 3, 4};
    Record(store, PlansRecord{addresses, mean, std});
    Record(store, BarredRecord{addresses});
    Record(store, GrantRecord{true, ParameterVersion{2, 7}});
    Record(store, SegmentRecord{.id = {1, 1, 3, 0, 0},
                                .refused = absl::InvalidArgumentError("row 0: reward is nan")});
    const StoreRecord last = segment.Next(0, /*has_final=*/true);
    Record(store, last);
    chunks.push_back(Words(last));
    std::vector<std::string> words = {
        "config the settings",
        "actor 1.1",
        "actor 1.1 environment 0 episode 5 segment 0: 8 ended 0 0 tail 7 OK",
        "actor 1.1 environment 3 episode 0 segment 0: 0 ended 0 0 tail 18446744073709551615 "
        "INVALID_ARGUMENT: row 0: reward is nan",
        "grant 1 2.7",
        "evicted to 0",
    };
    words.insert(words.end(), chunks.begin(), chunks.end());
    words.push_back("plans of 1 4: 0.1 0.2 0.3 0.4; 1 2 3 4");
    words.push_back("barred 1 4");
    return words;
  }

  const ScratchFolder scratch_;
  StoreEnv env_;
  RocksStoreOptions options_;
};

TEST_F(RocksStoreTest, ANewFolderHoldsNothingAndEachOpeningIsCounted) {
  uint64_t incarnation = 0;
  for (uint64_t opening = 1; opening <= 3; ++opening) {
    const auto store = Open();
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(store->opening(), opening);
    if (opening == 1) incarnation = store->incarnation();
    EXPECT_EQ(store->incarnation(), incarnation);
    EXPECT_THAT(ContentOf(store.get()), ElementsAre("evicted to 0"));
  }
}

TEST_F(RocksStoreTest, WhatIsRecordedComesBackInTheOrderOfLoad) {
  for (const Durability durability : {Durability::kSync, Durability::kBackground}) {
    options_.durability = durability;
    options_.folder = scratch_.File(absl::StrCat("data-", static_cast<int>(durability)));
    auto store = Open();
    ASSERT_NE(store, nullptr);
    const std::vector<std::string> want = Fill(store.get());
    EXPECT_TRUE(AwaitDurable(store.get()).ok());
    for (int opening = 0; opening < 3; ++opening) {
      store.reset();
      store = Open();
      ASSERT_NE(store, nullptr);
      EXPECT_THAT(ContentOf(store.get()), ElementsAreArray(want)) << opening;
    }
  }
}

TEST_F(RocksStoreTest, WhatWaitsIsWrittenWhenTheStoreCloses) {
  auto store = Open();
  ASSERT_NE(store, nullptr);
  const std::vector<std::string> want = Fill(store.get());
  store.reset();
  store = Open();
  ASSERT_NE(store, nullptr);
  EXPECT_THAT(ContentOf(store.get()), ElementsAreArray(want));
}

TEST_F(RocksStoreTest, ALaterIncarnationVoidsWhatIsKnownOfEarlierOnes) {
  auto store = Open();
  ASSERT_NE(store, nullptr);
  Record(store.get(), ActorRecord{1, 1});
  for (const uint32_t environment : {0, 1, 2}) {
    Record(store.get(), SegmentRecord{.id = {1, 1, environment, 0, 0}});
    Record(store.get(), SegmentRecord{.id = {2, 1, environment, 0, 0}});
  }
  Record(store.get(), ForgottenRecord{{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}});
  Record(store.get(), ForgottenRecord{{2, 1, 1, 0, 0}, {2, 1, 1, 0, 0}});
  Record(store.get(), ActorRecord{1, 9});
  Record(store.get(), SegmentRecord{.id = {1, 9, 0, 0, 0}});
  store.reset();
  store = Open();
  ASSERT_NE(store, nullptr);
  const std::string fresh = ": 0 ended 0 0 tail 18446744073709551615 OK";
  EXPECT_THAT(
      ContentOf(store.get()),
      ElementsAre("actor 1.9", "forgotten up to actor 2.1 environment 1 episode 0 segment 0",
                  "actor 1.9 environment 0 episode 0 segment 0" + fresh,
                  "actor 2.1 environment 0 episode 0 segment 0" + fresh,
                  "actor 2.1 environment 2 episode 0 segment 0" + fresh, "evicted to 0"));
}

TEST_F(RocksStoreTest, RecordsThatComeWhileOneIsWrittenShareOneCommit) {
  options_.env = &env_;
  const auto store = Open();
  ASSERT_NE(store, nullptr);
  env_.HoldSyncs();
  Segment segment;
  Record(store.get(), segment.Next(1));
  env_.AwaitHeldSync();
  std::vector<int> called;
  for (int i = 0; i < 50; ++i) {
    Record(store.get(), segment.Next(1));
    store->WhenDurable([&called, i](const absl::Status& status) {
      EXPECT_TRUE(status.ok()) << status;
      called.push_back(i);
    });
  }
  EXPECT_THAT(called, IsEmpty()) << "nothing is on disk yet";
  EXPECT_EQ(store->stats().commits, 0u);
  EXPECT_GT(store->stats().pending_bytes, 0u);
  env_.ReleaseSyncs();
  EXPECT_TRUE(AwaitDurable(store.get()).ok());
  ASSERT_EQ(called.size(), 50u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(called[i], i);
  EXPECT_EQ(store->stats().commits, 2u);
  EXPECT_EQ(store->stats().pending_bytes, 0u);
}

TEST_F(RocksStoreTest, BackgroundAnswersBeforeItIsOnDiskAndPutsItThereWithinASecond) {
  FakeClock clock;
  options_.env = &env_;
  options_.clock = &clock;
  options_.durability = Durability::kBackground;
  const auto store = Open();
  ASSERT_NE(store, nullptr);
  const int before = env_.log_syncs();
  Segment segment;
  Record(store.get(), segment.Next(1));
  EXPECT_TRUE(AwaitDurable(store.get()).ok());
  EXPECT_EQ(env_.log_syncs(), before);
  clock.AwaitWaiters(1);
  const int64_t waits = clock.waits();
  clock.Advance(absl::Seconds(1));
  // Parked again, with nothing left to put on disk.
  clock.AwaitWaits(waits + 1);
  EXPECT_EQ(env_.log_syncs(), before + 1);
}

TEST_F(RocksStoreTest, ItAdmitsNothingWhileTooMuchWaitsAndSaysWhenThatIsOver) {
  options_.env = &env_;
  options_.max_pending_bytes = 10'000;
  const auto store = Open();
  ASSERT_NE(store, nullptr);
  Event changed;
  store->OnChange([&] { changed.Set(); });
  env_.HoldSyncs();
  Segment segment;
  Record(store.get(), segment.Next(1));
  env_.AwaitHeldSync();
  EXPECT_TRUE(store->Admits().ok());
  while (store->Admits().ok()) Record(store.get(), segment.Next(16));
  EXPECT_LT(store->stats().pending_bytes, 13'000u);
  EXPECT_EQ(store->Admits().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(store->Admits().message(), HasSubstr("disk is slower than its writers"));
  env_.ReleaseSyncs();
  changed.Wait();
  EXPECT_TRUE(AwaitDurable(store.get()).ok());
  EXPECT_TRUE(store->Admits().ok());
  store->OnChange(nullptr);
}

TEST_F(RocksStoreTest, AFullDiskAcknowledgesNothingAndRecoversByItself) {
  FakeClock clock;
  options_.env = &env_;
  options_.clock = &clock;
  auto store = Open();
  ASSERT_NE(store, nullptr);
  Segment segment;
  std::vector<std::string> want = {"config c", "evicted to 0"};
  Record(store.get(), ConfigRecord{"c"});
  const auto record = [&](uint32_t rows) {
    const StoreRecord chunk = segment.Next(rows);
    want.push_back(Words(chunk));
    Record(store.get(), chunk);
  };
  record(5);
  EXPECT_TRUE(AwaitDurable(store.get()).ok());
  for (int round = 0; round < 3; ++round) {
    Event failing, recovered, durable;
    bool full = true;
    store->OnChange([&] { (full ? failing : recovered).Set(); });
    env_.SetFull(true);
    record(7);
    store->WhenDurable([&](const absl::Status& status) {
      EXPECT_TRUE(status.ok()) << status;
      durable.Set();
    });
    failing.Wait();
    EXPECT_EQ(store->Admits().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(store->Admits().message(), HasSubstr("disk is full"));
    EXPECT_EQ(store->stats().failure.code(), absl::StatusCode::kResourceExhausted);
    // It tries again, and fails again.
    for (uint64_t failed = store->stats().failed_writes; failed < 4u * (round + 1);
         failed = store->stats().failed_writes) {
      clock.AwaitWaiters(1);
      clock.Advance(absl::Seconds(5));
    }
    EXPECT_FALSE(durable.IsSet());
    clock.AwaitWaiters(1);
    full = false;
    env_.SetFull(false);
    clock.Advance(absl::Seconds(5));
    recovered.Wait();
    durable.Wait();
    EXPECT_TRUE(store->Admits().ok());
    EXPECT_TRUE(store->stats().failure.ok());
    record(2);
    EXPECT_TRUE(AwaitDurable(store.get()).ok());
    store->OnChange(nullptr);
  }
  store.reset();
  store = Open();
  ASSERT_NE(store, nullptr);
  EXPECT_THAT(ContentOf(store.get()), ElementsAreArray(want));
}

TEST_F(RocksStoreTest, ClosingOnAFullDiskEndsAndTellsWhoeverWaits) {
  options_.env = &env_;
  auto store = Open();
  ASSERT_NE(store, nullptr);
  env_.SetFull(true);
  Segment segment;
  Record(store.get(), segment.Next(1));
  absl::Status told;
  store->WhenDurable([&](const absl::Status& status) { told = status; });
  store.reset();
  EXPECT_EQ(told.code(), absl::StatusCode::kCancelled) << told;
  env_.SetFull(false);
  store = Open();
  ASSERT_NE(store, nullptr);
  EXPECT_THAT(ContentOf(store.get()), ElementsAre("evicted to 0"));
}

TEST_F(RocksStoreTest, ASecondStoreOfTheSameFolderIsRefused) {
  const auto store = Open();
  ASSERT_NE(store, nullptr);
  const absl::Status second = RocksStore::Open(options_).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition) << second;
  EXPECT_THAT(second.message(), HasSubstr(options_.folder + " is in use"));
}

// A file that is copied while the store is open holds what a killed process would have left.
TEST_F(RocksStoreTest, WhatWasAcknowledgedSurvivesTheProcess) {
  for (const Durability durability : {Durability::kSync, Durability::kBackground}) {
    options_.durability = durability;
    options_.folder = scratch_.File(absl::StrCat("live-", static_cast<int>(durability)));
    const auto store = Open();
    ASSERT_NE(store, nullptr);
    std::vector<std::string> want = {"config c", "evicted to 0"};
    Record(store.get(), ConfigRecord{"c"});
    Segment segment;
    for (int i = 0; i < 6; ++i) {
      const StoreRecord chunk = segment.Next(i % 5 + 1);
      Record(store.get(), chunk);
      want.push_back(Words(chunk));
      ASSERT_TRUE(AwaitDurable(store.get()).ok());
      const std::string copy = options_.folder + absl::StrCat("-copy-", i);
      std::filesystem::copy(options_.folder, copy, std::filesystem::copy_options::recursive);
      RocksStoreOptions options = options_;
      options.folder = copy;
      const auto opened = RocksStore::Open(options);
      ASSERT_TRUE(opened.ok()) << opened.status();
      ASSERT_THAT(ContentOf(opened->get()), ElementsAreArray(want));
    }
  }
}

TEST_F(RocksStoreTest, EvictedRowsLeaveTheDisk) {
  constexpr RowSpec kWide{.observation_size = 60, .action_size = 8};
  constexpr uint64_t kCapacity = 70'000;
  uint64_t most = 0;
  {
    const auto store = Open();
    ASSERT_NE(store, nullptr);
    Record(store.get(), ConfigRecord{"c"});
    Segment segment(kSegment, kWide);
    while (segment.next() < 4 * kCapacity) {
      const uint64_t end = segment.next() + 1024;
      const uint64_t oldest = end - std::min(end, kCapacity);
      Record(store.get(), segment.Next(1024, false, oldest));
      if (segment.next() % (16 * 1024) != 0) continue;
      ASSERT_TRUE(AwaitDurable(store.get()).ok());
      uint64_t bytes = 0;
      for (const auto& file : std::filesystem::directory_iterator(options_.folder)) {
        std::error_code gone;
        const uint64_t size = file.file_size(gone);
        if (!gone) bytes += size;
      }
      most = std::max(most, bytes);
    }
  }
  // Stored rows, as many again that wait for being deleted, the logs and files being written.
  EXPECT_LT(most, uint64_t{3} * kCapacity * Table::SlotBytes(kWide) + (uint64_t{128} << 20));
  const auto store = Open();
  ASSERT_NE(store, nullptr);
  const std::vector<std::string> content = ContentOf(store.get());
  ASSERT_GT(content.size(), 2u);
  EXPECT_TRUE(absl::StartsWith(content[1], "evicted to ")) << content[1];
  EXPECT_LE(content.size(), kCapacity / 1024 + 5);
}

// What was evicted before an opening, but not deleted by then, is deleted with what is evicted
// later.
TEST_F(RocksStoreTest, PlansOfEvictedRowsLeaveTheDiskAlsoAfterAnotherOpening) {
  const std::vector<uint64_t> addresses = {1, 2, 9};
  const std::vector<float> numbers(addresses.size() * kSpec.action_size, 1.0f);
  {
    const auto store = Open();
    ASSERT_NE(store, nullptr);
    Record(store.get(), PlansRecord{addresses, numbers, numbers});
    Record(store.get(), EvictedRecord{10});
  }
  const auto plans = [this] {
    const auto database = Database::Open({.folder = options_.folder});
    EXPECT_TRUE(database.ok()) << database.status();
    size_t count = 0;
    const auto it = (*database)->Iterate(Family::kPlans);
    for (it->SeekToFirst(); it->Valid(); it->Next()) ++count;
    return count;
  };
  ASSERT_EQ(plans(), addresses.size());
  {
    const auto store = Open();
    ASSERT_NE(store, nullptr);
    EXPECT_THAT(ContentOf(store.get()), ElementsAre("evicted to 10"));
    Record(store.get(), EvictedRecord{1'000'000});
  }
  EXPECT_EQ(plans(), 0u);
}

// Opens and loads; whatever comes back must be what was recorded.
void ExpectNothingWrong(const RocksStoreOptions& options, const std::vector<std::string>& recorded,
                        int* opened) {
  const auto store = RocksStore::Open(options);
  if (!store.ok()) {
    EXPECT_THAT(store.status().message(), HasSubstr(options.folder));
    return;
  }
  const std::set<std::string> known(recorded.begin(), recorded.end());
  bool failed = false;
  const absl::Status status = (*store)->Load([&](const StoreRecord& record, double) {
    const std::string words = Words(record);
    failed |= !known.contains(words) && !std::holds_alternative<EvictedRecord>(record) &&
              !std::holds_alternative<SegmentRecord>(record);
    EXPECT_FALSE(failed) << words;
    return absl::OkStatus();
  });
  *opened += status.ok() ? 1 : 0;
  EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
}

TEST_F(RocksStoreTest, DamageOfAnyFileIsNamedOrChangesNothing) {
  auto store = Open();
  ASSERT_NE(store, nullptr);
  const std::vector<std::string> recorded = Fill(store.get());
  store.reset();
  // Once more, so that there are files of rows as well as a log.
  store = Open();
  ASSERT_NE(store, nullptr);
  ContentOf(store.get());
  Record(store.get(), BarredRecord{});
  store.reset();
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(options_.folder)) {
    if (file.file_size() > 0) names.push_back(file.path().filename());
  }
  const std::string original = options_.folder;
  int opened = 0, trials = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Random random(seed);
    options_.folder = scratch_.File("damaged");
    std::filesystem::remove_all(options_.folder);
    std::filesystem::copy(original, options_.folder);
    const std::string path = options_.folder + "/" + names[random.Below(names.size())];
    SCOPED_TRACE(path);
    const uint64_t size = std::filesystem::file_size(path);
    if (random.Below(2) == 0) {
      std::filesystem::resize_file(path, random.Below(size));
    } else {
      const uint64_t at = random.Below(size);
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(static_cast<std::streamoff>(at));
      const char byte = static_cast<char>(file.get() ^ (1 << random.Below(8)));
      file.seekp(static_cast<std::streamoff>(at));
      file.put(byte);
    }
    options_.skip_damaged = seed % 4 == 0;
    ExpectNothingWrong(options_, recorded, &opened);
    ++trials;
  }
  EXPECT_GT(opened, 0) << "some files hold nothing that is read";
  EXPECT_LT(opened, trials) << "no damage was seen";
}

TEST_F(RocksStoreTest, AMissingFileIsNamed) {
  auto store = Open();
  ASSERT_NE(store, nullptr);
  Fill(store.get());
  store.reset();
  Open().reset();
  std::filesystem::remove(options_.folder + "/CURRENT");
  const absl::Status status = RocksStore::Open(options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(status.message(), HasSubstr("CURRENT is missing"));
}

TEST_F(RocksStoreTest, AMissingFileOfRowsIsNamed) {
  auto store = Open();
  ASSERT_NE(store, nullptr);
  Fill(store.get());
  store.reset();
  Open().reset();
  std::string removed;
  for (const auto& file : std::filesystem::directory_iterator(options_.folder)) {
    if (file.path().extension() == ".sst") removed = file.path().string();
  }
  ASSERT_NE(removed, "");
  std::filesystem::remove(removed);
  const absl::Status status = RocksStore::Open(options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(status.message(), HasSubstr(removed + " is missing"));
}

}  // namespace
}  // namespace pompc::replay
