// Runs the same operations over and over on a device that works behind the host.
#ifndef POMPC_MODEL_RECORDER_H_
#define POMPC_MODEL_RECORDER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "model/torch_compat.h"

namespace pompc::model {

// Brings what varies from run to run to where it stays on the device, and runs programs of ATen
// operations on it. This one copies and calls as it is told; on CUDA there is one that copies
// ahead of the device, and records each program in a graph that it then replays: one launch instead
// of hundreds. Not thread-safe.
//
// Everything is queued on the calling thread's current stream: what the thread queues next comes
// behind it.
class Recorder {
 public:
  explicit Recorder(at::Device device) : device_(device) {}
  virtual ~Recorder() = default;

  // Copies tensors to the device; undefined ones stay undefined. The result has the same memory as
  // that of the call before, as long as shapes and dtypes are the same; when they change,
  // recordings are dropped. The host waits only if it is two calls ahead of the copies.
  std::vector<at::Tensor> Load(const std::vector<at::Tensor>& tensors);

  // Runs `program` and returns its result, which holds until the next run of the variant. A program
  // reads what was loaded and tensors that stay where they are, does not wait for the device, and
  // does the same operations with the same numbers of the host whenever `variant` is the same: once
  // recorded it is no longer called.
  virtual at::Tensor Run(int variant, absl::FunctionRef<at::Tensor()> program);

  // Queues a copy of `tensor` to the host, behind what was queued before. What is returned waits
  // for that copy and gives it; it may be called at any time, and outlive the recorder.
  virtual std::function<at::Tensor()> Retrieve(const at::Tensor& tensor);

  // Runs that replayed a recording.
  int64_t replays() const { return replays_; }

 protected:
  // Makes room for blocks of `bytes` bytes, and forgets what was recorded: the block that programs
  // read, which is returned, will be another.
  virtual at::Tensor Allocate(int64_t bytes);
  // Host memory to be filled with the next block, and its way to the device.
  virtual at::Tensor HostBlock() { return host_block_; }
  virtual void Send(const at::Tensor& host_block, at::Tensor& block);

  const at::Device device_;
  int64_t replays_ = 0;

 private:
  // Dtype and shape of each tensor of the last call.
  std::vector<std::vector<int64_t>> layout_;
  // All tensors, one after the other, on the device and on the host.
  at::Tensor block_, host_block_;
};

// Makes the one for `device`. If recording fails, a warning is logged and programs are called from
// then on; without `records` they are called always.
std::unique_ptr<Recorder> MakeRecorder(at::Device device, bool records);

}  // namespace pompc::model

#endif  // POMPC_MODEL_RECORDER_H_
