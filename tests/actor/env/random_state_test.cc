#include "actor/env/physics/random_state.h"

#include <array>
#include <numbers>

#include "gtest/gtest.h"

namespace pompc::env {
namespace {

// Expected numbers were printed by numpy 2.4.6.

TEST(RandomStateTest, MixedDrawsEqualNumpys) {
  struct Case {
    uint32_t seed;
    // rand(), uniform(-pi, pi), randn(), rand(), randn(), randn(), randn()
    std::array<double, 7> draws;
  };
  const Case cases[] = {
      {0,
       {0.5488135039273248, 1.3520746650524709, 0.9787379841057392, 0.4236547993389047,
        2.240893199201458, -0.8427240538292873, 1.9699244478698945}},
      {42,
       {0.3745401188473625, 2.8319215077704234, 0.6476885381006925, 0.15601864044243652,
        1.5230298564080254, 0.2790412922001377, 1.0105152848065264}},
      {4294967295,
       {0.0976320289940138, 2.5910778345383454, 0.6484086742306527, 0.01793967398674523,
        0.6693235306338161, 0.0813036681172692, 0.4096851233481656}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.seed);
    RandomState random(c.seed);
    EXPECT_EQ(random.Uniform(), c.draws[0]);
    EXPECT_EQ(random.Uniform(-std::numbers::pi, std::numbers::pi), c.draws[1]);
    EXPECT_EQ(random.Normal(), c.draws[2]);
    // The second number of the pair waits while other draws are made.
    EXPECT_EQ(random.Uniform(), c.draws[3]);
    for (int i = 4; i < 7; ++i) EXPECT_EQ(random.Normal(), c.draws[i]);
  }
}

// Also beyond the generator's period of regeneration, and with an odd number of normals.
TEST(RandomStateTest, LateDrawsEqualNumpys) {
  RandomState random(7);
  double normal = 0;
  double sum = 0;
  for (int i = 0; i < 100001; ++i) sum += normal = random.Normal();
  EXPECT_EQ(normal, -0.040355389114829734);
  EXPECT_NEAR(sum, -288.8153074706462, 1e-9);
  double uniform = 0;
  for (int i = 0; i < 100001; ++i) uniform = random.Uniform();
  EXPECT_EQ(uniform, 0.03302042610305389);
}

}  // namespace
}  // namespace pompc::env
