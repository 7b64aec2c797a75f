#include "model/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
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

// The upper half of a float32's bits, rounded to nearest with ties to even, in integers; not for
// NaN.
float RoundedToBfloat16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t lower = bits & 0xffffu;
  uint32_t upper = bits >> 16;
  if (lower > 0x8000u || (lower == 0x8000u && (upper & 1u) != 0)) ++upper;
  return std::bit_cast<float>(upper << 16);
}

// Through bfloat16, packed as bytes, and back.
std::vector<float> ThroughBfloat16(const std::vector<float>& values) {
  const at::Tensor tensor = at::tensor(values, at::kFloat);
  const PackedTensors packed = *Pack(Convert({{"x", tensor}}, at::kFloat, at::kBFloat16));
  EXPECT_EQ(packed.table[0].dtype, "BF16");
  EXPECT_EQ(packed.data.size(), 2 * values.size());
  const NamedTensors back =
      Convert(*Unpack(packed.table, packed.data), at::kBFloat16, at::kFloat);
  const float* begin = back[0].tensor.data_ptr<float>();
  return {begin, begin + values.size()};
}

TEST(ParametersTest, Bfloat16IsRoundedToNearestTiesToEven) {
  std::vector<float> values = {0.f, -0.f, 1.f, 1e-45f, 1e-39f, -3e38f};
  // One unit of bfloat16 at 1 is 2^-7: ties go to the even neighbour, what is beside them does not.
  for (const float tie : {1 + 0x1p-8f, 1 + 3 * 0x1p-8f, -1 - 0x1p-8f, 0x1p-130f + 0x1p-134f}) {
    for (const float to : {-4.f, 4.f}) values.push_back(std::nextafter(tie, to));
    values.push_back(tie);
  }
  const at::Tensor normal = Draw(7, {1000});
  values.insert(values.end(), normal.data_ptr<float>(), normal.data_ptr<float>() + 1000);
  const std::vector<float> rounded = ThroughBfloat16(values);
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint32_t>(rounded[i]),
              std::bit_cast<uint32_t>(RoundedToBfloat16(values[i])))
        << values[i];
  }
  EXPECT_EQ(ThroughBfloat16({1 + 0x1p-8f})[0], 1.f);
  EXPECT_EQ(ThroughBfloat16({1 + 3 * 0x1p-8f})[0], 1 + 0x1p-6f);
}

TEST(ParametersTest, Bfloat16KeepsNanAndInfinityAndOverflowsToIt) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  // The lowest payload bit alone would be cut off, and the NaN with it.
  const float quiet = std::numeric_limits<float>::quiet_NaN();
  const float low = std::bit_cast<float>(0x7f800001u);
  // Long enough for the vectorised part of a conversion, and a rest.
  std::vector<float> values;
  for (int i = 0; i < 9; ++i) {
    for (const float x :
         {quiet, low, kInfinity, -kInfinity, std::numeric_limits<float>::max(), 3.3e38f}) {
      values.push_back(x);
    }
  }
  const std::vector<float> got = ThroughBfloat16(values);
  for (size_t i = 0; i < got.size(); i += 6) {
    EXPECT_TRUE(std::isnan(got[i]));
    EXPECT_TRUE(std::isnan(got[i + 1]));
    EXPECT_EQ(got[i + 2], kInfinity);
    EXPECT_EQ(got[i + 3], -kInfinity);
    EXPECT_EQ(got[i + 4], kInfinity);
    EXPECT_EQ(got[i + 5], RoundedToBfloat16(3.3e38f));
  }
}

TEST(ParametersTest, ConvertLeavesOtherDtypesAsTheyAre) {
  const NamedTensors converted = Convert(Example(), at::kFloat, at::kBFloat16);
  EXPECT_EQ(converted[0].tensor.scalar_type(), at::kBFloat16);
  EXPECT_EQ(converted[2].tensor.scalar_type(), at::kDouble);
  EXPECT_EQ(converted[5].tensor.scalar_type(), at::kBool);
}

TEST(ParametersTest, DescribesAsNumPyWould) {
  EXPECT_EQ(DescribeTensor(at::kFloat, {2, 3}), "float32 (2, 3)");
  EXPECT_EQ(DescribeTensor(at::kBool, {}), "bool ()");
  EXPECT_EQ(DescribeTensor(at::kLong, {-1, 2}), "int64 (any, 2)");
  EXPECT_EQ(DescribeTensor(at::kHalf, {1}), "Half (1)");
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
  refused({{"x", at::ones({2})}, {"y", at::ones({4})}},
          "\"y\" is float32 (4): must be float32 (3)");
  refused({{"x", at::ones({2})}, {"y", at::ones({3}, at::kDouble)}}, "\"y\" is float64 (3)");
  refused({{"x", at::ones({2})}, {"y", at::ones({3})}, {"z", at::ones({1})}}, "\"z\" is unknown");
  refused({{"x", at::ones({2})}, {"y", at::ones({3})}, {"x", at::ones({2})}},
          "\"x\" appears twice");
}

}  // namespace
}  // namespace pompc::model
