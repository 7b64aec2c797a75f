#include "learner/update/adam.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/kernels/adam.h"
#include "model/ops.h"

namespace pompc::update {
namespace {

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;

}  // namespace

Adam::Adam(at::Tensor parameters, Options options)
    : options_(std::move(options)),
      parameters_(std::move(parameters)),
      gradients_(at::zeros_like(parameters_)),
      m_(at::zeros_like(parameters_)),
      v_(at::zeros_like(parameters_)),
      corrections_(
          at::zeros({static_cast<int64_t>(options_.segments.size()) + 1}, parameters_.options())) {}

bool Adam::HasKernel() const {
  return parameters_.is_cpu() && parameters_.scalar_type() == at::kFloat &&
         !model::ReferenceScope::active();
}

void Adam::CountStep() {
  ++steps_;
  if (HasKernel()) return;
  int64_t i = 0;
  // The numbers travel with the operation: nothing waits for the device.
  for (const Segment& segment : options_.segments) corrections_[i++].fill_(StepSize(segment));
  corrections_[i].fill_(InverseSqrtCorrection());
}

void Adam::Step(const at::Tensor& norm) {
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

model::NamedTensors Adam::State(const std::string& prefix) const {
  return {{prefix + ".m", m_}, {prefix + ".v", v_}};
}

}  // namespace pompc::update
