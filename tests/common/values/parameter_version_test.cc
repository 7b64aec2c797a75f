#include "common/values/parameter_version.h"

#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(ParameterVersion, IncarnationsOrderBeforeNumbers) {
  EXPECT_LT((ParameterVersion{1, 9}), (ParameterVersion{2, 1}));
  EXPECT_LT((ParameterVersion{2, 1}), (ParameterVersion{2, 2}));
  EXPECT_EQ((ParameterVersion{2, 1}), (ParameterVersion{2, 1}));
}

TEST(ParameterVersion, ZeroIsNone) {
  EXPECT_FALSE(ParameterVersion{}.valid());
  EXPECT_TRUE((ParameterVersion{1, 1}).valid());
  EXPECT_EQ((ParameterVersion{2, 17}).ToString(), "2.17");
}

}  // namespace
}  // namespace pompc
