#include "common/io/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/io/descriptors.h"

namespace pompc {
namespace {

constexpr size_t kKeptWords = 2000;
// How often a process that has closed its standard error is asked whether it has ended.
constexpr int kReapEveryMs = 5;

void CloseAll(std::initializer_list<int> descriptors) {
  for (const int fd : descriptors) {
    if (fd >= 0) close(fd);
  }
}

// Starts it with the descriptors as standard input and error; 0 or errno.
int Spawn(const std::vector<std::string>& arguments, int input, int errors, pid_t* pid) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  // Signals that this process blocks or ignores must end the child as ever.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) sigaddset(&signals, signal);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  const int error = posix_spawnp(pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

absl::string_view LastLine(absl::string_view text) {
  text = absl::StripTrailingAsciiWhitespace(text);
  const size_t start = text.rfind('\n');
  return start == absl::string_view::npos ? text : text.substr(start + 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& arguments, absl::Duration patience) {
  POMPC_CHECK(!arguments.empty());
  // Its input is a socket, not a pipe: writing to one never raises SIGPIPE.
  std::array<int, 2> input = {-1, -1}, errors = {-1, -1};
  pid_t pid = 0;
  int error = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input.data()) != 0 ||
      pipe2(errors.data(), O_CLOEXEC) != 0) {
    error = errno;
  } else {
    error = Spawn(arguments, input[1], errors[1], &pid);
  }
  CloseAll({input[1], errors[1]});
  if (error == 0) {
    return std::unique_ptr<ChildProcess>(
        new ChildProcess(arguments[0], pid, input[0], errors[0], patience));
  }
  CloseAll({input[0], errors[0]});
  if (error == ENOENT) return absl::NotFoundError(absl::StrCat("no ", arguments[0], " in PATH"));
  return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", arguments[0]));
}

ChildProcess::ChildProcess(std::string name, pid_t pid, int input, int errors,
                           absl::Duration patience)
    : name_(std::move(name)), patience_(patience), pid_(pid), input_(input), errors_(errors) {}

ChildProcess::~ChildProcess() {
  if (pid_ != 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  CloseAll({input_, errors_});
}

absl::Status ChildProcess::Write(std::span<const uint8_t> data) {
  absl::Duration deadline = clock_->Now() + patience_;
  while (!data.empty()) {
    const ssize_t sent = send(input_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      data = data.subspan(sent);
      deadline = clock_->Now() + patience_;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!Await(POLLOUT, deadline)) return TooSlow();
    } else if (errno != EINTR) {
      // It reads no more; its end says why.
      const absl::Status status = Finish();
      if (!status.ok()) return status;
      return absl::AbortedError(absl::StrCat(name_, " ended before its input did"));
    }
  }
  return absl::OkStatus();
}

absl::Status ChildProcess::Finish() {
  CloseInput();
  const absl::Duration deadline = clock_->Now() + patience_;
  while (errors_ >= 0) {
    if (!Await(0, deadline)) return TooSlow();
  }
  if (!AwaitEnd(deadline)) return TooSlow();
  return Ended();
}

bool ChildProcess::Await(short events, absl::Duration deadline) {
  const absl::Duration left = deadline - clock_->Now();
  if (left <= absl::ZeroDuration()) return false;
  // A negative descriptor is skipped.
  std::array<pollfd, 2> waits = {pollfd{.fd = errors_, .events = POLLIN, .revents = 0},
                                 pollfd{.fd = input_, .events = events, .revents = 0}};
  poll(waits.data(), waits.size(), PollTimeout(std::min(left, absl::Seconds(1))));
  if (waits[0].revents != 0) ReadErrors();
  return true;
}

void ChildProcess::ReadErrors() {
  std::array<char, 4096> buffer;
  const ssize_t size = read(errors_, buffer.data(), buffer.size());
  if (size < 0 && errno == EINTR) return;
  if (size <= 0) {
    close(std::exchange(errors_, -1));
    return;
  }
  words_.append(buffer.data(), size);
  if (words_.size() > kKeptWords) words_.erase(0, words_.size() - kKeptWords);
}

bool ChildProcess::AwaitEnd(absl::Duration deadline) {
  while (true) {
    const pid_t reaped = waitpid(pid_, &wait_status_, WNOHANG);
    if (reaped == pid_ || (reaped < 0 && errno != EINTR)) break;
    if (clock_->Now() >= deadline) return false;
    poll(nullptr, 0, kReapEveryMs);
  }
  pid_ = 0;
  return true;
}

void ChildProcess::CloseInput() {
  if (input_ >= 0) close(std::exchange(input_, -1));
}

absl::Status ChildProcess::Ended() const {
  if (WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == 0) return absl::OkStatus();
  const absl::string_view last = LastLine(words_);
  return absl::AbortedError(absl::StrCat(
      name_,
      WIFSIGNALED(wait_status_) ? absl::StrCat(" was ended by signal ", WTERMSIG(wait_status_))
                                : absl::StrCat(" ended with status ", WEXITSTATUS(wait_status_)),
      last.empty() ? "" : ": ", last));
}

absl::Status ChildProcess::TooSlow() const {
  return absl::DeadlineExceededError(
      absl::StrCat(name_, " did nothing for ", absl::FormatDuration(patience_)));
}

}  // namespace pompc
