// What the tests of model/ and learner/update/ share.
#ifndef POMPC_TESTS_MODEL_TESTING_H_
#define POMPC_TESTS_MODEL_TESTING_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/config/run_config.h"
#include "model/random.h"
#include "model/torch_compat.h"

namespace pompc::model {

// A model small enough for finite differences, with more than two members in its ensembles; all
// else is as by default.
inline proto::RunConfig SmallConfig() {
  proto::RunConfig config;
  proto::EnvSpec* spec = config.mutable_env()->mutable_spec();
  spec->set_observation_size(3);
  spec->set_action_size(2);
  spec->set_episode_decisions(500);
  proto::ModelConfig* model = config.mutable_model();
  model->set_encoder_dim(8);
  model->set_mlp_dim(16);
  model->set_latent_dim(16);
  model->set_num_q(3);
  model->set_num_bins(21);
  model->set_bin_min(-4);
  model->set_bin_max(4);
  return *config::Derive(config);
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
