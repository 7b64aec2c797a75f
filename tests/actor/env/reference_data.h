#ifndef POMPC_TESTS_ACTOR_ENV_REFERENCE_DATA_H_
#define POMPC_TESTS_ACTOR_ENV_REFERENCE_DATA_H_

#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace pompc::env {

// Tests against recorded numbers run twice: on the project's own data, and on a folder with data
// for more tasks, where there is one.
inline std::vector<std::string> ReferenceFolders() {
  return {POMPC_SOURCE_DIR "/tests/data/control_suite", POMPC_FIXTURES_DIR "/control_suite"};
}

inline std::string ReferenceFolderName(const testing::TestParamInfo<std::string>& info) {
  return info.index == 0 ? "Own" : "Additional";
}

class ReferenceDataTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() != ReferenceFolders().front() && !std::filesystem::exists(GetParam())) {
      GTEST_SKIP() << "no additional reference data in " << GetParam()
                   << " (set with -DPOMPC_FIXTURES_DIR)";
    }
  }

  bool Has(const std::string& file) { return std::filesystem::exists(GetParam() + "/" + file); }
  nlohmann::json Load(const std::string& file) {
    std::ifstream stream(GetParam() + "/" + file);
    return nlohmann::json::parse(stream);
  }
};

// `actual` equals the JSON array (or number) `expected` within `tolerance`.
inline void ExpectNear(std::span<const double> actual, const nlohmann::json& expected,
                       double tolerance, const std::string& what) {
  const auto numbers = expected.is_array() ? expected.get<std::vector<double>>()
                                           : std::vector<double>{expected.get<double>()};
  ASSERT_EQ(actual.size(), numbers.size()) << what;
  for (size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_NEAR(actual[i], numbers[i], tolerance) << what << "[" << i << "]";
  }
}

inline void ExpectNear(double actual, const nlohmann::json& expected, double tolerance,
                       const std::string& what) {
  EXPECT_NEAR(actual, expected.get<double>(), tolerance) << what;
}

}  // namespace pompc::env

#endif  // POMPC_TESTS_ACTOR_ENV_REFERENCE_DATA_H_
