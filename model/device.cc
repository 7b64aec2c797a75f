#include "model/device.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/numbers.h"
#include "model/kernels/gemm_bfloat16.h"
#include "model/kernels/instructions.h"
#include "model/ops.h"

namespace pompc::model {
namespace {

// Which BLAS is behind LibTorch is known only at run time: Debian's links whatever libblas.so.3
// stands for.
template <typename Function>
Function Find(const char* symbol) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, symbol));
}

const char* OpenBlasConfig() {
  const auto get_config = Find<const char* (*)()>("openblas_get_config");
  return get_config == nullptr ? nullptr : get_config();
}

}  // namespace

absl::StatusOr<at::Device> ParseDevice(std::string_view text) {
  const std::string name(text);
  if (name == "cpu") return at::Device(at::kCPU);
  absl::StatusOr<int> index = 0;
  if (name != "cuda") {
    index = name.starts_with("cuda:")
                ? ParseInteger<int>(name.substr(5), 0, 127)
                : absl::InvalidArgumentError("");
  }
  if (!index.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "device \"", name, "\": must be cpu, cuda or cuda:N with N in decimal, 0 to 127"));
  }
  if (!at::hasCUDA()) {
    return absl::FailedPreconditionError(
        absl::StrCat("device \"", name,
                     "\": this LibTorch has no CUDA, or the machine has no CUDA device; use cpu"));
  }
  // LibTorch reports a missing or broken device by exception, here as everywhere. Only an
  // allocation shows whether there is a device of this number, and whether it works.
  const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(*index));
  try {
    at::empty({1}, at::TensorOptions(at::kFloat).device(device));
  } catch (const c10::Error& error) {
    return absl::FailedPreconditionError(
        absl::StrCat("device \"", name, "\": ", error.what_without_backtrace()));
  }
  return device;
}

void SetComputeThreads(int threads) {
  POMPC_CHECK_GE(threads, 1);
  // A thread's first look takes over what any thread has set last, and would undo the setting if it
  // came later.
  at::get_num_threads();
  at::set_num_threads(threads);
}

void SetBlasThreads(int threads) {
  POMPC_CHECK_GE(threads, 1);
  if (const auto set = Find<void (*)(int)>("openblas_set_num_threads")) set(threads);
}

// Checks MKL first: a LibTorch with MKL inside multiplies with it, whatever BLAS is loaded beside
// it.
std::string BlasName() {
  if (at::hasMKL()) return "MKL";
  if (const char* config = OpenBlasConfig()) return config;
  return "reference BLAS";
}

std::string BlasWarning() {
  if (BlasName() != "reference BLAS") return "";
  return "LibTorch multiplies matrices with the reference BLAS, about 20 times slower than "
         "OpenBLAS; install "
         "libopenblas0-pthread";
}

std::string ArithmeticText(at::Device device) {
  return absl::StrCat(device.str(), " (", kernels::Name(kernels::BestInstructions()),
                      "), LibTorch ", TORCH_VERSION, ", BLAS ", BlasName());
}

std::string MatmulText(proto::ModelConfig::MatmulDtype dtype, at::Device device) {
  const bool rounds = RoundsFactors(dtype) && (!device.is_cpu() || kernels::HasBfloat16());
  return absl::StrCat(rounds ? "bfloat16" : "float32", " (",
                      device.is_cpu() ? kernels::Name(kernels::BestInstructions()) : device.str(),
                      ")");
}

std::string MatmulWarning(proto::ModelConfig::MatmulDtype dtype, at::Device device) {
  if (dtype != proto::ModelConfig::BFLOAT16 || !device.is_cpu() || kernels::HasBfloat16()) {
    return "";
  }
  return "model.matmul_dtype BFLOAT16 changes nothing here: this processor has neither AVX512_BF16 "
         "nor AMX (or the system or the compiler of this program does not know it), matrix "
         "products stay float32";
}

}  // namespace pompc::model
