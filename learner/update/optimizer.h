// Adam, and the running scales by which the policy's loss is divided.
#ifndef POMPC_LEARNER_UPDATE_OPTIMIZER_H_
#define POMPC_LEARNER_UPDATE_OPTIMIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model/parameters.h"
#include "model/torch_compat.h"

namespace pompc::update {

// Adam with gradient clipping over a flat parameter vector: Kingma & Ba, "Adam"; beta 0.9 and
// 0.999, no weight decay, bias correction as in PyTorch. Not thread-safe. Shares the parameter and
// gradient vectors with its creator.
class Adam {
 public:
  // Consecutive parameters with a learning rate of their own.
  struct Segment {
    int64_t size = 0;
    double learning_rate = 0;
  };

  struct Options {
    std::vector<Segment> segments;
    double epsilon = 1e-8;
    // The gradient is scaled down to this norm.
    double max_grad_norm = 20;
  };

  // REQUIRES: the segments cover the parameters, which are one dense vector.
  Adam(at::Tensor parameters, Options options);

  const at::Tensor& parameters() const { return parameters_; }
  // Gradients accumulate here: a vector of the parameters' size.
  const at::Tensor& gradients() const { return gradients_; }
  // Norm of the gradients as they are, a scalar.
  at::Tensor GradientNorm() const { return gradients_.norm(); }
  // Begins a step: counts it, and puts what depends on the count where Step finds it. It is called
  // on the host before each Step, also where the operations of Step are recorded and replayed.
  void CountStep();
  // Makes the step that was counted last; the gradients stay. `norm` is GradientNorm(). Waits for
  // nothing but a CPU. REQUIRES: CountStep was called before.
  void Step(const at::Tensor& norm);

  // The moments, named "<prefix>.m" and "<prefix>.v", and the number of steps: all there is to
  // resume from, beside the parameters.
  model::NamedTensors Moments(const std::string& prefix) const;
  uint64_t& steps() { return steps_; }

 private:
  // A kernel on the CPU in float32, ATen operations elsewhere.
  bool HasKernel() const;
  // Both step one segment, which starts at `begin`.
  void StepWithKernel(int64_t begin, const Segment& segment, double gradient_scale);
  void StepWithTensors(int64_t begin, const Segment& segment, const at::Tensor& gradient_scale,
                       const at::Tensor& step_size);
  // Bias corrections of the step that was counted last.
  double StepSize(const Segment& segment) const;
  double InverseSqrtCorrection() const;

  const Options options_;
  at::Tensor parameters_, gradients_, m_, v_;
  // StepSize of each segment, then InverseSqrtCorrection, for a Step of ATen operations.
  at::Tensor corrections_;
  uint64_t steps_ = 0;
};

// The spread of a quantity over batches, by which a loss term is divided (TD-MPC2's RunningScale):
// S starts at 1 and follows p = max(95th - 5th percentile, 1) at rate tau, S <- S + tau (p - S).
// Not thread-safe.
class RunningScale {
 public:
  RunningScale(double tau, const at::TensorOptions& options);

  // x [n]; mask [n] leaves out the numbers where it is 0, or is undefined: none is left out. S
  // stays as it is if fewer than two numbers are left.
  void Update(const at::Tensor& x, const at::Tensor& mask);

  // A scalar that later updates overwrite in place.
  const at::Tensor& value() const { return value_; }

 private:
  double tau_;
  at::Tensor value_;
};

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_OPTIMIZER_H_
