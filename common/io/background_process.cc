#include "common/io/background_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc {
namespace {

struct Pipe {
  Descriptor read, write;
};

absl::StatusOr<Pipe> MakePipe() {
  std::array<int, 2> ends = {-1, -1};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "making a pipe");
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

// Everything that the child needs, made before it exists: between fork and exec only
// async-signal-safe calls are allowed, as other threads may hold locks.
struct Child {
  std::vector<char*> argv;
  int input = -1, log = -1;
  // The child keeps a copy of this one until it ends.
  int end = -1;
  // Tells why the program could not be started.
  int problem = -1;
  int nice = 0;
  pid_t parent = 0;
};

[[noreturn]] void Fail(int fd, int error) {
  [[maybe_unused]] const ssize_t written = write(fd, &error, sizeof(error));
  _exit(127);
}

[[noreturn]] void RunChild(const Child& child) {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have ended before the line above.
  if (getppid() != child.parent) _exit(127);
  if (child.nice != 0) setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + child.nice);
  // Signals that this process blocks, or ignores by its own choice, must reach the program; a
  // SIGHUP that nohup ignores stays ignored.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : {SIGINT, SIGTERM, SIGPIPE}) signal(number, SIG_DFL);
  if (dup2(child.input, STDIN_FILENO) < 0 || dup2(child.log, STDOUT_FILENO) < 0 ||
      dup2(child.log, STDERR_FILENO) < 0 || dup(child.end) < 0) {
    Fail(child.problem, errno);
  }
  execvp(child.argv[0], child.argv.data());
  Fail(child.problem, errno);
}

ProcessEnd EndOf(int wait_status, const rusage& usage) {
  ProcessEnd end;
  if (WIFSIGNALED(wait_status)) {
    end.signal = WTERMSIG(wait_status);
  } else {
    end.status = WEXITSTATUS(wait_status);
  }
  end.peak_memory_bytes = uint64_t{1024} * static_cast<uint64_t>(usage.ru_maxrss);
  return end;
}

}  // namespace

std::string ProcessEnd::ToString() const {
  return signal != 0 ? absl::StrCat("was ended by signal ", signal)
                     : absl::StrCat("ended with status ", status);
}

absl::StatusOr<std::unique_ptr<BackgroundProcess>> BackgroundProcess::Start(
    const Options& options) {
  POMPC_CHECK(!options.arguments.empty());
  POMPC_CHECK(options.nice >= 0 && options.nice <= 19);
  const std::string& name = options.arguments[0];
  POMPC_ASSIGN_OR_RETURN(Pipe end, MakePipe());
  POMPC_ASSIGN_OR_RETURN(Pipe problem, MakePipe());
  const Descriptor input(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!input.valid()) return absl::ErrnoToStatus(errno, "opening /dev/null");
  const Descriptor log(open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!log.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", options.log));
  Child child = {.input = input.get(),
                 .log = log.get(),
                 .end = end.write.get(),
                 .problem = problem.write.get(),
                 .nice = options.nice,
                 .parent = getpid()};
  for (const std::string& argument : options.arguments) {
    child.argv.push_back(const_cast<char*>(argument.c_str()));
  }
  child.argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) RunChild(child);
  if (pid < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot start ", name));
  end.write.Reset();
  problem.write.Reset();
  auto process =
      std::unique_ptr<BackgroundProcess>(new BackgroundProcess(pid, std::move(end.read)));
  int error = 0;
  ssize_t size = -1;
  // The pipe closes when the program has been started.
  while ((size = read(problem.read.get(), &error, sizeof(error))) < 0 && errno == EINTR) {
  }
  if (size == 0) return process;
  if (size < 0) error = errno;
  if (error == ENOENT) return absl::NotFoundError(absl::StrCat("there is no program ", name));
  return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", name));
}

BackgroundProcess::~BackgroundProcess() {
  if (how_.has_value()) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::optional<ProcessEnd> BackgroundProcess::Poll() {
  if (how_.has_value()) return how_;
  int wait_status = 0;
  rusage usage{};
  if (wait4(pid_, &wait_status, WNOHANG, &usage) == pid_) how_ = EndOf(wait_status, usage);
  return how_;
}

void BackgroundProcess::Signal(int signal) {
  if (!how_.has_value()) kill(pid_, signal);
}

}  // namespace pompc
