#ifndef POMPC_COMMON_IO_BACKGROUND_PROCESS_H_
#define POMPC_COMMON_IO_BACKGROUND_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/io/descriptors.h"

namespace pompc {

// The end of a program: its exit status or the signal that ended it, and the memory that it used.
struct ProcessEnd {
  // Its exit status; meaningless if a signal ended it.
  int status = 0;
  // The signal that ended it, 0: none.
  int signal = 0;
  // The most memory that was resident at a time.
  uint64_t peak_memory_bytes = 0;

  bool ok() const { return status == 0 && signal == 0; }
  // "ended with status 1", "was ended by signal 9".
  std::string ToString() const;
};

// A program that runs beside this process for as long as it takes. Its output goes to a file and it
// has no input. It is in a session of its own, so that a Ctrl-C reaches this process alone. The
// system kills it when this process ends, however that happens: it ends with the thread that
// started it. Used by one thread at a time.
class BackgroundProcess {
 public:
  struct Options {
    // The program, which is searched for in PATH, and its arguments.
    std::vector<std::string> arguments;
    // The file to whose end its output and its errors are written.
    std::string log;
    // What is added to its niceness, 0 to 19: more is a lower priority.
    int nice = 0;
  };

  // Starts it. Fails with NOT_FOUND if there is no such program, and otherwise with the system's
  // reason. REQUIRES: options.arguments is not empty; options.nice is from 0 to 19.
  static absl::StatusOr<std::unique_ptr<BackgroundProcess>> Start(const Options& options);
  // Kills the program if it still runs, and waits for its end.
  ~BackgroundProcess();
  BackgroundProcess(const BackgroundProcess&) = delete;
  BackgroundProcess& operator=(const BackgroundProcess&) = delete;

  // Returns a descriptor that poll() finds readable or closed once the program has ended.
  int end_fd() const { return end_.get(); }
  // Returns how the program ended; nothing while it runs. Does not block.
  std::optional<ProcessEnd> Poll();
  // Sends a signal; nothing happens if the program has ended.
  void Signal(int signal);

 private:
  BackgroundProcess(pid_t pid, Descriptor end) : pid_(pid), end_(std::move(end)) {}

  const pid_t pid_;
  // The reading end of a pipe whose other end the program holds.
  Descriptor end_;
  std::optional<ProcessEnd> how_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_IO_BACKGROUND_PROCESS_H_
