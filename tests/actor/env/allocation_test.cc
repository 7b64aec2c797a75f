// Counts every allocation of this binary.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "actor/env/registry.h"
#include "gtest/gtest.h"
#include "tests/actor/env/available.h"

namespace {
std::atomic<int64_t> allocations = 0;
}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace pompc::env {
namespace {

constexpr int kDecisions = 50;

TEST(AllocationTest, StepsAndResetsAllocateNothingAfterTheFirstEpisodes) {
  for (const std::string& task : AvailableTasks()) {
    SCOPED_TRACE(task);
    auto environment = *MakeFloatEnvironment(task, 1, 2);
    const std::vector<float> action(environment->spec().action_size, 0.3f);
    const auto run_episode = [&] {
      ASSERT_TRUE(environment->Reset().ok());
      for (int i = 0; i < kDecisions; ++i) ASSERT_FALSE(environment->Step(action)->done());
    };
    // The second episode may still find an observation buffer of its first size.
    for (int i = 0; i < 2; ++i) run_episode();
    const int64_t before = allocations;
    run_episode();
    EXPECT_EQ(allocations - before, 0);
  }
  EXPECT_GT(allocations, 0);
}

}  // namespace
}  // namespace pompc::env
