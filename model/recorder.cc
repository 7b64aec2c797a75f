#include "model/recorder.h"

#ifdef POMPC_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <array>
#include <map>
#endif
#include <utility>

#include "common/base/check.h"

namespace pompc::model {
namespace {

// Each tensor begins at a multiple of it in the block, in bytes.
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
  // Recorded operations read the block where it lies, so it moves only when shapes or dtypes
  // change.
  if (layout != layout_) {
    block_ = Allocate(bytes);
    layout_ = std::move(layout);
  }

  // One block, and one copy for all tensors instead of one for each.
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
  POMPC_CHECK_EQ(begin, block_.numel());
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

std::function<at::Tensor()> Recorder::Retrieve(const at::Tensor& tensor) {
  // A copy, because the next run of the program overwrites its result.
  return [copy = tensor.to(at::kCPU, tensor.scalar_type(), /*non_blocking=*/false, /*copy=*/true)] {
    return copy;
  };
}

#ifdef POMPC_CUDA

namespace {

// Calls of a program before it is recorded: LibTorch loads kernels and makes handles when they are
// first needed, which cannot be recorded.
constexpr int kWarmUps = 2;

// Lets what is queued on `to` from now on run after what was queued on `from`.
void Order(const c10::Stream& from, const c10::Stream& to) {
  c10::Event event(at::kCUDA);
  event.record(from);
  event.block(to);
}

class CudaRecorder : public Recorder {
 public:
  CudaRecorder(at::Device device, bool records)
      : Recorder(device),
        streams_(at::kCUDA),
        copies_(streams_.getStreamFromGlobalPool(device)),
        side_(streams_.getStreamFromGlobalPool(device)),
        pool_(at::cuda::graph_pool_handle()),
        records_(records) {}

  at::Tensor Run(int variant, absl::FunctionRef<at::Tensor()> program) override {
    if (!records_) return program();
    const c10::DeviceGuard guard(device_);
    Program& own = programs_[variant];
    if (own.calls < kWarmUps) {
      ++own.calls;
      RunAside([&] { own.result = program(); });
      return own.result;
    }
    // If one program cannot be recorded the others will hardly be: all are called from now on.
    if (own.graph == nullptr && !Record(own, program)) {
      records_ = false;
      programs_.clear();
      return program();
    }
    own.graph->replay();
    ++replays_;
    return own.result;
  }

  std::function<at::Tensor()> Retrieve(const at::Tensor& tensor) override {
    const at::Tensor host =
        at::empty(tensor.sizes(), at::TensorOptions(tensor.scalar_type()).pinned_memory(true));
    host.copy_(tensor, /*non_blocking=*/true);
    auto copied = std::make_shared<c10::Event>(at::kCUDA);
    copied->record(streams_.getStream(device_));
    return [host, copied] {
      copied->synchronize();
      return host;
    };
  }

 protected:
  at::Tensor Allocate(int64_t bytes) override {
    const c10::Stream main = streams_.getStream(device_);
    // A replay may still be running on the device.
    c10::Event done(at::kCUDA);
    done.record(main);
    done.synchronize();
    programs_.clear();
    const at::TensorOptions host = at::TensorOptions(at::kByte).pinned_memory(true);
    const at::TensorOptions device = at::TensorOptions(at::kByte).device(device_);
    for (Slot& slot : slots_) {
      slot.copied.synchronize();
      slot.host = at::empty({bytes}, host);
      slot.device = at::empty({bytes}, device);
    }
    // The memory may have belonged to tensors whose work is still queued on the main stream.
    Order(main, copies_);
    return at::empty({bytes}, device);
  }

  at::Tensor HostBlock() override {
    slots_[next_].copied.synchronize();
    return slots_[next_].host;
  }

  // Two slots: while the device works on what came with one, the other is filled and copied.
  void Send(const at::Tensor& host_block, at::Tensor& block) override {
    Slot& slot = slots_[next_];
    next_ = 1 - next_;
    slot.read.block(copies_);
    {
      const c10::StreamGuard guard(copies_);
      slot.device.copy_(host_block, /*non_blocking=*/true);
    }
    slot.copied.record(copies_);
    const c10::Stream main = streams_.getStream(device_);
    slot.copied.block(main);
    block.copy_(slot.device, /*non_blocking=*/true);
    slot.read.record(main);
  }

 private:
  struct Slot {
    at::Tensor host, device;
    c10::Event copied{at::kCUDA};  // host is free again
    c10::Event read{at::kCUDA};    // device is free again
  };

  struct Program {
    int calls = 0;
    std::unique_ptr<at::cuda::CUDAGraph> graph;
    at::Tensor result;
  };

  // Runs in order with the current stream, on another one: the default stream cannot be recorded.
  void RunAside(absl::FunctionRef<void()> run) {
    const c10::Stream main = streams_.getStream(device_);
    Order(main, side_);
    {
      const c10::StreamGuard guard(side_);
      run();
    }
    Order(side_, main);
  }

  // Says whether it could be recorded. Nothing runs on the device meanwhile.
  bool Record(Program& own, absl::FunctionRef<at::Tensor()> program) {
    own.graph = std::make_unique<at::cuda::CUDAGraph>();
    own.result = at::Tensor();
    bool recording = false;
    try {
      RunAside([&] {
        // Other threads continue to use the device.
        own.graph->capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
        recording = true;
        own.result = program();
        recording = false;
        own.graph->capture_end();
      });
      return true;
    } catch (const c10::Error& error) {
      // LibTorch's own warnings: newer ones come with headers that Log's library cannot be read
      // with.
      TORCH_WARN("operations cannot be recorded on ", device_.str(),
                 " and go on without: ", error.what_without_backtrace());
    }
    if (recording) End(*own.graph);
    return false;
  }

  void End(at::cuda::CUDAGraph& graph) {
    const c10::StreamGuard guard(side_);
    try {
      graph.capture_end();
    } catch (const c10::Error&) {
      // The error that ended the recording has been reported.
    }
  }

  const c10::impl::VirtualGuardImpl streams_;
  const c10::Stream copies_, side_;
  // Memory of all recordings, which run one after the other.
  const at::cuda::MempoolId_t pool_;
  bool records_;
  std::array<Slot, 2> slots_;
  size_t next_ = 0;
  std::map<int, Program> programs_;
};

}  // namespace

std::unique_ptr<Recorder> MakeRecorder(at::Device device, bool records) {
  if (!device.is_cuda()) return std::make_unique<Recorder>(device);
  return std::make_unique<CudaRecorder>(device, records);
}

#else

std::unique_ptr<Recorder> MakeRecorder(at::Device device, bool /*records*/) {
  return std::make_unique<Recorder>(device);
}

#endif  // POMPC_CUDA

}  // namespace pompc::model
