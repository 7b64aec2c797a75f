#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/model/testing.h"

namespace pompc::model {
namespace {

using ::testing::HasSubstr;

TEST(ModelConfigTest, NamesOfSizesAreListedForAnUnknownOne) {
  const auto size = ModelSize("7M");
  ASSERT_EQ(size.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(size.status().message()), HasSubstr("\"7M\""));
  EXPECT_THAT(std::string(size.status().message()),
              HasSubstr("tiny, small, 1M, 5M, 19M, 48M, 317M"));
}

TEST(ModelConfigTest, EverySizeIsValidOnceTheEnvironmentIsKnown) {
  for (const char* name : {"tiny", "small", "1M", "5M", "19M", "48M", "317M"}) {
    ModelConfig config = *ModelSize(name);
    EXPECT_FALSE(config.Validate().ok()) << name;
    config.observation_size = 5;
    config.action_size = 1;
    EXPECT_TRUE(config.Validate().ok()) << name << ": " << config.Validate();
  }
}

void ExpectRefused(const ModelConfig& config, const char* field, const char* allowed) {
  const absl::Status status = config.Validate();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
  EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  EXPECT_THAT(std::string(status.message()), HasSubstr(allowed));
}

TEST(ModelConfigTest, RefusesValuesOutOfRangeByName) {
  ModelConfig config = SmallConfig();
  config.latent_dim = 20;
  ExpectRefused(config, "latent_dim = 20", "multiple of simnorm_dim = 8");
  config = SmallConfig();
  config.num_q = 1;
  ExpectRefused(config, "num_q = 1", "at least 2");
  config = SmallConfig();
  config.dropout = 1;
  ExpectRefused(config, "dropout = 1", "[0, 1)");
  config = SmallConfig();
  config.bin_max = config.bin_min;
  ExpectRefused(config, "bin_max", "greater than bin_min");
  config = SmallConfig();
  config.log_std_max = -3;
  ExpectRefused(config, "log_std_max", "greater than log_std_min");
  config = SmallConfig();
  config.action_size = 0;
  ExpectRefused(config, "action_size = 0", "at least 1");
}

TEST(MppiConfigTest, RefusesValuesOutOfRangeByName) {
  const auto refused = [](const MppiConfig& config, const char* field) {
    const absl::Status status = config.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  };
  EXPECT_TRUE(MppiConfig().Validate().ok());
  MppiConfig config;
  config.elites = 513;
  refused(config, "elites = 513");
  config = MppiConfig();
  config.policy_samples = 512;
  refused(config, "policy_samples = 512");
  config = MppiConfig();
  config.max_std = 0.01;
  refused(config, "max_std");
  config = MppiConfig();
  config.discount = 1.5;
  refused(config, "discount = 1.5");
  config = MppiConfig();
  config.horizon = 0;
  refused(config, "horizon = 0");
}

TEST(MppiConfigTest, TwoMoreIterationsFromTwentyActionNumbersOn) {
  EXPECT_EQ(DefaultIterations(1), 6);
  EXPECT_EQ(DefaultIterations(19), 6);
  EXPECT_EQ(DefaultIterations(20), 8);
}

}  // namespace
}  // namespace pompc::model
