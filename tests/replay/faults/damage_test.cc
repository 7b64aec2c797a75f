#include <map>
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

  // Opens the damaged folder: what it gives back is right, or the damage is named.
  void Check(const std::string& what, size_t at_least) {
    const absl::Status status = machine_.Check(at_least);
    ASSERT_FALSE(absl::IsInternal(status)) << "seed " << seed_ << ", " << what << ": " << status;
    ++(status.ok() ? right_ : named_);
    if (status.ok()) return;
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
};

TEST_F(DamageTest, ATruncatedFileIsHarmlessOrNamed) {
  for (int i = 0; i < kDamages; ++i) {
    const std::string path = AnyFile();
    // RocksDB takes a manifest that ends with one of its records for one that was not written on.
    if (absl::StrContains(path, "MANIFEST")) continue;
    std::string content = saved_.Content(path);
    content.resize(random_.Below(content.size()));
    machine_.disk().CopyFrom(saved_);
    machine_.disk().SetContent(path, content);
    // Nothing tells a log that was cut off from one that was not written any further.
    const bool log = absl::EndsWith(path, ".log");
    Check(absl::StrCat(path, " cut to ", content.size()), log ? 0 : machine_.given());
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(named_, 0);
}

TEST_F(DamageTest, AFileThatIsGoneOrOfAnotherTimeIsHarmlessOrNamed) {
  for (const std::string& path : files_) {
    machine_.disk().CopyFrom(saved_);
    ASSERT_TRUE(machine_.disk().DeleteFile(path, {}, nullptr).ok());
    const bool log = absl::EndsWith(path, ".log");
    Check(absl::StrCat(path, " deleted"), log ? 0 : machine_.given());
    if (HasFatalFailure()) return;
  }
  for (int i = 0; i < kDamages / 4; ++i) {
    // A copy of another file of the folder in its place.
    const std::string from = AnyFile(), to = AnyFile();
    machine_.disk().CopyFrom(saved_);
    machine_.disk().SetContent(to, saved_.Content(from));
    const bool log = absl::EndsWith(to, ".log");
    Check(absl::StrCat(to, " replaced by ", from), log ? 0 : machine_.given());
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(named_, 0);
}

}  // namespace
}  // namespace pompc::replay
