#ifndef POMPC_COMMON_IO_DESCRIPTORS_H_
#define POMPC_COMMON_IO_DESCRIPTORS_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace pompc {

// The file descriptors of the process: how many it may open, and how they are divided among its
// uses, so that no number of connections keeps it from opening a file or answering a health check.

// Raises the limit of open file descriptors (`ulimit -n`) to the highest that the system allows.
// Every program calls it once, when it starts.
void RaiseDescriptorLimit();

// Checks the limit for a process that serves others. Returns RESOURCE_EXHAUSTED naming the limit if
// it is too low to serve anybody, and logs a warning if it is low.
absl::Status CheckDescriptorLimit();

// Returns the present limit: descriptors have numbers from 0 to one less.
int DescriptorLimit();

// Returns the number of descriptors that connections of RPC clients may not use. The HTTP server
// may use half of them; the rest are for files and for connections that the process makes itself.
int ReservedDescriptors();

// Returns the number from which on the descriptors of RPC connections are refused. The system
// always gives the lowest free number, so a descriptor's number says how many are open. Where the
// limit itself is very high, this also bounds the memory of connections.
int ConnectionDescriptorBound();

// Owns one descriptor and closes it when destroyed. Movable. Not thread-safe.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { Reset(); }

  // Returns the descriptor; negative if there is none.
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Hands the descriptor to the caller, who closes it.
  int Release();
  // Closes the descriptor. Idempotent.
  void Reset();

 private:
  int fd_ = -1;
};

// Returns `wait` in the milliseconds of poll(): rounded up and one more, so that poll does not
// return just before the time; at most a minute; and 0 for a time that has passed.
int PollTimeout(absl::Duration wait);

// Wakes one thread that waits in poll(). Thread-safe.
class PollWaker {
 public:
  // Fails with RESOURCE_EXHAUSTED if no descriptor is free; then there is nothing to poll.
  absl::Status Open();
  // Returns the descriptor that the thread polls for POLLIN.
  int fd() const { return event_.get(); }
  // Makes fd() readable until Clear(). Does nothing before Open().
  void Wake();
  void Clear();

 private:
  Descriptor event_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_IO_DESCRIPTORS_H_
