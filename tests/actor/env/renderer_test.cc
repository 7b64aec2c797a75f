#include "actor/env/render/renderer.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/registry.h"
#include "actor/env/render/gl_context.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actor/env/available.h"

namespace pompc::env {
namespace {

using ::testing::HasSubstr;

using Picture = std::vector<uint8_t>;

constexpr PictureSize kSize = {160, 120};

// Where there is no OpenGL nothing can be drawn, and these tests are skipped.
class RendererTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto context = GlContext::Make();
    if (!context.ok()) GTEST_SKIP() << context.status().message();
  }

  static std::unique_ptr<Renderer> MakeRenderer(Environment& environment,
                                                const PictureSize& size = kSize) {
    auto context = GlContext::Make();
    EXPECT_TRUE(context.ok()) << context.status();
    auto renderer = Renderer::Make(*std::move(context), environment.world(), size);
    EXPECT_TRUE(renderer.ok()) << renderer.status();
    return *std::move(renderer);
  }

  static std::unique_ptr<Environment> Start(const std::string& task) {
    auto environment = MakeEnvironment(task, 3);
    EXPECT_TRUE(environment.ok()) << environment.status();
    EXPECT_TRUE((*environment)->Reset().ok());
    return *std::move(environment);
  }

  static Picture Draw(Renderer& renderer) {
    const auto picture = renderer.Draw();
    EXPECT_TRUE(picture.ok()) << picture.status();
    return Picture(picture->begin(), picture->end());
  }
};

std::set<std::vector<uint8_t>> Colours(const Picture& picture) {
  std::set<std::vector<uint8_t>> colours;
  for (size_t i = 0; i < picture.size(); i += 3) {
    colours.insert({picture.begin() + i, picture.begin() + i + 3});
  }
  return colours;
}

TEST_F(RendererTest, PictureHasItsSize) {
  const auto environment = Start("cartpole-swingup");
  EXPECT_EQ(Draw(*MakeRenderer(*environment, {640, 480})).size(), 640u * 480 * 3);
  EXPECT_EQ(Draw(*MakeRenderer(*environment, {18, 16})).size(), 18u * 16 * 3);
}

TEST_F(RendererTest, EveryDomainShowsManyColours) {
  std::set<std::string> domains;
  for (const std::string& task : AvailableTasks()) {
    if (!domains.insert(task.substr(0, task.find('-'))).second) continue;
    SCOPED_TRACE(task);
    const auto environment = Start(task);
    EXPECT_GT(Colours(Draw(*MakeRenderer(*environment))).size(), 20u);
  }
}

TEST_F(RendererTest, SkyIsAboveAndFloorBelow) {
  for (const char* task : {"cartpole-swingup", "cheetah-run", "walker-walk", "hopper-hop"}) {
    SCOPED_TRACE(task);
    const auto environment = Start(task);
    const Picture picture = Draw(*MakeRenderer(*environment));
    // Blue, in the middle of the first and the last row.
    EXPECT_GT(picture[3 * (kSize.width / 2) + 2], 200);
    EXPECT_LT(picture[kSize.bytes() - 3 * (kSize.width / 2) + 2], 190);
  }
}

TEST_F(RendererTest, OtherStateOtherPictureSameStateSamePicture) {
  const auto environment = Start("walker-walk");
  const auto renderer = MakeRenderer(*environment);
  const Picture start = Draw(*renderer);
  EXPECT_EQ(Draw(*renderer), start);
  EXPECT_EQ(Draw(*MakeRenderer(*environment)), start);
  const std::vector<double> action(environment->spec().action_size, 0.5);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(environment->Step(action).ok());
  EXPECT_NE(Draw(*renderer), start);
}

TEST_F(RendererTest, TwoRenderersTakeTurns) {
  const auto cartpole = Start("cartpole-swingup");
  const auto cheetah = Start("cheetah-run");
  const auto one = MakeRenderer(*cartpole);
  const auto other = MakeRenderer(*cheetah);
  const Picture first = Draw(*one);
  EXPECT_NE(Draw(*other), first);
  EXPECT_EQ(Draw(*one), first);
}

TEST_F(RendererTest, DrawingLeavesTheSimulationAlone) {
  const auto watched = Start("cheetah-run");
  const auto unwatched = Start("cheetah-run");
  const auto renderer = MakeRenderer(*watched);
  const std::vector<double> action(watched->spec().action_size, -0.3);
  for (int i = 0; i < 5; ++i) {
    Draw(*renderer);
    ASSERT_TRUE(watched->Step(action).ok());
    ASSERT_TRUE(unwatched->Step(action).ok());
  }
  EXPECT_TRUE(std::ranges::equal(watched->observation(), unwatched->observation()));
}

TEST(RendererErrorTest, SizeOutOfRangeIsRefusedWithTheRange) {
  auto environment = *MakeEnvironment("cartpole-swingup", 1);
  for (const PictureSize& size : {PictureSize{15, 100}, PictureSize{100, 2049}}) {
    const auto renderer = Renderer::Make(nullptr, environment->world(), size);
    EXPECT_EQ(renderer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(renderer.status().message(), HasSubstr("16 to 2048"));
  }
}

TEST(RendererErrorTest, MissingLibraryIsNamedWithWhatToInstall) {
  setenv("POMPC_EGL_LIBRARY", "libno-such-thing.so", 1);
  const auto context = GlContext::Make();
  unsetenv("POMPC_EGL_LIBRARY");
  EXPECT_EQ(context.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(context.status().message(), HasSubstr("libno-such-thing.so"));
  EXPECT_THAT(context.status().message(), HasSubstr("apt-get install libegl1"));
}

TEST(RendererErrorTest, LibraryThatIsNoEglIsRefused) {
  setenv("POMPC_EGL_LIBRARY", "libc.so.6", 1);
  const auto context = GlContext::Make();
  unsetenv("POMPC_EGL_LIBRARY");
  EXPECT_EQ(context.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(context.status().message(), HasSubstr("libc.so.6 is not EGL"));
}

}  // namespace
}  // namespace pompc::env
