#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/replay/faults/store_machine.h"

namespace pompc::replay {
namespace {

constexpr int kDamages = 400;

// A folder in which a store was killed: rows in files of several kinds, and in the log.
class DamageTest : public testing::Test {
 protected:
  DamageTest() : machine_(seed_, Durability::kSync), random_(seed_) {
    for (int opening = 0; opening < 3; ++opening) EXPECT_TRUE(machine_.Work(30).ok());
    saved_.CopyFrom(machine_.disk());
    for (const std::string& path : saved_.Files()) {
      if (!saved_.Content(path).empty()) files_.push_back(path);
    }
  }

  std::string AnyFile() { return files_[random_.Below(files_.size())]; }

  // Gives the file another content. Everything else is as the killed store has left it.
  void Damage(const std::string& path, const std::string& content, const std::string& what) {
    machine_.disk().CopyFrom(saved_);
    machine_.disk().SetContent(path, content);
    Check(absl::StrCat(path, " ", what));
  }

  // Opens the damaged folder: it gives back everything, or the damage is named.
  void Check(const std::string& what) {
    const absl::Status status = machine_.Check(machine_.given());
    ASSERT_FALSE(absl::IsInternal(status)) << "seed " << seed_ << ", " << what << ": " << status;
    ++(status.ok() ? right_ : named_);
    if (status.ok()) return;
    last_ = absl::StrCat(what, ": ", status.ToString());
    // Damage is named so that it is found: by the folder, or by the record of which address.
    EXPECT_TRUE(absl::StrContains(status.message(), "shard-0") ||
                absl::StrContains(status.message(), "record") ||
                absl::StrContains(status.message(), "rows"))
        << what << ": " << status;
  }

  const uint64_t seed_ = static_cast<uint64_t>(testing::UnitTest::GetInstance()->random_seed());
  StoreMachine machine_;
  Random random_;
  FragileDisk saved_{{"/disk", "/disk/shard-0"}};
  std::vector<std::string> files_;
  int right_ = 0, named_ = 0;
  std::string last_;
};

TEST_F(DamageTest, ATruncatedFileIsHarmlessOrNamed) {
  for (int i = 0; i < kDamages; ++i) {
    const std::string path = AnyFile();
    std::string content = saved_.Content(path);
    content.resize(random_.Below(content.size()));
    Damage(path, content, absl::StrCat("cut to ", content.size()));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(named_, 0);
}

TEST_F(DamageTest, AFlippedBitIsHarmlessOrNamed) {
  for (int i = 0; i < 2 * kDamages; ++i) {
    const std::string path = AnyFile();
    std::string content = saved_.Content(path);
    const uint64_t at = random_.Below(content.size()), bit = random_.Below(8);
    content[at] = static_cast<char>(content[at] ^ (1 << bit));
    Damage(path, content, absl::StrCat("bit ", bit, " of byte ", at, " flipped"));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(named_, 0);
}

// RocksDB reads these bytes before their checksum, and one of them makes it abort the process.
TEST_F(DamageTest, EachFlippedBitAtTheEndOfATableIsNamed) {
  const auto table = std::find_if(files_.begin(), files_.end(), [](const std::string& path) {
    return absl::EndsWith(path, ".sst");
  });
  ASSERT_NE(table, files_.end());
  const std::string content = saved_.Content(*table);
  for (size_t at = content.size() - 100; at < content.size(); ++at) {
    std::string flipped = content;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x80);
    Damage(*table, flipped, absl::StrCat("bit 7 of byte ", at, " flipped"));
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(named_, 100) << "seed " << seed_;
}

// A list of files that has to be cut off first is no reason to leave the files unread.
TEST_F(DamageTest, ADamagedTableIsNamedWhereAPowerCutLeftSomethingBehindTheManifest) {
  const auto find = [this](absl::string_view part) {
    return *std::find_if(files_.begin(), files_.end(),
                         [part](const std::string& path) { return absl::StrContains(path, part); });
  };
  const std::string manifest = find("MANIFEST"), table = find(".sst");
  // A record of 5 bytes, with a checksum that is not theirs.
  const std::string behind("\1\2\3\4\5\0\1abcde", 12);
  std::string flipped = saved_.Content(table);
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
  machine_.disk().CopyFrom(saved_);
  machine_.disk().SetContent(manifest, saved_.Content(manifest) + behind);
  machine_.disk().SetContent(table, flipped);
  const absl::Status status = machine_.Check(machine_.given());
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << "seed " << seed_ << ": " << status;
  EXPECT_TRUE(absl::StrContains(status.message(), table)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "is damaged: its checksum")) << status;
}

TEST_F(DamageTest, AFileThatIsGoneOrOfAnotherTimeIsHarmlessOrNamed) {
  for (const std::string& path : files_) {
    machine_.disk().CopyFrom(saved_);
    ASSERT_TRUE(machine_.disk().DeleteFile(path, {}, nullptr).ok());
    Check(absl::StrCat(path, " deleted"));
    if (HasFatalFailure()) return;
  }
  for (int i = 0; i < kDamages / 4; ++i) {
    // A copy of another file of the folder in its place.
    const std::string from = AnyFile(), to = AnyFile();
    Damage(to, saved_.Content(from), absl::StrCat("replaced by ", from));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(named_, 0);
}

// A file that was being written to when the power was cut may have become longer, with zeros or
// with what the disk held there before.
TEST_F(DamageTest, WhatAPowerCutLeavesBehindTheEndOfAFileThatGrowsIsHarmless) {
  for (const std::string& path : files_) {
    const std::string content = saved_.Content(path);
    const bool grows = absl::EndsWith(path, ".log") || absl::StrContains(path, "MANIFEST") ||
                       absl::StrContains(path, "WATERMARK");
    if (!grows) continue;
    for (const int zeros : {1, 6, 7, 8, 100, 4096, 40000}) {
      Damage(path, content + std::string(zeros, '\0'), absl::StrCat(zeros, " zeros behind it"));
      // In a log, such bytes may also be what is left of acknowledged rows.
      if (absl::EndsWith(path, ".log")) continue;
      Damage(path, content + content.substr(content.size() / 2, 20) + std::string(zeros, '\0'),
             absl::StrCat("20 bytes and ", zeros, " zeros behind it"));
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(right_, 0);
  EXPECT_EQ(named_, 0) << "seed " << seed_ << ", " << last_;
}

}  // namespace
}  // namespace pompc::replay
