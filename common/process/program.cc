#include "common/process/program.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/values/utf8.h"

namespace pompc {
namespace {

constexpr absl::string_view kOutOfMemory =
    "out of memory: the system or a limit (ulimit -v, a container's) allows no more";
constexpr absl::string_view kOutOfThreads =
    "no thread can be started: the system or a limit (ulimit -u, ulimit -v, a container's "
    "pids.max) allows no more";

// The terminate handler gets no arguments, so it finds the name here.
const std::string* program_name = nullptr;

// Returns the text about the limit that caused the exception, or an empty text if none did.
absl::string_view LimitOf(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return kOutOfMemory;
  // LibTorch's allocators throw c10::Error, a type that this folder does not know.
  if (absl::StrContains(error.what(), "can't allocate memory")) return kOutOfMemory;
  const auto* system = dynamic_cast<const std::system_error*>(&error);
  if (system == nullptr) return "";
  if (system->code() == std::errc::not_enough_memory) return kOutOfMemory;
  // std::thread's constructor throws it.
  if (system->code() == std::errc::resource_unavailable_try_again) return kOutOfThreads;
  return "";
}

// Writes one line without allocating memory.
void SayAtTheEnd(absl::string_view what) {
  for (const absl::string_view part : {absl::string_view(*program_name), absl::string_view(": "),
                                       what, absl::string_view("\n")}) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, part.data(), part.size());
  }
}

// Handles exceptions that nobody catches, in any thread. A limit ends the program with status 1;
// every other exception is a bug of ours, which aborts as usual.
[[noreturn]] void OnTerminate() {
  try {
    const std::exception_ptr thrown = std::current_exception();
    if (thrown != nullptr) std::rethrow_exception(thrown);
    SayAtTheEnd("terminated without an exception");
  } catch (const std::exception& error) {
    const absl::string_view limit = LimitOf(error);
    SayAtTheEnd(limit.empty() ? error.what() : limit);
    if (!limit.empty()) _exit(EXIT_FAILURE);
  } catch (...) {
    SayAtTheEnd("an exception of an unknown type");
  }
  std::abort();
}

// Opens closed standard descriptors the wrong way round, as glibc does for set-user-ID programs:
// using one remains an error, but the next file that is opened gets another number. Otherwise a
// checkpoint could become standard error, and log lines would be written into it.
void OccupyStandardDescriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is fd, because all lower ones are open.
    [[maybe_unused]] const int opened =
        open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace

const char* Version() { return POMPC_VERSION; }

std::string ProcessName() {
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat(ToUtf8(host), ":", getpid());
}

int RunProgram(const std::string& name, const std::function<int()>& body) {
  POMPC_CHECK(program_name == nullptr, "RunProgram is called once");
  program_name = &name;
  OccupyStandardDescriptors();
  signal(SIGXFSZ, SIG_IGN);
  std::set_terminate(OnTerminate);
  // Nothing is caught here: unwinding would run destructors that wait for threads, which may wait
  // for something that was never made.
  return body();
}

// Starting them is the only reliable test: limits of the user, of the container and of memory all
// count. They exist at the same time, wait for one event, and end.
absl::Status CheckThreads(int count) {
  POMPC_CHECK_GE(count, 0);
  Event checked;
  std::vector<Thread> threads;
  bool refused = false;
  try {
    while (threads.size() < static_cast<size_t>(count)) {
      threads.emplace_back("check", [&checked] { checked.Wait(); });
    }
  } catch (const std::system_error&) {
    refused = true;
  }
  checked.Set();
  const size_t started = threads.size();
  threads.clear();
  if (!refused) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(count, " threads are needed; after ", started, " of them ", kOutOfThreads));
}

absl::Status FlushStandardOutput() {
  std::cout.flush();
  if (std::cout.good()) return absl::OkStatus();
  // The stream does not keep the reason; writing once more makes the system say it.
  if (write(STDOUT_FILENO, "\n", 1) < 0) {
    return absl::ErrnoToStatus(errno, "writing to standard output");
  }
  return absl::DataLossError("writing to standard output failed: some of the output is missing");
}

}  // namespace pompc
