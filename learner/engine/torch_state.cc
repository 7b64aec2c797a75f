#include "learner/engine/torch_state.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "model/tensor_file.h"

namespace pompc::learner {
namespace {

std::string FileIn(const std::string& folder) {
  return absl::StrCat(folder, "/updater.safetensors");
}

class TorchState : public Engine::State {
 public:
  explicit TorchState(update::UpdaterState state) : state_(std::move(state)) {}
  absl::Status Write(const std::string& folder) const override {
    return model::WriteTensorFile(FileIn(folder), state_.tensors, state_.metadata);
  }

 private:
  const update::UpdaterState state_;
};

}  // namespace

std::unique_ptr<Engine::State> MakeTorchState(update::UpdaterState state) {
  return std::make_unique<TorchState>(std::move(state));
}

absl::StatusOr<update::UpdaterState> ReadTorchState(const std::string& folder) {
  absl::StatusOr<model::TensorFile> file = model::ReadTensorFile(FileIn(folder));
  if (absl::IsNotFound(file.status())) return absl::DataLossError(file.status().message());
  if (!file.ok()) return file.status();
  return update::UpdaterState{std::move(file->tensors), std::move(file->metadata)};
}

}  // namespace pompc::learner
