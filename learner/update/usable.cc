#include "learner/update/usable.h"

#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "learner/update/draws.h"

namespace pompc::update {
namespace {

class Search {
 public:
  Search(Updater& updater, const Batch& batch) : updater_(updater), batch_(batch) {}

  absl::Status Run(int64_t begin, int64_t count) {
    const absl::StatusOr<bool> usable = IsUsable(begin, count);
    if (!usable.ok()) return usable.status();
    if (*usable) return absl::OkStatus();
    const size_t found = found_.size();
    if (count > 1) {
      const int64_t half = count / 2;
      absl::Status status = Run(begin, half);
      if (status.ok()) status = Run(begin + half, count - half);
      if (!status.ok() || found_.size() > found) return status;
    }
    for (int64_t i = begin; i < begin + count; ++i) found_.push_back(static_cast<uint32_t>(i));
    return absl::OkStatus();
  }

  std::vector<uint32_t> Take() { return std::move(found_); }

 private:
  absl::StatusOr<bool> IsUsable(int64_t begin, int64_t count) {
    Batch part = batch_;
    for (at::Tensor* tensor : TensorsOf(part)) *tensor = tensor->narrow(0, begin, count);
    const proto::RunConfig& config = updater_.config();
    const BatchSize size = {part.actions.size(1), count};
    const RandomNumbers numbers =
        DrawNumbers(config, size, /*seed=*/0, static_cast<uint32_t>(updater_.update_count()));
    const Draws draws = MakeDraws(numbers, config, size, updater_.model().flat().options());
    const absl::StatusOr<Evaluation> evaluation = updater_.Evaluate(part, draws);
    if (!evaluation.ok()) return evaluation.status();
    return IsFinite(*evaluation);
  }

  // Adam divides by the norm of the gradients, which is infinite before they are.
  static bool IsFinite(const Evaluation& evaluation) {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> norms;
    for (const at::Tensor& scale : {evaluation.value_scale, evaluation.kl_scale}) {
      norms.push_back(scale.norm().to(at::kFloat));
    }
    for (const model::NamedTensor& named : evaluation.gradients) {
      norms.push_back(named.tensor.norm().to(at::kFloat));
    }
    return std::isfinite(at::stack(norms).norm().item<double>());
  }

  Updater& updater_;
  const Batch& batch_;
  std::vector<uint32_t> found_;
};

}  // namespace

absl::StatusOr<std::vector<uint32_t>> FindUnusable(Updater& updater, const Batch& batch) {
  if (absl::Status status = batch.Validate(updater.config()); !status.ok()) return status;
  Search search(updater, batch);
  const absl::Status status = search.Run(0, batch.actions.size(0));
  if (!status.ok()) return status;
  return search.Take();
}

}  // namespace pompc::update
