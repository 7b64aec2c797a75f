#include "model/device.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "model/kernels/gemm_bfloat16.h"
#include "model/kernels/instructions.h"

namespace pompc::model {
namespace {

using ::testing::HasSubstr;

TEST(DeviceTest, ParsesTheCpu) {
  const auto device = ParseDevice("cpu");
  ASSERT_TRUE(device.ok());
  EXPECT_TRUE(device->is_cpu());
}

TEST(DeviceTest, RefusesUnknownNames) {
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"}) {
    const auto device = ParseDevice(name);
    EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(device.status().message()), HasSubstr("cpu, cuda or cuda:N"));
  }
}

TEST(DeviceTest, SaysSoWhereThereIsNoCuda) {
  if (at::hasCUDA()) {
    EXPECT_TRUE(ParseDevice("cuda")->is_cuda());
    EXPECT_EQ(ParseDevice("cuda:99").status().code(), absl::StatusCode::kFailedPrecondition);
  } else {
    EXPECT_EQ(ParseDevice("cuda").status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ParseDevice("cuda:0").status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(DeviceTest, WarnsOfBfloat16WhereThereIsNone) {
  EXPECT_EQ(MatmulWarning(proto::ModelConfig::FLOAT32, at::kCPU), "");
  EXPECT_EQ(MatmulWarning(proto::ModelConfig::BFLOAT16, at::kCPU).empty(), kernels::HasBfloat16());
  EXPECT_EQ(MatmulWarning(proto::ModelConfig::AUTO, at::kCPU), "");
  EXPECT_EQ(MatmulWarning(proto::ModelConfig::BFLOAT16, at::Device(at::kCUDA, 0)), "");
}

TEST(DeviceTest, TellsWhatProductsMultiply) {
  const std::string instructions = kernels::Name(kernels::BestInstructions());
  EXPECT_EQ(MatmulText(proto::ModelConfig::FLOAT32, at::kCPU), "float32 (" + instructions + ")");
  for (const auto dtype : {proto::ModelConfig::BFLOAT16, proto::ModelConfig::AUTO}) {
    EXPECT_EQ(MatmulText(dtype, at::kCPU),
              (kernels::HasBfloat16() ? "bfloat16 (" : "float32 (") + instructions + ")");
    EXPECT_EQ(MatmulText(dtype, at::Device(at::kCUDA, 0)), "bfloat16 (cuda:0)");
  }
}

TEST(DeviceTest, SetsTheThreadsOfLibTorch) {
  SetComputeThreads(2);
  EXPECT_EQ(at::get_num_threads(), 2);
  SetComputeThreads(1);
  EXPECT_EQ(at::get_num_threads(), 1);
}

TEST(DeviceTest, ThreadsOfLibTorchAreEachThreadsOwn) {
  SetComputeThreads(1);
  // LibTorch's own rule is that a thread begins with the number that was set last, by anybody.
  std::thread([] {
    SetComputeThreads(3);
    EXPECT_EQ(at::get_num_threads(), 3);
  }).join();
  EXPECT_EQ(at::get_num_threads(), 1);
  std::thread([] {
    SetComputeThreads(2);
    std::thread([] { at::set_num_threads(5); }).join();
    EXPECT_EQ(at::get_num_threads(), 2);
  }).join();
  SetComputeThreads(1);
}

TEST(DeviceTest, NamesTheBlasAndWarnsOfTheReferenceOneOnly) {
  EXPECT_FALSE(BlasName().empty());
  EXPECT_EQ(BlasWarning().empty(), BlasName() != "reference BLAS");
}

}  // namespace
}  // namespace pompc::model
