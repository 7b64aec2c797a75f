#include "common/process/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc {
namespace {

// A handler function gets only the signal's number; everything else that it needs is here.
std::atomic<int> signals_seen{0};
std::atomic<int> first_signal{0};
std::atomic<int64_t> first_milliseconds{0};
std::atomic<int> wake_fd{-1};
// True while a SignalHandler exists. There is at most one at a time.
std::atomic<bool> exists{false};

// Added to the event counter to end the thread without a signal; signal numbers are smaller.
constexpr uint64_t kEndThread = 1 << 16;

// The signals that announce an end rather than demand it. Repeating them has no effect, and those
// that were ignored when the process started stay ignored.
constexpr std::array<int, 4> kNotices = {SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2};

// timeout(1) sends its signal to the process and at once to the whole group, which is one request
// to end and no impatience. Nobody presses Ctrl-C twice in this time.
constexpr int64_t kEchoMilliseconds = 100;

int64_t Milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

bool IsNotice(int signal) {
  return std::find(kNotices.begin(), kNotices.end(), signal) != kNotices.end();
}

sigset_t TerminationSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  for (const int notice : kNotices) {
    struct sigaction action {};
    sigaction(notice, nullptr, &action);
    if (action.sa_handler != SIG_IGN) sigaddset(&set, notice);
  }
  return set;
}

// Returns whether the calling thread blocks the signals, which leaves them to the handler's thread.
bool SignalsAreBlocked() {
  sigset_t blocked;
  sigemptyset(&blocked);
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  return sigismember(&blocked, SIGINT) == 1 && sigismember(&blocked, SIGTERM) == 1;
}

// Runs in the handler's thread, the only one of ours that does not block the signals. It also runs
// in threads that libraries started before main (OpenBLAS does), which is why there is a handler
// function instead of sigwait(). Only async-signal-safe calls are allowed here.
void OnSignal(int signal) {
  // Before the signal is counted: an echo may arrive in another thread at the same time.
  int64_t unset = 0;
  first_milliseconds.compare_exchange_strong(unset, Milliseconds());
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
  if (signals_seen.fetch_add(1) > 0) {
    if (IsNotice(signal)) return;
    if (signal == first_signal.load() &&
        Milliseconds() - first_milliseconds.load() < kEchoMilliseconds) {
      return;
    }
    _exit(128 + signal);
  }
  const int saved_errno = errno;
  const uint64_t number = static_cast<uint64_t>(signal);
  // This cannot fail, because the counter is far from full.
  [[maybe_unused]] const ssize_t written = write(wake_fd.load(), &number, sizeof(number));
  errno = saved_errno;
}

// Blocks until OnSignal or the destructor adds to the counter, and returns the sum. It waits in
// poll() because ThreadSanitizer does not run handlers during read().
uint64_t ReadEvent(int fd) {
  pollfd polled = {fd, POLLIN, 0};
  while (poll(&polled, 1, -1) < 0 && errno == EINTR) {
  }
  uint64_t value = 0;
  while (read(fd, &value, sizeof(value)) < 0 && errno == EINTR) {
  }
  return value;
}

void SetHandler(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_mask = TerminationSignals();
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2}) {
    if (sigismember(&action.sa_mask, signal) == 1) sigaction(signal, &action, nullptr);
  }
}

void Serve(int fd, const std::function<void(int)>& on_first) {
  const sigset_t set = TerminationSignals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  const uint64_t first = ReadEvent(fd);
  if (first >= kEndThread) return;
  on_first(static_cast<int>(first));
  // The thread stays so that a second signal is delivered: all others block it.
  while (ReadEvent(fd) < kEndThread) {
  }
}

}  // namespace

void BlockSignals() {
  const sigset_t set = TerminationSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

std::string StopReason(int signal) {
  if (signal == SIGXCPU) return "CPU time limit (ulimit -t) reached";
  const char* name = sigabbrev_np(signal);
  return name == nullptr ? absl::StrCat("told to end by signal ", signal)
                         : absl::StrCat("told to end by SIG", name);
}

SignalHandler::SignalHandler(std::function<void(int signal)> on_first)
    : wake_fd_(eventfd(0, EFD_CLOEXEC)) {
  POMPC_CHECK(SignalsAreBlocked(), "BlockSignals() comes first");
  POMPC_CHECK(!exists.exchange(true), "one SignalHandler at a time");
  signals_seen = 0;
  first_signal = 0;
  first_milliseconds = 0;
  wake_fd = wake_fd_;
  SetHandler(OnSignal);
  thread_ =
      Thread("signals", [fd = wake_fd_, on_first = std::move(on_first)] { Serve(fd, on_first); });
}

SignalHandler::~SignalHandler() {
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &kEndThread, sizeof(kEndThread));
  thread_.Join();
  SetHandler(SIG_DFL);
  close(wake_fd_);
  exists = false;
}

}  // namespace pompc
