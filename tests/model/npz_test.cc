#include "model/npz.h"

#include <cstring>
#include <string>

#include "common/io/npz.h"
#include "common/io/zip_archive.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/testing.h"

namespace pompc::model {
namespace {

using ::testing::HasSubstr;

TEST(NpzTensorsTest, TensorsComeBackAsTheyWere) {
  const NamedTensors tensors = {
      {"weight", Draw(1, {3, 4, 5})},        {"strided", Draw(2, {4, 6}).t()},
      {"double", Draw(3, {7}, at::kDouble)}, {"count", at::full({}, int64_t{1} << 40, at::kLong)},
      {"flags", Draw(4, {2, 3}).gt(0)},      {"empty", at::empty({0, 3})}};
  const auto file = PackNpz(tensors);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto read = UnpackNpz(*file);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ((*read)[i].name, tensors[i].name);
    EXPECT_EQ((*read)[i].tensor.scalar_type(), tensors[i].tensor.scalar_type());
    EXPECT_TRUE((*read)[i].tensor.equal(tensors[i].tensor)) << tensors[i].name;
    EXPECT_TRUE((*read)[i].tensor.is_contiguous());
  }
}

TEST(NpzTensorsTest, ColumnMajorArraysAreTurned) {
  // As NumPy stores the transpose of a row-major array.
  const at::Tensor numbers = Draw(5, {2, 3, 4});
  const std::string data(static_cast<const char*>(numbers.data_ptr()), numbers.nbytes());
  const std::string file = *WriteNpz({{"x", NpyType::kFloat32, {4, 3, 2}, false, data}});
  std::string array((*ReadZip(file))[0].content);
  array.replace(array.find("False"), 5, "True ");
  const std::string turned = *WriteZip({{"x.npy", array}});
  const auto read = UnpackNpz(turned);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE((*read)[0].tensor.equal(numbers.permute({2, 1, 0})));
  EXPECT_TRUE((*read)[0].tensor.is_contiguous());
}

TEST(NpzTensorsTest, OtherTypesAreNamed) {
  const auto file = PackNpz({{"half", at::ones({2}, at::kHalf)}});
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("\"half\""));
}

TEST(NpzTensorsTest, WhatIsNoFileIsAnError) {
  EXPECT_EQ(UnpackNpz("nonsense").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace pompc::model
