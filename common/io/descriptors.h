#ifndef POMPC_COMMON_IO_DESCRIPTORS_H_
#define POMPC_COMMON_IO_DESCRIPTORS_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace pompc {

// The file descriptors of the process: how many it may open, and how they are shared out, so that
// no number of connections keeps it from opening a file or answering a health check.

// Raises the limit of open file descriptors (`ulimit -n`) to the most the system allows. Every
// program calls it once, at its start.
void RaiseDescriptorLimit();

// Checks the limit for a process that serves others. RESOURCE_EXHAUSTED naming the limit if it is
// too low to serve anybody; a limit that is merely low is logged.
absl::Status CheckDescriptorLimit();

// The limit in force: descriptors are numbered from 0 to one less.
int DescriptorLimit();

// Descriptors that connections of RPC clients leave alone. The HTTP server may use half of them;
// the rest are for files and for connections that the process makes itself.
int ReservedDescriptors();

// RPC connections whose descriptor has this number or a higher one are refused. The system always
// gives the lowest free number, so that such a number says how many descriptors are open. Bounds
// the memory of connections as well, where the limit itself is very high.
int ConnectionDescriptorBound();

// Owns one descriptor: closes it when destroyed. Movable. Not thread-safe.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { Reset(); }

  // The descriptor; negative if there is none.
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Hands the descriptor to the caller, who closes it.
  int Release();
  // Closes it. Idempotent.
  void Reset();

 private:
  int fd_ = -1;
};

// `wait` as poll() wants it, which counts in whole milliseconds: one more than fit, so as not to
// return just before the time; a minute at most, and nothing for a time that has passed.
int PollTimeout(absl::Duration wait);

// Wakes one thread that waits in poll(). Thread-safe.
class PollWaker {
 public:
  // RESOURCE_EXHAUSTED when there is no descriptor for it; then nothing else may be called.
  absl::Status Open();
  // What the thread polls for POLLIN.
  int fd() const { return event_.get(); }
  // Makes fd() readable until Clear().
  void Wake();
  void Clear();

 private:
  Descriptor event_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_IO_DESCRIPTORS_H_
