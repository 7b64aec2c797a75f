#include "common/base/thread.h"

#include <pthread.h>

#include <atomic>
#include <utility>

#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(Thread, CarriesItsNameCutToWhatTheSystemShows) {
  char name[16] = "";
  Thread thread("a-rather-long-name",
                [&] { pthread_getname_np(pthread_self(), name, sizeof(name)); });
  thread.Join();
  EXPECT_STREQ(name, "a-rather-long-n");
}

TEST(Thread, DestructionAndAssignmentWaitForTheBody) {
  std::atomic<int> ended = 0;
  {
    Thread thread("first", [&] { ++ended; });
    thread = Thread("second", [&] { ++ended; });
    EXPECT_GE(ended, 1);
  }
  EXPECT_EQ(ended, 2);
}

TEST(Thread, JoinIsIdempotentAndNothingWithoutABody) {
  Thread thread;
  thread.Join();
  thread = Thread("t", [] {});
  thread.Join();
  thread.Join();
}

}  // namespace
}  // namespace pompc
