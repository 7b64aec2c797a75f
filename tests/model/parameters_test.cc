#include "model/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/model/testing.h"

namespace pompc::model {
namespace {

using ::testing::HasSubstr;

NamedTensors Example() {
  return {{"a", Draw(1, {2, 3})},
          {"transposed", Draw(2, {4, 2}).t()},
          {"double", Draw(3, {2}, at::kDouble)},
          {"scalar", at::full({}, 7, at::kLong)},
          {"empty", at::empty({0, 5})},
          {"flags", at::tensor({1, 0, 1}, at::kLong).to(at::kBool)}};
}

TEST(ParametersTest, PackingAndUnpackingAreInverse) {
  const NamedTensors tensors = Example();
  const PackedTensors packed = *Pack(tensors);
  EXPECT_EQ(packed.data.size(), TotalBytes(tensors));
  EXPECT_EQ(packed.table[1], (TensorEntry{"transposed", "F32", {2, 4}, 24, 32}));
  const NamedTensors unpacked = *Unpack(packed.table, packed.data);
  ASSERT_EQ(unpacked.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(unpacked[i].name, tensors[i].name);
    EXPECT_EQ(unpacked[i].tensor.scalar_type(), tensors[i].tensor.scalar_type());
    EXPECT_TRUE(at::equal(unpacked[i].tensor, tensors[i].tensor)) << tensors[i].name;
  }
}

TEST(ParametersTest, UnpackingRefusesEntriesThatDoNotFit) {
  const PackedTensors packed = *Pack(Example());
  const auto refused = [&](TensorEntry entry, const char* what) {
    const absl::Status status = Unpack({entry}, packed.data).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what;
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"a\""));
  };
  const TensorEntry good = packed.table[0];
  TensorEntry bad = good;
  bad.dtype = "F16";
  refused(bad, "unknown dtype \"F16\"");
  bad = good;
  bad.shape = {2, 4};
  refused(bad, "does not take 24 bytes");
  bad = good;
  bad.shape = {-2, -3};
  refused(bad, "does not take");
  bad = good;
  bad.shape = {int64_t{1} << 62, 16};
  refused(bad, "does not take");
  bad = good;
  bad.offset = packed.data.size() - 23;
  refused(bad, "lie outside");
  bad.offset = ~uint64_t{0} - 3;
  refused(bad, "lie outside");
}

TEST(ParametersTest, PackingRefusesOtherDtypes) {
  const absl::Status status = Pack({{"half", at::empty({2}, at::kHalf)}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"half\""));
}

TEST(ParametersTest, CopyGoesByName) {
  const NamedTensors source = {{"x", at::ones({2})}, {"y", at::full({3}, 2)}};
  const NamedTensors destination = {{"y", at::zeros({3}, at::kLong)}, {"x", at::zeros({2})}};
  ASSERT_TRUE(CopyTensors(source, destination).ok());
  EXPECT_TRUE(at::equal(destination[0].tensor, source[1].tensor));
  EXPECT_TRUE(at::equal(destination[1].tensor, source[0].tensor));
}

TEST(ParametersTest, CopyRefusesWhatDiffersAndCopiesNothing) {
  const NamedTensors destination = {{"x", at::zeros({2})}, {"y", at::zeros({3})}};
  const auto refused = [&](const NamedTensors& source, const char* what) {
    const absl::Status status = CopyTensors(source, destination);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what;
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
    EXPECT_TRUE(at::equal(destination[0].tensor, at::zeros({2})));
  };
  refused({{"x", at::ones({2})}}, "\"y\" is missing");
  refused({{"x", at::ones({2})}, {"y", at::ones({4})}}, "\"y\" is Float [4]: must be Float [3]");
  refused({{"x", at::ones({2})}, {"y", at::ones({3}, at::kDouble)}}, "\"y\" is Double");
  refused({{"x", at::ones({2})}, {"y", at::ones({3})}, {"z", at::ones({1})}}, "\"z\" is unknown");
  refused({{"x", at::ones({2})}, {"y", at::ones({3})}, {"x", at::ones({2})}},
          "\"x\" appears twice");
}

}  // namespace
}  // namespace pompc::model
