#include "model/recorder.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/model/testing.h"

namespace pompc::model {
namespace {

TEST(RecorderTest, WhatIsLoadedStaysWhereItWas) {
  Recorder recorder(at::kCPU);
  const std::vector<at::Tensor> first = {Draw(1, {3, 5}), at::Tensor(),
                                         at::tensor({7, 8}, at::kLong), at::ones({3}, at::kByte)};
  const std::vector<at::Tensor> loaded = recorder.Load(first);
  ASSERT_EQ(loaded.size(), 4u);
  EXPECT_FALSE(loaded[1].defined());
  for (const size_t i : {0, 2, 3}) {
    EXPECT_TRUE(loaded[i].equal(first[i])) << i;
    EXPECT_EQ(loaded[i].scalar_type(), first[i].scalar_type());
    EXPECT_NE(loaded[i].data_ptr(), first[i].data_ptr());
  }
  const std::vector<at::Tensor> second = {
      Draw(2, {3, 5}), at::Tensor(), at::tensor({9, 10}, at::kLong), at::zeros({3}, at::kByte)};
  const std::vector<at::Tensor> again = recorder.Load(second);
  for (const size_t i : {0, 2, 3}) {
    EXPECT_EQ(again[i].data_ptr(), loaded[i].data_ptr()) << i;
    EXPECT_TRUE(loaded[i].equal(second[i])) << i;
  }
}

TEST(RecorderTest, OtherShapesAndDtypesAreLoadedAsWell) {
  Recorder recorder(at::kCPU);
  recorder.Load({Draw(1, {3, 5})});
  EXPECT_TRUE(recorder.Load({Draw(1, {4, 5})})[0].equal(Draw(1, {4, 5})));
  const at::Tensor wide = Draw(1, {4, 5}, at::kDouble);
  EXPECT_TRUE(recorder.Load({wide})[0].equal(wide));
  // Not dense in memory.
  EXPECT_TRUE(recorder.Load({wide.t()})[0].equal(wide.t()));
}

}  // namespace
}  // namespace pompc::model
