#include "common/process/freed_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

namespace pompc {
namespace {

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Blocks that the C library takes from its heap, and between them some that stay, so that no end of
// the heap is free as a whole.
TEST(FreedMemoryTest, IsKeptUntilItIsReturned) {
#ifndef __GLIBC__
  GTEST_SKIP() << "the C library keeps freed memory as it likes";
#endif
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the address sanitizer's heap is not the C library's";
#endif
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer's heap is not the C library's";
#endif
  constexpr int kBlocks = 512;
  constexpr size_t kBlock = 128 << 10;
  KeepFreedMemory();
  ReturnFreedMemory();
  const int64_t before = ResidentBytes();
  std::vector<std::unique_ptr<char[]>> blocks, between;
  for (int i = 0; i < kBlocks; ++i) {
    blocks.emplace_back(new char[kBlock]);
    std::memset(blocks.back().get(), 1, kBlock);
    between.emplace_back(new char[64]);
  }
  constexpr int64_t kAll = kBlocks * static_cast<int64_t>(kBlock);
  EXPECT_GT(ResidentBytes(), before + kAll * 9 / 10);
  blocks.clear();
  EXPECT_GT(ResidentBytes(), before + kAll * 9 / 10);
  ReturnFreedMemory();
  EXPECT_LT(ResidentBytes(), before + kAll / 5);
}

}  // namespace
}  // namespace pompc
