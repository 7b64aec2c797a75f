#include "learner/update/running_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "model/ops.h"

namespace pompc::update {
namespace {

constexpr double kLow = 0.05;
constexpr double kHigh = 0.95;

// The quantile q of the first `count` (a tensor) of sorted numbers, linearly interpolated.
at::Tensor Quantile(const at::Tensor& sorted, const at::Tensor& count, double q) {
  const at::Tensor position = (count - 1).clamp_min(0) * q;
  const at::Tensor below = position.floor();
  const at::Tensor low = sorted.gather(0, below.to(at::kLong));
  const at::Tensor high = sorted.gather(0, position.ceil().to(at::kLong));
  return low + (high - low) * (position - below);
}

// The same of a few numbers on the CPU, where tensor operations would cost more than they do.
float Quantile(const std::vector<float>& sorted, double q) {
  const double position = static_cast<double>(sorted.size() - 1) * q;
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const auto share = static_cast<float>(position - static_cast<double>(below));
  return sorted[below] + (sorted[above] - sorted[below]) * share;
}

// The numbers whose mask is not 0, sorted, NaN last.
std::vector<float> SortedKept(const at::Tensor& x, const at::Tensor& mask) {
  const at::Tensor numbers = x.contiguous();
  const float* begin = numbers.data_ptr<float>();
  std::vector<float> kept(begin, begin + numbers.numel());
  if (mask.defined()) {
    const at::Tensor kept_mask = mask.contiguous();
    const float* keep = kept_mask.data_ptr<float>();
    size_t count = 0;
    for (size_t i = 0; i < kept.size(); ++i) {
      if (keep[i] > 0) kept[count++] = kept[i];
    }
    kept.resize(count);
  }
  std::sort(kept.begin(), kept.end(),
            [](float a, float b) { return a < b || (std::isnan(b) && !std::isnan(a)); });
  return kept;
}

}  // namespace

RunningScale::RunningScale(double tau, const at::TensorOptions& options)
    : tau_(tau), value_(at::ones({}, options)) {}

void RunningScale::Update(const at::Tensor& x, const at::Tensor& mask) {
  at::NoGradGuard no_grad;
  const bool few = x.is_cpu() && x.scalar_type() == at::kFloat &&
                   value_.scalar_type() == at::kFloat && !model::ReferenceScope::active();
  if (few) {
    const std::vector<float> kept = SortedKept(x, mask);
    if (kept.size() < 2) return;
    float* value = value_.data_ptr<float>();
    const float spread = std::max(Quantile(kept, kHigh) - Quantile(kept, kLow), 1.0f);
    *value += (spread - *value) * static_cast<float>(tau_);
    return;
  }
  at::Tensor kept = x.detach();
  at::Tensor count;
  if (mask.defined()) {
    // Numbers left out sort behind the others.
    kept =
        at::where(mask.gt(0), kept, at::full({}, std::numeric_limits<float>::max(), x.options()));
    count = mask.gt(0).sum().to(x.scalar_type()).view({1});
  } else {
    count = at::full({1}, x.size(0), x.options());
  }
  const at::Tensor sorted = std::get<0>(kept.sort());
  const at::Tensor spread =
      (Quantile(sorted, count, kHigh) - Quantile(sorted, count, kLow)).clamp_min(1).squeeze(0);
  const at::Tensor rate = at::where(count.squeeze(0).ge(2), at::full({}, tau_, x.options()),
                                    at::zeros({}, x.options()));
  value_.add_((spread - value_) * rate);
}

}  // namespace pompc::update
