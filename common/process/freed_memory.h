// Controls what the C library does with freed memory. Thread-safe. Does nothing unless the C
// library is glibc.
#ifndef POMPC_COMMON_PROCESS_FREED_MEMORY_H_
#define POMPC_COMMON_PROCESS_FREED_MEMORY_H_

#include <cstdint>

namespace pompc {

// Makes the C library keep freed memory, up to `bytes` at the top of each of its heaps, instead of
// returning it to the system. The tensors of an update are allocated and freed again and again, and
// faulting their pages in each time costs a sixth of a small update.
void KeepFreedMemory(int64_t bytes = int64_t{256} << 20);

// Returns all freed memory to the system now. Getting back what is needed takes a few milliseconds.
// Processes that live long call it from time to time: every thread's heap keeps the most that it
// ever held, and these maxima grow for hours (docs/performance.md, "Memory").
void ReturnFreedMemory();

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_FREED_MEMORY_H_
