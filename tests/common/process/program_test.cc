#include "common/process/program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::ExitedWithCode;
using ::testing::KilledBySignal;

// Each test runs in a process of its own: descriptors, limits and handlers are the process's.
class ProgramDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ProgramDeathTest, StatusOfTheBodyIsTheProgramsStatus) {
  EXPECT_EXIT(_exit(RunProgram("tool", [] { return 3; })), ExitedWithCode(3), "");
}

// In a thread, since the test's own would be looked through for a handler.
void Throwing(const std::function<void()>& thrower) {
  Thread("main", [&] {
    _exit(RunProgram("tool", [&] {
      thrower();
      return 0;
    }));
  }).Join();
}

TEST_F(ProgramDeathTest, MemoryThatRunsOutIsToldInOneLine) {
  EXPECT_EXIT(Throwing([] { throw std::bad_alloc(); }), ExitedWithCode(1),
              "^tool: out of memory: [^\n]*\n$");
}

TEST_F(ProgramDeathTest, ThreadsThatCannotBeStartedAreToldInOneLine) {
  EXPECT_EXIT(Throwing([] { throw std::system_error(EAGAIN, std::generic_category()); }),
              ExitedWithCode(1),
              "^tool: no thread can be started: [^\n]*ulimit -u[^\n]*\n$");
}

TEST_F(ProgramDeathTest, LimitsAreToldWhileOtherThreadsWait) {
  EXPECT_EXIT(Throwing([] {
                Event never;
                Thread waiting("waiting", [&] { never.Wait(); });
                throw std::bad_alloc();
              }),
              ExitedWithCode(1), "^tool: out of memory: [^\n]*\n$");
}

TEST_F(ProgramDeathTest, OurOwnFaultsStillAbort) {
  EXPECT_EXIT(Throwing([] { throw std::out_of_range("index 7"); }), KilledBySignal(SIGABRT),
              "tool: index 7\n");
}

TEST_F(ProgramDeathTest, ThreadsAreCountedBeforeALibraryNeedsThem) {
  EXPECT_TRUE(CheckThreads(8).ok());
  EXPECT_EXIT(
      {
        rlimit limit;
        limit.rlim_cur = limit.rlim_max = 3;
        setrlimit(RLIMIT_NPROC, &limit);
        // No limit holds root.
        if (getuid() == 0 && setuid(64321) != 0) _exit(2);
        const absl::Status status = CheckThreads(8);
        std::cerr << std::string(status.message());
        _exit(absl::IsResourceExhausted(status) ? 0 : 1);
      },
      ExitedWithCode(0), "8 threads are needed; after [0-2] of them no thread can be started");
}

// Writes a megabyte where a kilobyte is allowed; 0 if that is an error.
int WriteTooMuch() {
  const rlimit limit = {1024, 1024};
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
  const int fd = open(::testing::TempDir().c_str(), O_TMPFILE | O_RDWR, 0600);
  if (fd < 0) return 3;
  const std::string data(1 << 20, 'x');
  while (true) {
    const ssize_t written = write(fd, data.data(), data.size());
    if (written < 0) return errno == EFBIG ? 0 : 4;
  }
}

TEST_F(ProgramDeathTest, FilesThatGrowTooLargeAreErrors) {
  EXPECT_EXIT(_exit(RunProgram("tool", WriteTooMuch)), ExitedWithCode(0), "");
}

// 0 if no file that is opened now gets the number of a standard descriptor.
int OpenAFile() { return open("/dev/null", O_RDWR) > STDERR_FILENO ? 0 : 1; }

TEST_F(ProgramDeathTest, ClosedStandardDescriptorsAreOccupied) {
  EXPECT_EXIT(
      {
        for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) close(fd);
        _exit(RunProgram("tool", OpenAFile));
      },
      ExitedWithCode(0), "");
}

// Closes standard output, or opens `path` as such; 1 if what is written to it is found missing.
void WriteTo(const char* path) {
  close(STDOUT_FILENO);
  if (path != nullptr && open(path, O_WRONLY) != STDOUT_FILENO) _exit(2);
  _exit(RunProgram("tool", [] {
    std::cout << "some text" << std::endl << "more";
    const absl::Status status = FlushStandardOutput();
    std::cerr << std::string(status.message());
    return status.ok() ? 0 : 1;
  }));
}

TEST_F(ProgramDeathTest, OutputThatDoesNotArriveIsAnError) {
  EXPECT_EXIT(WriteTo("/dev/full"), ExitedWithCode(1),
              "^writing to standard output: No space left on device$");
  EXPECT_EXIT(WriteTo(nullptr), ExitedWithCode(1),
              "^writing to standard output: Bad file descriptor$");
  EXPECT_EXIT(WriteTo("/dev/null"), ExitedWithCode(0), "");
}

}  // namespace
}  // namespace pompc
