#include "learner/update/adam.h"

#include <cmath>
#include <utility>

#include "model/kernels/adam.h"

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
      v_(at::zeros_like(parameters_)) {}

void Adam::Step(const at::Tensor& norm) {
  at::NoGradGuard no_grad;
  ++steps_;
  const at::Tensor scale = (options_.max_grad_norm / (norm + 1e-6)).clamp_max(1);
  int64_t begin = 0;
  for (const Segment& segment : options_.segments) {
    StepSegment(begin, segment, scale);
    begin += segment.size;
  }
}

void Adam::StepSegment(int64_t begin, const Segment& segment, const at::Tensor& gradient_scale) {
  const double step_size = segment.learning_rate / (1 - std::pow(kBeta1, steps_));
  const double inverse_sqrt_correction = 1 / std::sqrt(1 - std::pow(kBeta2, steps_));
  const auto part = [&](const at::Tensor& x) { return x.narrow(0, begin, segment.size); };
  at::Tensor parameters = part(parameters_);
  at::Tensor m = part(m_);
  at::Tensor v = part(v_);
  if (parameters.is_cpu() && parameters.scalar_type() == at::kFloat) {
    model::kernels::AdamFactors factors;
    factors.gradient_scale = gradient_scale.item<float>();
    factors.beta1 = static_cast<float>(kBeta1);
    factors.beta2 = static_cast<float>(kBeta2);
    factors.step_size = static_cast<float>(step_size);
    factors.inverse_sqrt_correction = static_cast<float>(inverse_sqrt_correction);
    factors.epsilon = static_cast<float>(options_.epsilon);
    model::kernels::AdamStep(factors, segment.size, part(gradients_).data_ptr<float>(),
                             m.data_ptr<float>(), v.data_ptr<float>(),
                             parameters.data_ptr<float>());
    return;
  }
  const at::Tensor gradient = part(gradients_) * gradient_scale;
  m.mul_(kBeta1).add_(gradient, 1 - kBeta1);
  v.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
  parameters.addcdiv_(m, v.sqrt().mul_(inverse_sqrt_correction).add_(options_.epsilon), -step_size);
}

model::NamedTensors Adam::State(const std::string& prefix) const {
  return {{prefix + ".m", m_}, {prefix + ".v", v_}};
}

}  // namespace pompc::update
