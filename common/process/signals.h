#ifndef POMPC_COMMON_PROCESS_SIGNALS_H_
#define POMPC_COMMON_PROCESS_SIGNALS_H_

#include <functional>

#include "common/base/thread.h"

namespace pompc {

// Blocks SIGINT, SIGTERM and SIGHUP in the calling thread and in all it will start, and ignores
// SIGPIPE. A SIGHUP that is ignored stays so: that is how nohup keeps a process. The first thing a
// main does, before any thread exists.
void BlockSignals();

// Turns SIGINT, SIGTERM and SIGHUP (the terminal is gone) into one call and, on a second SIGINT or
// SIGTERM, the end of the process. At most one exists at a time. REQUIRES: BlockSignals() was
// called.
class SignalHandler {
 public:
  // Starts the thread that waits for signals. On the first one it calls `on_first` with its number;
  // that may block while the process drains. A second SIGINT or SIGTERM ends the process at once,
  // with status 128 + its number, whatever `on_first` does. A second SIGHUP changes nothing: a
  // terminal that closes sends it twice, through its shell and to its foreground processes, and
  // the process would lose its last checkpoint.
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
