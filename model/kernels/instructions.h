// The instruction sets of processors that the kernels are written for.
#ifndef POMPC_MODEL_KERNELS_INSTRUCTIONS_H_
#define POMPC_MODEL_KERNELS_INSTRUCTIONS_H_

#include <cstdint>
#include <type_traits>

// Compiles a function for one set of instructions; not defined where there are none to choose from.
// clang builds serve analysis only and take the baseline.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define POMPC_TARGET(set) __attribute__((target(set)))
#define POMPC_TARGET_AVX2 POMPC_TARGET("arch=x86-64-v3")
#define POMPC_TARGET_AVX512 POMPC_TARGET("arch=x86-64-v4")
#define POMPC_TARGET_AVX512_BF16 POMPC_TARGET("arch=x86-64-v4,avx512bf16")
#endif

#define POMPC_INLINE inline __attribute__((always_inline))
// Lambdas must be inlined into each version as well.
#define POMPC_INLINE_LAMBDA __attribute__((always_inline))

namespace pompc::model::kernels {

// Each includes those before it.
enum class Instructions : uint8_t { kBaseline, kAvx2, kAvx512, kAvx512Bf16, kAmx };

// The most that this processor has and the system lets this process use. The environment variable
// POMPC_INSTRUCTIONS (BASELINE, AVX2, AVX512, AVX512_BF16 or AMX) sets a lower limit; another value
// ends the process with a message. The answer is the same for the life of the process.
// Thread-safe.
Instructions BestInstructions();

// Its name, as in POMPC_INSTRUCTIONS.
const char* Name(Instructions instructions);

#ifdef POMPC_TARGET
namespace instructions_internal {

template <Instructions kIsa>
using Constant = std::integral_constant<Instructions, kIsa>;

template <typename Function>
POMPC_TARGET_AVX2 auto CallAvx2(const Function& function) {
  return function(Constant<Instructions::kAvx2>());
}
template <typename Function>
POMPC_TARGET_AVX512 auto CallAvx512(const Function& function) {
  return function(Constant<Instructions::kAvx512>());
}
template <typename Function>
POMPC_TARGET_AVX512_BF16 auto CallAvx512Bf16(const Function& function) {
  return function(Constant<Instructions::kAvx512Bf16>());
}

}  // namespace instructions_internal
#endif

// Calls `function`, a POMPC_INLINE_LAMBDA, in the version that was compiled for the most of
// BestInstructions that compilers use by themselves, AVX-512 at most. Its argument is a constant,
// by which what it calls can choose: kAvx512, kAvx2 or kBaseline.
template <typename Function>
auto CallBest(const Function& function) {
#ifdef POMPC_TARGET
  const Instructions best = BestInstructions();
  if (best >= Instructions::kAvx512) return instructions_internal::CallAvx512(function);
  if (best >= Instructions::kAvx2) return instructions_internal::CallAvx2(function);
#endif
  return function(std::integral_constant<Instructions, Instructions::kBaseline>());
}

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_INSTRUCTIONS_H_
