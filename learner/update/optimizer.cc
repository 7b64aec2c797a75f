#include "learner/update/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "common/base/check.h"
#include "model/kernels/adam.h"
#include "model/ops.h"

namespace pompc::update {
namespace {

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;

// The percentiles between which a running scale measures the spread.
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

Adam::Adam(at::Tensor parameters, Options options)
    : options_(std::move(options)),
      parameters_(std::move(parameters)),
      gradients_(at::zeros_like(parameters_)),
      m_(at::zeros_like(parameters_)),
      v_(at::zeros_like(parameters_)),
      corrections_(
          at::zeros({static_cast<int64_t>(options_.segments.size()) + 1}, parameters_.options())) {
  // The kernel walks over bare pointers.
  POMPC_CHECK(parameters_.dim() == 1 && parameters_.is_contiguous());
  int64_t covered = 0;
  for (const Segment& segment : options_.segments) covered += segment.size;
  POMPC_CHECK_EQ(covered, parameters_.numel());
}

bool Adam::HasKernel() const {
  return parameters_.is_cpu() && parameters_.scalar_type() == at::kFloat &&
         !model::ReferenceScope::active();
}

void Adam::CountStep() {
  ++steps_;
  if (HasKernel()) return;
  int64_t i = 0;
  // The numbers travel with the operation, so nothing waits for the device. A recorded Step reads
  // them from the tensor: a number of the host would be frozen into the recording.
  for (const Segment& segment : options_.segments) corrections_[i++].fill_(StepSize(segment));
  corrections_[i].fill_(InverseSqrtCorrection());
}

void Adam::Step(const at::Tensor& norm) {
  POMPC_CHECK_GT(steps_, 0u);
  at::NoGradGuard no_grad;
  int64_t begin = 0;
  const bool kernel = HasKernel();
  const at::Tensor scale =
      kernel ? at::Tensor() : (options_.max_grad_norm / (norm + 1e-6)).clamp_max(1);
  const double kernel_scale =
      kernel ? std::min(options_.max_grad_norm / (norm.item<double>() + 1e-6), 1.0) : 1;
  int64_t i = 0;
  for (const Segment& segment : options_.segments) {
    if (kernel) {
      StepWithKernel(begin, segment, kernel_scale);
    } else {
      StepWithTensors(begin, segment, scale, corrections_[i++]);
    }
    begin += segment.size;
  }
}

void Adam::StepWithKernel(int64_t begin, const Segment& segment, double gradient_scale) {
  model::kernels::AdamFactors factors;
  factors.gradient_scale = static_cast<float>(gradient_scale);
  factors.beta1 = static_cast<float>(kBeta1);
  factors.beta2 = static_cast<float>(kBeta2);
  factors.step_size = static_cast<float>(StepSize(segment));
  factors.inverse_sqrt_correction = static_cast<float>(InverseSqrtCorrection());
  factors.epsilon = static_cast<float>(options_.epsilon);
  model::kernels::AdamStep(factors, segment.size, gradients_.data_ptr<float>() + begin,
                           m_.data_ptr<float>() + begin, v_.data_ptr<float>() + begin,
                           parameters_.data_ptr<float>() + begin);
}

// m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2,
// p <- p - (rate / (1 - b1^n)) m / (sqrt(v) / sqrt(1 - b2^n) + epsilon), in PyTorch's order of
// operations. What depends on the number n of the step comes in as a tensor.
void Adam::StepWithTensors(int64_t begin, const Segment& segment, const at::Tensor& gradient_scale,
                           const at::Tensor& step_size) {
  const auto part = [&](const at::Tensor& x) { return x.narrow(0, begin, segment.size); };
  const at::Tensor gradient = part(gradients_) * gradient_scale;
  at::Tensor m = part(m_);
  at::Tensor v = part(v_);
  m.mul_(kBeta1).add_(gradient, 1 - kBeta1);
  v.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
  const at::Tensor inverse_sqrt_correction = corrections_[corrections_.size(0) - 1];
  part(parameters_)
      .addcdiv_(m * step_size, v.sqrt().mul_(inverse_sqrt_correction).add_(options_.epsilon), -1);
}

double Adam::StepSize(const Segment& segment) const {
  return segment.learning_rate / (1 - std::pow(kBeta1, static_cast<double>(steps_)));
}

double Adam::InverseSqrtCorrection() const {
  return 1 / std::sqrt(1 - std::pow(kBeta2, static_cast<double>(steps_)));
}

model::NamedTensors Adam::Moments(const std::string& prefix) const {
  return {{prefix + ".m", m_}, {prefix + ".v", v_}};
}

RunningScale::RunningScale(double tau, const at::TensorOptions& options)
    : tau_(tau), value_(at::ones({}, options)) {}

void RunningScale::Update(const at::Tensor& x, const at::Tensor& mask) {
  at::NoGradGuard no_grad;
  POMPC_DCHECK(!mask.defined() || mask.sizes() == x.sizes());
  // The numbers are one for each window, a few hundred: on the CPU a sort of plain floats takes
  // less time than the dispatch of the operations below, which do the same.
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
    // No operation here may have a shape that depends on the mask (its result would have to be
    // waited for): the numbers left out sort behind the others instead, and only the count differs.
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
