// What the tests of model/ and learner/update/ share.
#ifndef POMPC_TESTS_MODEL_TESTING_H_
#define POMPC_TESTS_MODEL_TESTING_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/config.h"
#include "model/random.h"
#include "model/torch_compat.h"

namespace pompc::model {

// A model small enough for finite differences, with more than two members in its ensembles.
inline ModelConfig SmallConfig() {
  ModelConfig config;
  config.observation_size = 3;
  config.action_size = 2;
  config.encoder_dim = 8;
  config.mlp_dim = 16;
  config.latent_dim = 16;
  config.encoder_layers = 2;
  config.num_q = 3;
  config.num_bins = 21;
  config.bin_min = -4;
  config.bin_max = 4;
  return config;
}

// Standard normal numbers, a function of `seed`.
inline at::Tensor Draw(uint64_t seed, at::IntArrayRef shape, at::ScalarType dtype = at::kFloat) {
  return Normal({seed}, {0, 0}, shape, at::kCPU)[0].to(dtype);
}

inline ::testing::AssertionResult AllClose(const at::Tensor& a, const at::Tensor& b,
                                           double tolerance) {
  if (a.sizes() != b.sizes())
    return ::testing::AssertionFailure() << "shapes " << a.sizes() << ", " << b.sizes();
  const double difference =
      a.numel() == 0 ? 0 : (a.detach() - b.detach()).abs().max().item<double>();
  if (difference <= tolerance) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "differ by " << difference << ", more than " << tolerance;
}

// Multipliers of inverted dropout, a function of (seed, stream).
inline at::Tensor DrawDropout(uint64_t seed, RandomStream stream, at::IntArrayRef shape, double p) {
  return DropoutMask(DropoutZeros(seed, stream, c10::multiply_integers(shape), p), shape, p);
}

}  // namespace pompc::model

#endif  // POMPC_TESTS_MODEL_TESTING_H_
