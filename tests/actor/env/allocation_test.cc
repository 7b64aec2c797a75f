// Counts every allocation of this process: the program's own (operator new asks malloc) and those
// of MuJoCo, whose library finds the functions below before the C library's.
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "actor/env/registry.h"
#include "gtest/gtest.h"
#include "tests/actor/env/available.h"

namespace {
std::atomic<int64_t> allocations = 0;
}  // namespace

#ifdef __SANITIZE_ADDRESS__
// The sanitizer has these functions for itself, and tells.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, size_t),
                                                         void (*)(const volatile void*));
namespace {
const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { ++allocations; }, [](const volatile void*) {});
}  // namespace
#else
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) noexcept {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) noexcept {
  ++allocations;
  return __libc_realloc(memory, size);
}
void* memalign(size_t alignment, size_t size) noexcept {
  ++allocations;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) noexcept { return memalign(alignment, size); }
int posix_memalign(void** memory, size_t alignment, size_t size) noexcept {
  *memory = memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
}  // extern "C"
#endif

namespace pompc::env {
namespace {

constexpr int kDecisions = 50;

int64_t AllocationsOf(absl::FunctionRef<void()> call) {
  const int64_t before = allocations;
  call();
  return allocations - before;
}

TEST(AllocationTest, NewMallocAndMujocoAreCounted) {
  std::unique_ptr<int> number;
  void* memory = nullptr;
  mjModel* copy = nullptr;
  auto simulation = *MakeSimulation("pendulum-swingup", 1);
  EXPECT_GT(AllocationsOf([&] { number = std::make_unique<int>(1); }), 0);
  EXPECT_GT(AllocationsOf([&] { memory = std::malloc(100); }), 0);
  EXPECT_GT(AllocationsOf([&] { copy = mj_copyModel(nullptr, &simulation->physics().model()); }),
            0);
  std::free(memory);
  mj_deleteModel(copy);
}

TEST(AllocationTest, StepsAndResetsAllocateNothingAfterTheFirstEpisodes) {
  for (const std::string& task : AvailableTasks()) {
    SCOPED_TRACE(task);
    auto environment = *MakeFloatEnvironment(task, 1, 2);
    const std::vector<float> action(environment->spec().action_size, 0.3f);
    // A task that terminates begins anew on the way.
    const auto play = [&] {
      ASSERT_TRUE(environment->Reset().ok());
      for (int i = 0; i < kDecisions; ++i) {
        const StepResult result = *environment->Step(action);
        ASSERT_FALSE(result.truncated);
        if (result.done()) {
          ASSERT_TRUE(environment->Reset().ok());
        }
      }
    };
    // The second episode may still find an observation buffer of its first size.
    for (int i = 0; i < 2; ++i) play();
    EXPECT_EQ(AllocationsOf(play), 0);
  }
}

// Over the time limit and the start that follows it.
TEST(AllocationTest, EndsOfEpisodesAllocateNothing) {
  auto environment = *MakeFloatEnvironment("reacher-easy", 1, 4);
  const std::vector<float> action(environment->spec().action_size, 0.3f);
  int ends = 0;
  const auto run_episode = [&] {
    ASSERT_TRUE(environment->Reset().ok());
    StepResult result;
    while (!result.done()) result = *environment->Step(action);
    ends += result.truncated ? 1 : 0;
  };
  for (int i = 0; i < 2; ++i) run_episode();
  EXPECT_EQ(AllocationsOf([&] {
              for (int i = 0; i < 2; ++i) run_episode();
            }),
            0);
  EXPECT_EQ(ends, 4);
}

}  // namespace
}  // namespace pompc::env
