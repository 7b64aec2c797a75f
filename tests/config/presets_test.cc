#include "common/config/presets.h"

#include <cstdlib>
#include <string>

#include "common/config/run_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::config {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

const std::string kDir = std::string(POMPC_SOURCE_DIR) + "/presets";

TEST(Presets, EveryPresetLoads) {
  const auto names = ListPresets(kDir);
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_THAT(*names, Contains("quickstart"));
  for (const std::string& name : *names) {
    const auto config = LoadRunConfig({.presets = {name}, .presets_dir = kDir});
    EXPECT_TRUE(config.ok()) << config.status();
  }
}

TEST(Presets, UnknownPresetListsThoseThereAre) {
  const auto path = FindPreset(kDir, "quikstart");
  EXPECT_EQ(path.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(path.status().message()),
              ::testing::AllOf(HasSubstr("unknown preset \"quikstart\""), HasSubstr("quickstart"),
                               HasSubstr("po-mpc")));
}

TEST(Presets, MissingFolderIsNamed) {
  const auto path = FindPreset("/nonexistent/presets", "quickstart");
  EXPECT_EQ(path.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(path.status().message()), HasSubstr("/nonexistent/presets"));
}

TEST(Presets, FolderComesFromTheEnvironmentFirst) {
  setenv("POMPC_PRESETS_DIR", "/somewhere", 1);
  EXPECT_EQ(DefaultPresetsDir(), "/somewhere");
  unsetenv("POMPC_PRESETS_DIR");
  EXPECT_EQ(DefaultPresetsDir(), kDir);
}

}  // namespace
}  // namespace pompc::config
