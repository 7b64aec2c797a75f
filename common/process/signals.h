#ifndef POMPC_COMMON_PROCESS_SIGNALS_H_
#define POMPC_COMMON_PROCESS_SIGNALS_H_

#include <functional>
#include <string>

#include "common/base/thread.h"

namespace pompc {

// Blocks the signals that end a process in the calling thread and in all it will start, and ignores
// SIGPIPE: SIGINT and SIGTERM, and as notices SIGHUP (the terminal is gone), SIGXCPU (the limit of
// CPU time is reached), SIGUSR1 and SIGUSR2 (a batch system is about to end the process). A notice
// that is ignored stays so: that is how nohup keeps a process. The first thing a main does, before
// any thread exists.
void BlockSignals();

// What a signal says to people: "told to end by SIGTERM", "CPU time limit (ulimit -t) reached".
std::string StopReason(int signal);

// Turns these signals into one call and, on a SIGINT or SIGTERM after the first signal, the end of
// the process. At most one exists at a time. REQUIRES: BlockSignals() was
// called.
class SignalHandler {
 public:
  // Starts the thread that waits for signals. On the first one it calls `on_first` with its number;
  // that may block while the process drains. A SIGINT or SIGTERM that follows ends the process at
  // once, with status 128 + its number, whatever `on_first` does. A notice that follows changes
  // nothing: a terminal that closes sends SIGHUP twice, through its shell and to its foreground
  // processes, the kernel repeats SIGXCPU every second, and the process would lose its last
  // checkpoint.
  explicit SignalHandler(std::function<void(int signal)> on_first);
  // Waits for `on_first` if it is running. Signals stay handled as before only by a new handler:
  // without one they end the process.
  ~SignalHandler();

 private:
  int wake_fd_;
  Thread thread_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_SIGNALS_H_
