#include "common/process/data_folder.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include "gtest/gtest.h"

namespace pompc {
namespace {

namespace fs = std::filesystem;

TEST(DataFolder, ComesFromTheEnvironmentFirst) {
  setenv("POMPC_TEST_FOLDER", "/somewhere", 1);
  EXPECT_EQ(DataFolder("POMPC_TEST_FOLDER", "presets"), "/somewhere");
  setenv("POMPC_TEST_FOLDER", "", 1);
  EXPECT_EQ(DataFolder("POMPC_TEST_FOLDER", "presets"), POMPC_SOURCE_DIR "/presets");
  unsetenv("POMPC_TEST_FOLDER");
}

TEST(DataFolder, IsThatOfTheSourceTreeWhereNothingIsInstalled) {
  EXPECT_EQ(DataFolder("POMPC_TEST_FOLDER", "bench/learning/published"),
            POMPC_SOURCE_DIR "/bench/learning/published");
}

// Beside the folder of this program, as `cmake --install` puts it beside bin/.
TEST(DataFolder, IsTheInstalledOneWhereThereIsOne) {
  const fs::path program = fs::read_symlink("/proc/self/exe");
  const fs::path installed = program.parent_path().parent_path() / "share/pompc/data-folder-test";
  fs::create_directories(installed);
  EXPECT_EQ(DataFolder("POMPC_TEST_FOLDER", "somewhere/data-folder-test"), installed.string());
  fs::remove(installed);
  EXPECT_EQ(DataFolder("POMPC_TEST_FOLDER", "somewhere/data-folder-test"),
            POMPC_SOURCE_DIR "/somewhere/data-folder-test");
}

}  // namespace
}  // namespace pompc
