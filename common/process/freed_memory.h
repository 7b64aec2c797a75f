// What happens to memory that was freed. Thread-safe; nothing where the C library is not glibc.
#ifndef POMPC_COMMON_PROCESS_FREED_MEMORY_H_
#define POMPC_COMMON_PROCESS_FREED_MEMORY_H_

#include <cstdint>

namespace pompc {

// Makes the C library keep freed memory, up to `bytes` at the top of each of its heaps, instead of
// returning it to the system: tensors of a step are allocated and freed over and over, and faulting
// their pages in again costs a sixth of a small update.
void KeepFreedMemory(int64_t bytes = int64_t{256} << 20);

// Returns all of it now; what is needed again costs a few milliseconds. Called now and then in a
// process that lives long: every thread's heap keeps the most it ever held, and these maxima creep
// up for hours (docs/performance.md, "Memory").
void ReturnFreedMemory();

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_FREED_MEMORY_H_
