// The draws of philox.h for a device, as source text that LibTorch compiles there, and the same
// text compiled for the host, where tests compare it.
#ifndef POMPC_MODEL_KERNELS_PHILOX_DEVICE_H_
#define POMPC_MODEL_KERNELS_PHILOX_DEVICE_H_

#include <cmath>

// Defines the functions, and `name` as their text.
#define POMPC_DEVICE_CODE(name, ...) \
  __VA_ARGS__                        \
  inline constexpr char name[] = #__VA_ARGS__;

namespace pompc::model::kernels {

// T is a signed integer of 64 bits everywhere: LibTorch's kernels take and give one type. Two
// float32 draws come back as the bits of one: draws 2 * pair and 2 * pair + 1 of the stream
// (index, name) of the seed.
// clang-format off
POMPC_DEVICE_CODE(kPhiloxDeviceCode,

struct PhiloxWords { unsigned int w[4]; };

template <typename T>
PhiloxWords philox_words(T seed, T block, T index, T name) {
  unsigned int key0 = (unsigned int)seed;
  unsigned int key1 = (unsigned int)((unsigned long long)seed >> 32);
  PhiloxWords c = {{(unsigned int)block, (unsigned int)((unsigned long long)block >> 32),
                    (unsigned int)index, (unsigned int)name}};
  for (int round = 0; round < 10; ++round) {
    unsigned long long product0 = 0xD2511F53ULL * c.w[0];
    unsigned long long product1 = 0xCD9E8D57ULL * c.w[2];
    c = {{(unsigned int)(product1 >> 32) ^ c.w[1] ^ key0, (unsigned int)product1,
          (unsigned int)(product0 >> 32) ^ c.w[3] ^ key1, (unsigned int)product0}};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return c;
}

template <typename T>
T philox_bits(float first, float second) {
  union { float number[2]; long long bits; } both;
  both.number[0] = first;
  both.number[1] = second;
  return (T)both.bits;
}

template <typename T>
T philox_uniform_pair(T seed, T pair, T index, T name) {
  PhiloxWords c = philox_words<T>(seed, pair / 2, index, name);
  int word = (int)(pair % 2) * 2;
  return philox_bits<T>((float)(c.w[word] >> 8) * 5.9604644775390625e-8f,
                        (float)(c.w[word + 1] >> 8) * 5.9604644775390625e-8f);
}

template <typename T>
T philox_normal_pair(T seed, T pair, T index, T name) {
  PhiloxWords c = philox_words<T>(seed, pair / 2, index, name);
  int word = (int)(pair % 2) * 2;
  float radius = ::sqrtf(-2.0f * ::logf((float)((c.w[word] >> 8) + 1) * 5.9604644775390625e-8f));
  float angle = (float)(c.w[word + 1] >> 8) * 3.7450704e-7f;
  return philox_bits<T>(radius * ::cosf(angle), radius * ::sinf(angle));
}

)
// clang-format on

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_PHILOX_DEVICE_H_
