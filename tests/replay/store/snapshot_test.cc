#include "replay/store/snapshot.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/store/rocks_store.h"
#include "tests/replay/faults/store_model.h"
#include "tests/replay/store/store_env.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::replay {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

// A store and what it was given, group by group.
class SnapshotTest : public testing::TestWithParam<Durability> {
 protected:
  SnapshotTest() {
    options_.folder = scratch_.File("data/shard-0");
    options_.durability = GetParam();
    options_.env = &env_;
    Open();
  }

  void Open() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<RocksStore>> opened = RocksStore::Open(options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
    const auto words = LoadedWords(store_.get());
    ASSERT_TRUE(words.ok()) << words.status();
    ASSERT_EQ(*words, contents_.back());
  }

  void Give() {
    workload_.Next([&](std::span<const StoreRecord> records) {
      for (const StoreRecord& record : records) content_.Add(record);
      contents_.push_back(content_.words());
      store_->Record(records);
    });
    const size_t given = contents_.size() - 1;
    auto durable = std::make_shared<Event>();
    store_->WhenDurable([this, durable, given](const absl::Status& status) {
      if (status.ok()) durable_ = given;
      durable->Set();
    });
    durable->Wait();
  }

  // Restores the snapshot to a new folder and returns the number of the group after which the
  // content was the restored one; none: -1.
  int64_t RestoredGroup(const std::string& snapshot, const std::string& folder) {
    const absl::StatusOr<RestoredContent> restored = RestoreSnapshot(snapshot, folder);
    EXPECT_TRUE(restored.ok()) << restored.status();
    RocksStoreOptions options = options_;
    options.folder = folder;
    const auto store = RocksStore::Open(options);
    EXPECT_TRUE(store.ok()) << store.status();
    if (!restored.ok() || !store.ok()) return -1;
    EXPECT_EQ((*store)->incarnation(), store_->incarnation());
    EXPECT_EQ((*store)->opening(), restored->opening);
    EXPECT_GT((*store)->opening(), store_->opening() + 1000) << "unlike one of the original";
    const auto words = LoadedWords(store->get());
    EXPECT_TRUE(words.ok()) << words.status();
    uint64_t rows = 0;
    for (const std::string& word : *words) rows += word.find(" is row ") != std::string::npos;
    EXPECT_EQ(restored->rows, rows);
    for (size_t group = contents_.size(); group-- > 0;) {
      if (contents_[group] == *words) return static_cast<int64_t>(group);
    }
    return -1;
  }

  const uint64_t seed_ = static_cast<uint64_t>(testing::UnitTest::GetInstance()->random_seed());
  const ScratchFolder scratch_;
  StoreEnv env_;
  RocksStoreOptions options_;
  StoreWorkload workload_{seed_};
  ContentWords content_;
  std::vector<std::set<std::string>> contents_ = {ContentWords().words()};
  std::atomic<size_t> durable_ = 0;
  std::unique_ptr<RocksStore> store_;
};

TEST_P(SnapshotTest, HoldsWhatWasDurableBeforeAndAPrefixOfWhatCame) {
  SCOPED_TRACE(absl::StrCat("seed ", seed_));
  struct Made {
    std::string folder;
    size_t at_least;
  };
  std::vector<Made> made;
  for (int i = 0; i < 40; ++i) Give();
  std::atomic<bool> done = false;
  Thread snapshots("snapshots", [&] {
    for (int i = 0; i < 4; ++i) {
      const size_t at_least = durable_;
      const auto folder = store_->Snapshot(absl::StrCat("number-", i));
      EXPECT_TRUE(folder.ok()) << folder.status();
      if (folder.ok()) made.push_back({*folder, at_least});
    }
    done = true;
  });
  while (!done) Give();
  snapshots.Join();
  for (int i = 0; i < 40; ++i) Give();
  ASSERT_EQ(made.size(), 4u);
  for (size_t i = 0; i < made.size(); ++i) {
    EXPECT_EQ(made[i].folder, absl::StrCat(options_.folder, "/snapshots/number-", i));
    const int64_t group =
        RestoredGroup(made[i].folder, scratch_.File(absl::StrCat("restored-", i)));
    EXPECT_GE(group, static_cast<int64_t>(made[i].at_least)) << i;
  }
  // The original has noticed nothing, and a snapshot can be restored again.
  Open();
  EXPECT_GE(RestoredGroup(made[0].folder, scratch_.File("again")),
            static_cast<int64_t>(made[0].at_least));
}

