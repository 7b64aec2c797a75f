#ifndef POMPC_COMMON_VALUES_CRC32C_H_
#define POMPC_COMMON_VALUES_CRC32C_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace pompc {

// Returns the CRC-32C (Castagnoli polynomial, RFC 3720 appendix B.4) of `bytes`. `before` is the
// CRC-32C of what stands before them, so that Crc32c(b, Crc32c(a)) is the one of a + b. Several
// gigabytes a second where the processor has an instruction for it (SSE 4.2).
uint32_t Crc32c(absl::string_view bytes, uint32_t before = 0);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_CRC32C_H_
