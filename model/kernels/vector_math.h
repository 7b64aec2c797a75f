// Vectors of float32 numbers, eight or sixteen at a time, in the compilers' own vector types: the
// same source becomes AVX code where the processor has it and pairs of narrower operations
// elsewhere. The elementary functions are branch-free, accurate to a few units in the last place on
// the stated ranges unless they say otherwise, and propagate NaN.
#ifndef POMPC_MODEL_KERNELS_VECTOR_MATH_H_
#define POMPC_MODEL_KERNELS_VECTOR_MATH_H_

#include <cstdint>
#include <type_traits>

#include "common/base/check.h"
#include "model/kernels/instructions.h"

namespace pompc::model::kernels {

inline constexpr int kWidth = 8;
using Floats = float __attribute__((vector_size(kWidth * sizeof(float))));
using Ints = int32_t __attribute__((vector_size(kWidth * sizeof(int32_t))));
// Twice as many: one register with AVX-512, two elsewhere, which hide each other's waits.
using WideFloats = float __attribute__((vector_size(2 * kWidth * sizeof(float))));
template <typename Vector>
inline constexpr int kLanes = sizeof(Vector) / sizeof(float);
template <typename Vector>
using IntsOf = decltype(Vector{} < Vector{});

template <typename Vector = Floats>
POMPC_INLINE Vector Load(const float* p) {
  Vector x;
  __builtin_memcpy(&x, p, sizeof(x));
  return x;
}
template <typename Vector>
POMPC_INLINE void Store(float* p, Vector x) {
  __builtin_memcpy(p, &x, sizeof(x));
}
// Stores x as float32, or rounded to bfloat16, which versions for AVX512_BF16 can.
template <Instructions kIsa, typename Vector>
POMPC_INLINE void StoreNumbers(float* p, Vector x) {
  Store(p, x);
}
template <Instructions kIsa, typename Vector>
POMPC_INLINE void StoreNumbers(uint16_t* p, Vector x) {
  static_assert(kIsa >= Instructions::kAvx512Bf16);
  // Half as many bytes; the attribute does not take a size that depends on a template's argument.
  using Short = int32_t __attribute__((vector_size(kWidth * sizeof(uint16_t))));
  using Half = std::conditional_t<kLanes<Vector> == kWidth, Short, Ints>;
  Half half;
  asm("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(x));
  __builtin_memcpy(p, &half, sizeof(half));
}
POMPC_INLINE Floats AsFloats(Ints x) { return __builtin_bit_cast(Floats, x); }
template <typename Vector>
POMPC_INLINE IntsOf<Vector> AsInts(Vector x) {
  return __builtin_bit_cast(IntsOf<Vector>, x);
}
POMPC_INLINE Floats ToFloats(Ints x) { return __builtin_convertvector(x, Floats); }

// The functions below with an argument kIsa have a shorter way in versions for AVX-512, which
// compilers do not find: see CallBest.
template <Instructions kIsa>
inline constexpr bool kHasAvx512 =
#ifdef POMPC_TARGET
    kIsa >= Instructions::kAvx512;
#else
    false;
#endif

// a where it is greater than b, else b; a NaN in b stays, one in a gives b.
template <Instructions kIsa = Instructions::kBaseline, typename Vector>
POMPC_INLINE Vector Max(Vector a, Vector b) {
  if constexpr (kHasAvx512<kIsa>) {
    asm("vmaxps %1, %2, %0" : "=v"(a) : "vm"(b), "v"(a));
    return a;
  }
  return a > b ? a : b;
}
template <Instructions kIsa = Instructions::kBaseline, typename Vector>
POMPC_INLINE Vector Min(Vector a, Vector b) {
  if constexpr (kHasAvx512<kIsa>) {
    asm("vminps %1, %2, %0" : "=v"(a) : "vm"(b), "v"(a));
    return a;
  }
  return a < b ? a : b;
}

// The sum or the maximum of the numbers of x, in every number of the result.
POMPC_INLINE Floats SumAcross(Floats x) {
  x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
  x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
  return x + __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6);
}
POMPC_INLINE float Sum(Floats x) { return SumAcross(x)[0]; }
POMPC_INLINE float Sum(WideFloats x) {
  return Sum(__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15));
}
template <Instructions kIsa = Instructions::kBaseline>
POMPC_INLINE Floats MaxAcross(Floats x) {
  x = Max<kIsa>(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3));
  x = Max<kIsa>(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5));
  return Max<kIsa>(x, __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6));
}
template <Instructions kIsa = Instructions::kBaseline>
POMPC_INLINE float MaxOf(WideFloats x) {
  return MaxAcross<kIsa>(Max<kIsa>(__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7),
                                   __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15)))[0];
}