TEST_P(SnapshotTest, RefusesWhatIsNoNameATakenNameAndOneTooMany) {
  Give();
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"),
        std::string("../up"), std::string("a b"), std::string("a\0b", 3), std::string(65, 'a')}) {
    EXPECT_EQ(store_->Snapshot(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  for (size_t i = 0; i < kMaxSnapshots; ++i) {
    ASSERT_TRUE(store_->Snapshot(absl::StrCat("s.", i)).ok());
  }
  EXPECT_EQ(store_->Snapshot("s.0").status().code(), absl::StatusCode::kAlreadyExists);
  const absl::Status many = store_->Snapshot("more").status();
  EXPECT_EQ(many.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(many.message(), HasSubstr("delete the folder of one"));
  fs::remove_all(fs::path(options_.folder) / "snapshots/s.3");
  EXPECT_TRUE(store_->Snapshot("more").ok());
}

TEST_P(SnapshotTest, AFullDiskMakesNoneAndHarmsNothing) {
  for (int i = 0; i < 10; ++i) Give();
  env_.SetFull(true);
  const absl::Status full = store_->Snapshot("first").status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_FALSE(fs::exists(fs::path(options_.folder) / "snapshots/first"));
  env_.SetFull(false);
  for (int i = 0; i < 10; ++i) Give();
  const auto folder = store_->Snapshot("first");
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(RestoredGroup(*folder, scratch_.File("restored")), 20);
  Open();
}

TEST_P(SnapshotTest, IsRefusedBetweenAFailedWriteAndTheNextAttempt) {
  options_.retry = {.initial = absl::Hours(1), .max = absl::Hours(1)};
  Open();
  Event failed;
  store_->OnChange([&failed] { failed.Set(); });
  Give();
  env_.SetFull(true);
  workload_.Next([&](std::span<const StoreRecord> records) { store_->Record(records); });
  failed.Wait();
  env_.SetFull(false);
  const absl::Status refused = store_->Snapshot("first").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_FALSE(fs::exists(fs::path(options_.folder) / "snapshots/first"));
  store_->OnChange(nullptr);
}

// `pompc replay info` opens the folder that it looks into.
TEST_P(SnapshotTest, ASnapshotThatWasOpenedIsRestoredOnceItIsClosed) {
  for (int i = 0; i < 10; ++i) Give();
  const auto folder = store_->Snapshot("s");
  ASSERT_TRUE(folder.ok()) << folder.status();
  RocksStoreOptions options = options_;
  options.folder = *folder;
  auto opened = RocksStore::Open(options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const absl::Status used = RestoreSnapshot(*folder, scratch_.File("a")).status();
  EXPECT_EQ(used.code(), absl::StatusCode::kFailedPrecondition) << used;
  EXPECT_THAT(used.message(), HasSubstr("in use"));
  opened->reset();
  EXPECT_EQ(RestoredGroup(*folder, scratch_.File("a")), 10);
}

TEST_P(SnapshotTest, RestoringNeverOverwritesAndFindsDamage) {
  for (int i = 0; i < 20; ++i) Give();
  const auto folder = store_->Snapshot("s");
  ASSERT_TRUE(folder.ok()) << folder.status();
  const auto code = [](const absl::StatusOr<RestoredContent>& restored) {
    return restored.status().code();
  };
  EXPECT_EQ(code(RestoreSnapshot(scratch_.File("none"), scratch_.File("a"))),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(code(RestoreSnapshot(options_.folder, scratch_.File("a"))),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(RestoreSnapshot(*folder, options_.folder)), absl::StatusCode::kAlreadyExists);
  for (const auto& file : fs::directory_iterator(*folder)) {
    if (file.path().extension() != ".sst") continue;
    std::fstream damaged(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekp(10);
    damaged.put('x');
    // Files are shared with the original, which has to be opened no more.
    break;
  }
  const absl::StatusOr<RestoredContent> restored = RestoreSnapshot(*folder, scratch_.File("a"));
  EXPECT_EQ(code(restored), absl::StatusCode::kDataLoss) << restored.status();
  EXPECT_THAT(std::string(restored.status().message()), ::testing::HasSubstr(*folder));
  EXPECT_FALSE(fs::exists(scratch_.File("a")));
}

INSTANTIATE_TEST_SUITE_P(Each, SnapshotTest,
                         testing::Values(Durability::kSync, Durability::kBackground));

}  // namespace
}  // namespace pompc::replay
