// The one way this code base includes LibTorch. It hides what differs between LibTorch 1.13
// and 2.x, and keeps compile times down: neither torch/torch.h nor torch::nn is used anywhere.
#ifndef POMPC_MODEL_TORCH_COMPAT_H_
#define POMPC_MODEL_TORCH_COMPAT_H_

// clang in C++20 mode needs the complete c10::IValue before ATen/ATen.h, so these are not sorted.
// clang-format off
#include <ATen/core/ivalue.h>
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
// clang-format on

#endif  // POMPC_MODEL_TORCH_COMPAT_H_
