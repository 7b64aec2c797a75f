#ifndef POMPC_BENCH_SUPPORT_PROCESS_H_
#define POMPC_BENCH_SUPPORT_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace pompc::bench {

// Keeps this process to one of the cores it may use, the first or the last, so that its time is
// that of its role alone. Without effect where there is one core only. Call before threads start.
void StayOnOneCore(bool first);

// The same program again, as another process: what is to be counted apart. Not thread-safe.
class PeerProcess {
 public:
  // Starts it with `arguments`.
  explicit PeerProcess(const std::vector<std::string>& arguments);
  // Closes its input and waits until it has ended.
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  // The next line of its output, without its end; empty once there is none.
  std::string ReadLine();
  // Lets its AwaitEndOfInput return. Idempotent.
  void CloseInput();

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
};

// In the other process: one line to the one that started it; waits until that one is done with it.
void WriteLine(const std::string& line);
void AwaitEndOfInput();

// What this process, all threads, has used so far.
struct Usage {
  // CPU time, in the program and in the kernel, and of this the kernel's alone.
  double cpu_us = 0;
  double kernel_us = 0;
  // The number of times that a thread gave up its core to wait for something.
  double waits = 0;
};
Usage UsageNow();

// CPU time of this process's threads of that name so far, in microseconds.
double ThreadMicros(const std::string& name);

// Most memory this process has held since ResetPeakMemory, in bytes.
void ResetPeakMemory();
uint64_t PeakMemory();

}  // namespace pompc::bench

#endif  // POMPC_BENCH_SUPPORT_PROCESS_H_
