#include "common/values/crc32c.h"

#include <array>
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace pompc {
namespace {

// The polynomial with its bits reversed, as a CRC that begins with the lowest bit needs it.
constexpr uint32_t kPolynomial = 0x82f63b78;

// What each value of a byte does to the checksum, so that it goes a byte and not a bit at a time.
constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}

uint32_t ByTable(const char* at, size_t n, uint32_t crc) {
  static constexpr std::array<uint32_t, 256> kTable = MakeTable();
  for (size_t i = 0; i < n; ++i) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(at[i])) & 0xff];
  }
  return crc;
}

#if defined(__x86_64__)
// Compiled for processors with the instruction and called on them alone. It takes eight bytes at a
// time; the words need no alignment.
__attribute__((target("sse4.2"))) uint32_t ByInstruction(const char* at, size_t n, uint32_t crc) {
  uint64_t wide = crc;
  for (; n >= sizeof(uint64_t); n -= sizeof(uint64_t), at += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; n > 0; --n, ++at) crc = _mm_crc32_u8(crc, static_cast<uint8_t>(*at));
  return crc;
}
#endif

}  // namespace

// The standard inverts the checksum before and after, so that leading and trailing zeros count.
uint32_t Crc32c(absl::string_view bytes, uint32_t before) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return ~ByInstruction(bytes.data(), bytes.size(), ~before);
#endif
  return ~ByTable(bytes.data(), bytes.size(), ~before);
}

}  // namespace pompc
