// Adam with gradient clipping over a flat parameter vector.
#ifndef POMPC_LEARNER_UPDATE_ADAM_H_
#define POMPC_LEARNER_UPDATE_ADAM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model/parameters.h"
#include "model/torch_compat.h"

namespace pompc::update {

// Kingma & Ba, "Adam"; beta 0.9 and 0.999, no weight decay, bias correction as in PyTorch. Not
// thread-safe. Shares the parameter and gradient vectors with its creator.
class Adam {
 public:
  // Consecutive parameters with a learning rate of their own.
  struct Segment {
    int64_t size = 0;
    double learning_rate = 0;
  };

  struct Options {
    std::vector<Segment> segments;  // they cover the vector
    double epsilon = 1e-8;
    // The gradient is scaled down to this norm.
    double max_grad_norm = 20;
  };

  Adam(at::Tensor parameters, Options options);

  // Where gradients accumulate; of the parameters' size.
  const at::Tensor& gradients() const { return gradients_; }
  // Norm of the gradients as they are, a scalar.
  at::Tensor GradientNorm() const { return gradients_.norm(); }
  // A step begins: counts it, and puts what depends on the count where Step finds it. To be called
  // on the host before each Step, also where the operations of Step are recorded and replayed.
  void CountStep();
  // The step; the gradients stay. `norm` is GradientNorm(). Waits for nothing but a CPU.
  void Step(const at::Tensor& norm);

  // What a step changes: parameters and moments.
  std::vector<at::Tensor> Vectors() const { return {parameters_, m_, v_}; }

  // The moments, named "<prefix>.m" and "<prefix>.v", and the number of steps: all there is to
  // resume from.
  model::NamedTensors State(const std::string& prefix) const;
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

 private:
  // A kernel on the CPU in float32, ATen operations elsewhere.
  bool HasKernel() const;
  // One segment, which starts at `begin`.
  void StepWithKernel(int64_t begin, const Segment& segment, double gradient_scale);
  void StepWithTensors(int64_t begin, const Segment& segment, const at::Tensor& gradient_scale,
                       const at::Tensor& step_size);
  // Bias corrections of the step under way.
  double StepSize(const Segment& segment) const;
  double InverseSqrtCorrection() const;

  const Options options_;
  at::Tensor parameters_, gradients_, m_, v_;
  // StepSize of each segment, then InverseSqrtCorrection: where Step has ATen operations.
  at::Tensor corrections_;
  int64_t steps_ = 0;
};

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_ADAM_H_
