#include "common/io/disk_space.h"

#include <cmath>

#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(DiskSpace, IsThatOfTheFoldersFileSystem) {
  const DiskSpace disk = DiskSpaceOf(testing::TempDir());
  EXPECT_GT(disk.total_bytes, 0);
  EXPECT_GE(disk.free_bytes, 0);
  EXPECT_LE(disk.free_bytes, disk.total_bytes);
}

TEST(DiskSpace, IsUnknownWhereThereIsNoFolder) {
  for (const char* folder : {"", "/no/such/folder"}) {
    EXPECT_TRUE(std::isnan(DiskSpaceOf(folder).free_bytes)) << folder;
    EXPECT_TRUE(std::isnan(DiskSpaceOf(folder).total_bytes)) << folder;
  }
}

}  // namespace
}  // namespace pompc
