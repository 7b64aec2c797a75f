#include "learner/update/recorder.h"

#include <utility>

namespace pompc::update {
namespace {

// Of each tensor in the block, in bytes.
constexpr int64_t kAlignment = 16;

int64_t BytesOf(const at::Tensor& tensor) {
  if (!tensor.defined()) return 0;
  const auto bytes = static_cast<int64_t>(tensor.nbytes());
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Dtype and shape.
std::vector<int64_t> LayoutOf(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  std::vector<int64_t> layout = {static_cast<int64_t>(tensor.scalar_type())};
  layout.insert(layout.end(), tensor.sizes().begin(), tensor.sizes().end());
  return layout;
}

}  // namespace

std::vector<at::Tensor> Recorder::Load(const std::vector<at::Tensor>& tensors) {
  at::NoGradGuard no_grad;
  std::vector<std::vector<int64_t>> layout;
  int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors) {
    layout.push_back(LayoutOf(tensor));
    bytes += BytesOf(tensor);
  }
  if (layout != layout_) {
    block_ = Allocate(bytes);
    layout_ = std::move(layout);
  }

  const at::Tensor host = HostBlock();
  std::vector<at::Tensor> loaded;
  int64_t begin = 0;
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.defined()) {
      loaded.emplace_back();
      continue;
    }
    const auto part_of = [&](const at::Tensor& block) {
      return block.narrow(0, begin, static_cast<int64_t>(tensor.nbytes()))
          .view(tensor.scalar_type())
          .view(tensor.sizes());
    };
    part_of(host).copy_(tensor);
    loaded.push_back(part_of(block_));
    begin += BytesOf(tensor);
  }
  Send(host, block_);
  return loaded;
}

at::Tensor Recorder::Allocate(int64_t bytes) {
  host_block_ = at::empty({bytes}, at::kByte);
  return at::empty({bytes}, at::TensorOptions(at::kByte).device(device_));
}

void Recorder::Send(const at::Tensor& host_block, at::Tensor& block) { block.copy_(host_block); }

at::Tensor Recorder::Run(int /*variant*/, absl::FunctionRef<at::Tensor()> program) {
  return program();
}

}  // namespace pompc::update
