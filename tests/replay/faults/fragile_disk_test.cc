#include "tests/replay/faults/fragile_disk.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"

namespace pompc::replay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Leaves = FragileDisk::Leaves;

const rocksdb::IOOptions kOptions;
const rocksdb::FileOptions kFileOptions;

class FragileDiskTest : public ::testing::Test {
 protected:
  std::unique_ptr<rocksdb::FSWritableFile> Make(const std::string& path) {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    EXPECT_TRUE(disk_.NewWritableFile(path, kFileOptions, &file, nullptr).ok());
    return file;
  }
  void SyncFolder() {
    std::unique_ptr<rocksdb::FSDirectory> folder;
    ASSERT_TRUE(disk_.NewDirectory("/data", kOptions, &folder, nullptr).ok());
    ASSERT_TRUE(folder->Fsync(kOptions, nullptr).ok());
  }
  void Rename(const std::string& from, const std::string& to) {
    ASSERT_TRUE(disk_.RenameFile(from, to, kOptions, nullptr).ok());
  }

  FragileDisk disk_{{"/data"}};
};

TEST_F(FragileDiskTest, WhatWasNotSyncedIsLost) {
  const auto file = Make("/data/a");
  ASSERT_TRUE(file->Append("safe", kOptions, nullptr).ok());
  ASSERT_TRUE(file->Sync(kOptions, nullptr).ok());
  ASSERT_TRUE(file->Append(", not safe", kOptions, nullptr).ok());
  SyncFolder();
  Make("/data/b");
  disk_.Restart(Leaves::kSafe, 0);
  EXPECT_THAT(disk_.Files(), ElementsAre("/data/a"));
  EXPECT_EQ(disk_.Content("/data/a"), "safe");
}

TEST_F(FragileDiskTest, NamesThatWereNotSyncedAreAsBefore) {
  for (const char* name : {"/data/a", "/data/b", "/data/c"}) {
    const auto file = Make(name);
    ASSERT_TRUE(file->Append(name, kOptions, nullptr).ok());
    ASSERT_TRUE(file->Sync(kOptions, nullptr).ok());
  }
  SyncFolder();
  Rename("/data/a", "/data/b");
  ASSERT_TRUE(disk_.DeleteFile("/data/c", kOptions, nullptr).ok());
  EXPECT_THAT(disk_.Files(), ElementsAre("/data/b"));
  disk_.Restart(Leaves::kSafe, 0);
  EXPECT_THAT(disk_.Files(), ElementsAre("/data/a", "/data/b", "/data/c"));
  EXPECT_EQ(disk_.Content("/data/b"), "/data/b");

  Rename("/data/a", "/data/b");
  SyncFolder();
  disk_.Restart(Leaves::kSafe, 0);
  EXPECT_THAT(disk_.Files(), ElementsAre("/data/b", "/data/c"));
  EXPECT_EQ(disk_.Content("/data/b"), "/data/a");
}

TEST_F(FragileDiskTest, APartOfWhatIsNotSafeIsABeginning) {
  const auto file = Make("/data/a");
  SyncFolder();
  ASSERT_TRUE(file->Append("12", kOptions, nullptr).ok());
  ASSERT_TRUE(file->Sync(kOptions, nullptr).ok());
  ASSERT_TRUE(file->Append("3456", kOptions, nullptr).ok());
  std::set<std::string> left;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    FragileDisk disk({"/data"});
    std::unique_ptr<rocksdb::FSWritableFile> copy;
    ASSERT_TRUE(disk.NewWritableFile("/data/a", kFileOptions, &copy, nullptr).ok());
    ASSERT_TRUE(copy->Append("12", kOptions, nullptr).ok());
    ASSERT_TRUE(copy->Sync(kOptions, nullptr).ok());
    ASSERT_TRUE(copy->Append("3456", kOptions, nullptr).ok());
    disk.Restart(Leaves::kPart, seed);
    for (const std::string& path : disk.Files()) left.insert(disk.Content(path));
  }
  for (const char* begin : {"12", "123", "1234", "12345", "123456"}) {
    EXPECT_TRUE(left.contains(begin)) << begin;
  }
  for (const std::string& content : left) EXPECT_TRUE(content.starts_with("12")) << content;
}

TEST_F(FragileDiskTest, EverythingFailsFromThePowerCutOn) {
  const auto file = Make("/data/a");
  disk_.CutPowerAt(disk_.operations() + 1);
  EXPECT_TRUE(file->Append("1", kOptions, nullptr).ok());
  EXPECT_FALSE(disk_.power_is_cut());
  EXPECT_FALSE(file->Sync(kOptions, nullptr).ok());
  EXPECT_TRUE(disk_.power_is_cut());
  EXPECT_FALSE(file->Append("2", kOptions, nullptr).ok());
  EXPECT_FALSE(disk_.FileExists("/data/a", kOptions, nullptr).ok());
  disk_.Restart(Leaves::kAll, 0);
  EXPECT_EQ(disk_.Content("/data/a"), "1");
}

TEST_F(FragileDiskTest, AFullDiskTakesNothingUntilThereIsRoom) {
  const auto file = Make("/data/a");
  disk_.LimitBytes(3);
  EXPECT_TRUE(file->Append("12", kOptions, nullptr).ok());
  const rocksdb::IOStatus full = file->Append("34", kOptions, nullptr);
  EXPECT_TRUE(full.IsNoSpace()) << full.ToString();
  EXPECT_EQ(disk_.bytes(), 2);
  disk_.LimitBytes(4);
  EXPECT_TRUE(file->Append("34", kOptions, nullptr).ok());
  EXPECT_EQ(disk_.Content("/data/a"), "1234");
}

// RocksDB on the disk keeps what it promises, wherever the power is cut: what was written with sync
// is there, and nothing else than what was written.
TEST_F(FragileDiskTest, RocksDbKeepsWhatItHasSynced) {
  for (uint64_t cut = 0;; ++cut) {
    const auto disk = std::make_shared<FragileDisk>(std::vector<std::string>{"/data"});
    const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
    rocksdb::Options options;
    options.env = env.get();
    options.create_if_missing = true;
    options.write_buffer_size = 64 << 10;
    disk->CutPowerAt(cut);
    rocksdb::DB* opened = nullptr;
    int acked = 0;
    if (rocksdb::DB::Open(options, "/data", &opened).ok()) {
      const std::unique_ptr<rocksdb::DB> db(opened);
      rocksdb::WriteOptions sync;
      sync.sync = true;
      for (; acked < 4; ++acked) {
        const std::string value(20000, static_cast<char>('a' + acked));
        if (!db->Put(sync, absl::StrCat(acked), value).ok()) break;
      }
    }
    const bool done = !disk->power_is_cut();
    disk->Restart(static_cast<Leaves>(cut % 3), cut);
    ASSERT_TRUE(rocksdb::DB::Open(options, "/data", &opened).ok()) << "cut at " << cut;
    const std::unique_ptr<rocksdb::DB> db(opened);
    for (int i = 0; i < 4; ++i) {
      std::string value;
      const rocksdb::Status status = db->Get({}, absl::StrCat(i), &value);
      ASSERT_EQ(status.ok(), i < acked || (status.ok() && i == acked)) << "cut at " << cut;
      if (status.ok()) {
        ASSERT_EQ(value, std::string(20000, static_cast<char>('a' + i)));
      }
    }
    if (done) break;
  }
}

}  // namespace
}  // namespace pompc::replay