// Sum of f(i) over i = 0, n, 2 n ... < width for vectors of n numbers. Four partial sums, for one
// would wait for each addition.
template <typename Vector, typename Function>
POMPC_INLINE float SumOver(int64_t width, const Function& f) {
  constexpr int kStep = kLanes<Vector>;
  Vector sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kStep <= width; i += 4 * kStep) {
    for (int k = 0; k < 4; ++k) sums[k] += f(i + k * kStep);
  }
  for (; i < width; i += kStep) sums[0] += f(i);
  return Sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Adding it rounds to an integer, which then stands in the low bits. A compiler that reassociates
// floating-point sums would undo that.
#ifdef __FAST_MATH__
#error "these functions need the order of floating-point operations: compile without -ffast-math"
#endif
inline constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23

// True if all numbers of x are in [low, high]; a NaN is not.
POMPC_INLINE bool AllWithin(Floats x, float low, float high) {
  for (int i = 0; i < kWidth; ++i) {
    if (!(x[i] >= low && x[i] <= high)) return false;
  }
  return true;
}

// The exactness that a result needs: nearly that of float32, or enough to be rounded to bfloat16 (a
// relative error of 2e-4, a tenth of the rounding's), for which versions for AVX512_BF16 have a
// shorter way.
enum class Precision : uint8_t { kFloat32, kBfloat16 };

// 2^x, relative error 2e-7. A polynomial of degree 5 or 3 for the fraction, of least relative
// error. REQUIRES: -126 <= x <= 127, or NaN.
template <Instructions kIsa = Instructions::kBaseline, Precision kPrecision = Precision::kFloat32,
          typename Vector>
POMPC_INLINE Vector Exp2(Vector x) {
  Vector whole, shifted = {};
  if constexpr (kHasAvx512<kIsa>) {
    asm("vrndscaleps $0, %1, %0" : "=v"(whole) : "v"(x));
  } else {
    shifted = x + kRounder;
    whole = shifted - kRounder;
  }
  const Vector r = x - whole;
  Vector p;
  if constexpr (kPrecision == Precision::kFloat32) {
    p = r * 1.3276471e-3f + 9.6755413e-3f;
    p = p * r + 5.5507133e-2f;
    p = p * r + 2.4022120e-1f;
    p = p * r + 6.9314697e-1f;
    p = p * r + 1.0f;
  } else {
    p = r * 5.5171664e-2f + 2.4261112e-1f;
    p = p * r + 6.9326099e-1f;
    p = p * r + 9.9992807e-1f;
  }
  if constexpr (kHasAvx512<kIsa>) {
    asm("vscalefps %1, %2, %0" : "=v"(p) : "v"(whole), "v"(p));
    return p;
  }
  // The integer's low bits, moved to the exponent.
  return p * __builtin_bit_cast(Vector, (AsInts(shifted) << 23) + (127 << 23));
}

inline constexpr float kLog2E = 1.44269504088896341f;

// e^x with a relative error of (3 + |x|) 1e-7; below -87 it gives e^-87, above 88 e^88.
template <Instructions kIsa = Instructions::kBaseline, Precision kPrecision = Precision::kFloat32,
          typename Vector>
POMPC_INLINE Vector Exp(Vector x) {
  return Exp2<kIsa, kPrecision>(
      Min<kIsa>(Vector{} + 88 * kLog2E, Max<kIsa>(Vector{} - 87 * kLog2E, x * kLog2E)));
}

// a / b.
template <Instructions kIsa, Precision kPrecision, typename Vector>
POMPC_INLINE Vector Divide(Vector a, Vector b) {
  if constexpr (kHasAvx512<kIsa> && kPrecision == Precision::kBfloat16) {
    asm("vrcp14ps %1, %0" : "=v"(b) : "v"(b));
    return a * b;
  }
  return a / b;
}

