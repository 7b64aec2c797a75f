#include "common/base/shared_mutex.h"

#include <atomic>
#include <vector>

#include "common/base/threads.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(SharedMutexTest, ReadersShareIt) {
  SharedMutex mu;
  Event shared;
  ReaderLock lock(&mu);
  // Would never end if the other reader had to wait for this one.
  Thread other("reader", [&] {
    ReaderLock other_lock(&mu);
    shared.Set();
  });
  shared.Wait();
  other.Join();
}

// With a mutex that prefers readers this would never end.
TEST(SharedMutexTest, WriterComesBetweenReadersThatTakeItAgainAndAgain) {
  SharedMutex mu;
  std::atomic<bool> written = false;
  const auto read = [&] {
    while (!written) ReaderLock lock(&mu);
  };
  std::vector<Thread> readers;
  for (int i = 0; i < 4; ++i) readers.emplace_back("reader", read);
  Thread writer("writer", [&] {
    WriterLock lock(&mu);
    written = true;
  });
  writer.Join();
  for (Thread& reader : readers) reader.Join();
}

// Two numbers that writers keep equal, and readers find equal.
TEST(SharedMutexTest, WritersAreAlone) {
  constexpr int kThreads = 3, kTurns = 2000;
  struct {
    SharedMutex mu;
    int first ABSL_GUARDED_BY(mu) = 0, second ABSL_GUARDED_BY(mu) = 0;
  } shared;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back("writer", [&] {
      for (int i = 0; i < kTurns; ++i) {
        WriterLock lock(&shared.mu);
        ++shared.first;
        ++shared.second;
      }
    });
    threads.emplace_back("reader", [&] {
      for (int i = 0; i < kTurns; ++i) {
        ReaderLock lock(&shared.mu);
        ASSERT_EQ(shared.first, shared.second);
      }
    });
  }
  for (Thread& thread : threads) thread.Join();
  ReaderLock lock(&shared.mu);
  EXPECT_EQ(shared.first, kThreads * kTurns);
}

}  // namespace
}  // namespace pompc
