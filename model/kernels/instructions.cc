#include "model/kernels/instructions.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "common/base/check.h"

#if defined(POMPC_TARGET) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pompc::model::kernels {
namespace {

constexpr Instructions kAll[] = {Instructions::kBaseline, Instructions::kAvx2,
                                 Instructions::kAvx512, Instructions::kAvx512Bf16,
                                 Instructions::kAmx};

#ifdef POMPC_TARGET
// The state of tile registers is large: Linux saves it for processes that ask, all their threads.
bool RequestTiles() {
#ifdef __linux__
  constexpr int kArchReqXcompPerm = 0x1023;
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0;
#else
  return false;
#endif
}

Instructions OfThisProcessor() {
  if (!__builtin_cpu_supports("x86-64-v3")) return Instructions::kBaseline;
  if (!__builtin_cpu_supports("x86-64-v4")) return Instructions::kAvx2;
  if (!__builtin_cpu_supports("avx512bf16")) return Instructions::kAvx512;
  if (!__builtin_cpu_supports("amx-tile") || !__builtin_cpu_supports("amx-bf16") ||
      !RequestTiles()) {
    return Instructions::kAvx512Bf16;
  }
  return Instructions::kAmx;
}
#else
Instructions OfThisProcessor() { return Instructions::kBaseline; }
#endif

Instructions Limited(Instructions best) {
  const char* const limit = std::getenv("POMPC_INSTRUCTIONS");
  if (limit == nullptr || *limit == '\0') return best;
  for (const Instructions allowed : kAll) {
    if (std::strcmp(limit, Name(allowed)) == 0) return std::min(best, allowed);
  }
  POMPC_CHECK(false,
              "the environment variable POMPC_INSTRUCTIONS must be BASELINE, AVX2, AVX512, "
              "AVX512_BF16 or AMX");
}

}  // namespace

Instructions BestInstructions() {
  static const Instructions best = Limited(OfThisProcessor());
  return best;
}

const char* Name(Instructions instructions) {
  switch (instructions) {
    case Instructions::kBaseline:
      return "BASELINE";
    case Instructions::kAvx2:
      return "AVX2";
    case Instructions::kAvx512:
      return "AVX512";
    case Instructions::kAvx512Bf16:
      return "AVX512_BF16";
    case Instructions::kAmx:
      return "AMX";
  }
  POMPC_CHECK(false);
}

}  // namespace pompc::model::kernels