// e^x - 1 for x >= 0 with a relative error of (3 + x) 1e-7; above 88 that of 88.
template <Instructions kIsa = Instructions::kBaseline, typename Vector>
POMPC_INLINE Vector Expm1(Vector x) {
  // Near zero the difference would have few bits: Taylor's polynomial there.
  Vector p = x * (1.0f / 720) + 1.0f / 120;
  p = p * x + 1.0f / 24;
  p = p * x + 1.0f / 6;
  p = p * x + 0.5f;
  return x < 0.3f ? (p * x + 1.0f) * x : Exp<kIsa>(x) - 1.0f;
}

// tanh x, absolute error 2e-7.
template <Instructions kIsa = Instructions::kBaseline, typename Vector>
POMPC_INLINE Vector Tanh(Vector x) {
  return 1.0f - 2.0f / (Exp<kIsa>(2.0f * x) + 1.0f);
}

// ln x. REQUIRES: x is normal and positive. Cephes' polynomial.
POMPC_INLINE Floats Log(Floats x) {
  POMPC_DCHECK(AllWithin(x, 1.17549435e-38f, 3.40282347e38f));
  // Mantissa in [sqrt(1/2), sqrt(2)), so that the result is accurate around 1.
  const Ints bits = AsInts(x) - 0x3f3504f3;
  const Floats exponent = ToFloats(bits >> 23);
  const Floats f = AsFloats((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
  const Floats square = f * f;
  Floats p = f * 7.0376836292e-2f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  return f + (p * f * square - exponent * 2.12194440e-4f - 0.5f * square) + exponent * 0.693359375f;
}

struct SinCos {
  Floats sin, cos;
};

// Sine and cosine of 2 pi u. REQUIRES: 0 <= u <= 1.
POMPC_INLINE SinCos SinCosOfTurns(Floats u) {
  POMPC_DCHECK(AllWithin(u, 0, 1));
  const Floats shifted = u * 4.0f + kRounder;
  const Ints quadrant = AsInts(shifted);
  const Floats x = (u * 4.0f - (shifted - kRounder)) * 1.57079632679489662f;
  const Floats square = x * x;
  Floats s = square * -1.9515295891e-4f + 8.3321608736e-3f;
  s = (s * square - 1.6666654611e-1f) * square * x + x;
  Floats c = square * 2.443315711809948e-5f - 1.388731625493765e-3f;
  c = (c * square + 4.166664568298827e-2f) * square * square - 0.5f * square + 1.0f;
  const Ints swap = -(quadrant & 1);
  const Floats sine = swap ? c : s;
  const Floats cosine = swap ? s : c;
  // Bit 1 of the quadrant, moved to the sign.
  return {AsFloats(AsInts(sine) ^ ((quadrant & 2) << 30)),
          AsFloats(AsInts(cosine) ^ (((quadrant + 1) & 2) << 30))};
}

// e^x for x <= 20, e^20 above.
template <Instructions kIsa, Precision kPrecision = Precision::kFloat32, typename Vector>
POMPC_INLINE Vector ExpForMish(Vector x) {
  // With AVX-512 too small powers of two become zero by themselves.
  Vector bounded = Min<kIsa>(Vector{} + 20 * kLog2E, x * kLog2E);
  if constexpr (!kHasAvx512<kIsa>) bounded = Max<kIsa>(Vector{} - 126.0f, bounded);
  return Exp2<kIsa, kPrecision>(bounded);
}

// mish(x) = x tanh(softplus(x)) = x n / (n + 2) with n = e^x (e^x + 2), and its derivative. From 20
// on they are x and 1 to float32 precision, so the exponential is clamped there.
template <Instructions kIsa = Instructions::kBaseline, Precision kPrecision = Precision::kFloat32,
          typename Vector>
POMPC_INLINE Vector Mish(Vector x) {
  const Vector w = ExpForMish<kIsa, kPrecision>(x);
  const Vector n = w * (w + 2.0f);
  return Divide<kIsa, kPrecision>(x * n, n + 2.0f);
}
template <Instructions kIsa = Instructions::kBaseline, typename Vector>
POMPC_INLINE Vector MishDerivative(Vector x) {
  const Vector w = ExpForMish<kIsa>(x);
  const Vector n = w * (w + 2.0f);
  const Vector inverse = 1.0f / (n + 2.0f);
  return inverse * (n + x * (4.0f * w) * (w + 1.0f) * inverse);
}

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_VECTOR_MATH_H_
