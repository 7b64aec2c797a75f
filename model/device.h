// The device on which tensors live, and the threads that compute on them.
#ifndef POMPC_MODEL_DEVICE_H_
#define POMPC_MODEL_DEVICE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/torch_compat.h"
#include "proto/config.pb.h"

namespace pompc::model {

// Parses "cpu", "cuda" or "cuda:N". INVALID_ARGUMENT for another text, FAILED_PRECONDITION when
// this LibTorch or this machine has no such device.
absl::StatusOr<at::Device> ParseDevice(std::string_view text);

// Threads an operation of LibTorch may use that the calling thread starts. One per role is fastest
// where several roles share a machine: two busy processes of two OpenMP threads each on two cores
// lose a factor of 30 and more, spinning. REQUIRES: threads >= 1.
void SetComputeThreads(int threads);

// Threads of a matrix product in the BLAS, for the whole process: call at start-up, before other
// threads multiply. REQUIRES: threads >= 1.
void SetBlasThreads(int threads);

// What multiplies matrices on the CPU, for the log: the configuration string of OpenBLAS, "MKL", or
// "reference BLAS".
std::string BlasName();

// Empty, or one line to warn with at start-up: the reference BLAS is about 20 times slower than
// OpenBLAS.
std::string BlasWarning();

// What all that is computed on this device depends on, beside the program: LibTorch's version, the
// kernels' instructions, the BLAS.
std::string ArithmeticText(at::Device device);

// What matrix products of networks multiply on this device, for the log: "bfloat16 (AVX512_BF16)",
// "float32 (AVX2)", "bfloat16 (cuda:0)".
std::string MatmulText(proto::ModelConfig::MatmulDtype dtype, at::Device device);

// Empty, or one line to warn with: matrix products on this device stay float32 although `dtype` is
// BFLOAT16.
std::string MatmulWarning(proto::ModelConfig::MatmulDtype dtype, at::Device device);

}  // namespace pompc::model

#endif  // POMPC_MODEL_DEVICE_H_
