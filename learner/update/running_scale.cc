#include "learner/update/running_scale.h"

#include <limits>

namespace pompc::update {
namespace {

// The quantile q of the first `count` (a tensor) of sorted numbers, linearly interpolated.
at::Tensor Quantile(const at::Tensor& sorted, const at::Tensor& count, double q) {
  const at::Tensor position = (count - 1).clamp_min(0) * q;
  const at::Tensor below = position.floor();
  const at::Tensor low = sorted.gather(0, below.to(at::kLong));
  const at::Tensor high = sorted.gather(0, position.ceil().to(at::kLong));
  return low + (high - low) * (position - below);
}

}  // namespace

RunningScale::RunningScale(double tau, const at::TensorOptions& options)
    : tau_(tau), value_(at::ones({}, options)) {}

void RunningScale::Update(const at::Tensor& x, const at::Tensor& mask) {
  at::NoGradGuard no_grad;
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
      (Quantile(sorted, count, 0.95) - Quantile(sorted, count, 0.05)).clamp_min(1).squeeze(0);
  const at::Tensor rate = at::where(count.squeeze(0).ge(2), at::full({}, tau_, x.options()),
                                    at::zeros({}, x.options()));
  value_.add_((spread - value_) * rate);
}

}  // namespace pompc::update
