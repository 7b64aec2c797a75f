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

namespace pompc {
namespace {

constexpr size_t kKeptWords = 2000;
// The interval at which a process that has closed its standard error is checked for having ended.
// It ends at once, as a rule.
constexpr int kReapEveryMs = 5;

// Starts the program with the descriptors as standard input and error. Returns 0 or the error
// number.
int Spawn(const std::vector<std::string>& arguments, int input, int errors, pid_t* pid) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  // Signals that this process blocks or ignores must end the child as they would by default:
  // children inherit both.
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
  // Its input is a socket, not a pipe, because only sends to sockets can be told not to raise
  // SIGPIPE.
  std::array<int, 2> ends = {-1, -1};
  int error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0 ? 0 : errno;
  Descriptor input(ends[0]), childs_input(ends[1]);
  ends = {-1, -1};
  if (error == 0 && pipe2(ends.data(), O_CLOEXEC) != 0) error = errno;
  Descriptor errors(ends[0]), childs_errors(ends[1]);
  pid_t pid = 0;
  if (error == 0) error = Spawn(arguments, childs_input.get(), childs_errors.get(), &pid);
  if (error == 0) {
    return std::unique_ptr<ChildProcess>(
        new ChildProcess(arguments[0], pid, std::move(input), std::move(errors), patience));
  }
  if (error == ENOENT)
    return absl::NotFoundError(absl::StrCat("there is no program ", arguments[0], " in PATH"));
  return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", arguments[0]));
}

ChildProcess::ChildProcess(std::string name, pid_t pid, Descriptor input, Descriptor errors,
                           absl::Duration patience)
    : name_(std::move(name)),
      patience_(patience),
      pid_(pid),
      input_(std::move(input)),
      errors_(std::move(errors)) {}

ChildProcess::~ChildProcess() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

absl::Status ChildProcess::Write(std::span<const uint8_t> data) {
  absl::Duration deadline = clock_->Now() + patience_;
  while (!data.empty()) {
    const ssize_t sent = send(input_.get(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      data = data.subspan(sent);
      deadline = clock_->Now() + patience_;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!Await(POLLOUT, deadline)) return TooSlow();
    } else if (errno != EINTR) {
      // The program has closed its input; the way it ends says why.
      const absl::Status status = Finish();
      if (!status.ok()) return status;
      return absl::AbortedError(absl::StrCat(name_, " ended before its input did"));
    }
  }
  return absl::OkStatus();
}

// The program may still print while it ends: its words are read to the end, because it could block
// on a full pipe and never end.
absl::Status ChildProcess::Finish() {
  input_.Reset();
  const absl::Duration deadline = clock_->Now() + patience_;
  while (errors_.valid()) {
    if (!Await(0, deadline)) return TooSlow();
  }
  if (!AwaitEnd(deadline)) return TooSlow();
  return Ended();
}

bool ChildProcess::Await(short events, absl::Duration deadline) {
  const absl::Duration left = deadline - clock_->Now();
  if (left <= absl::ZeroDuration()) return false;
  // poll skips a negative descriptor.
  std::array<pollfd, 2> waits = {pollfd{.fd = errors_.get(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = input_.get(), .events = events, .revents = 0}};
  poll(waits.data(), waits.size(), PollTimeout(std::min(left, absl::Seconds(1))));
  if (waits[0].revents != 0) ReadErrors();
  return true;
}

void ChildProcess::ReadErrors() {
  std::array<char, 4096> buffer;
  const ssize_t size = read(errors_.get(), buffer.data(), buffer.size());
  if (size < 0 && errno == EINTR) return;
  if (size <= 0) return errors_.Reset();
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
  return absl::DeadlineExceededError(absl::StrCat(name_, " neither read its input nor ended for ",
                                                  absl::FormatDuration(patience_)));
}

}  // namespace pompc
