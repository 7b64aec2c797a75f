#include "tests/learner/update/reference_update.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

namespace pompc::update::reference {
namespace {

using proto::PoMpcConfig;

constexpr double kPi = 3.14159265358979323846;

struct Normal {
  Row mean, std;
};

double Symlog(double x) { return std::copysign(std::log(1 + std::fabs(x)), x); }
double Symexp(double x) { return std::copysign(std::exp(std::fabs(x)) - 1, x); }
double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

Row Concatenate(const Row& a, const Row& b) {
  Row both = a;
  both.insert(both.end(), b.begin(), b.end());
  return both;
}

Row Softmax(const Row& x) {
  const double most = *std::max_element(x.begin(), x.end());
  double sum = 0;
  Row result;
  for (const double v : x) sum += std::exp(v - most);
  for (const double v : x) result.push_back(std::exp(v - most) / sum);
  return result;
}

void LayerNorm(const double* weight, const double* bias, Row& x) {
  const double n = static_cast<double>(x.size());
  double mean = 0, variance = 0;
  for (const double v : x) mean += v / n;
  for (const double v : x) variance += (v - mean) * (v - mean) / n;
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = (x[i] - mean) / std::sqrt(variance + 1e-5) * weight[i] + bias[i];
}

void Mish(Row& x) {
  for (double& v : x) v *= std::tanh(std::log(1 + std::exp(v)));
}

void SimNorm(size_t group, Row& x) {
  for (size_t begin = 0; begin < x.size(); begin += group) {
    const auto first = x.begin() + static_cast<std::ptrdiff_t>(begin);
    const Row normed = Softmax(Row(first, first + static_cast<std::ptrdiff_t>(group)));
    std::copy(normed.begin(), normed.end(), first);
  }
}

class Losser {
 public:
  explicit Losser(const Update& update)
      : u_(update),
        c_(update.config),
        m_(update.config.model()),
        batch_(update.windows.size()),
        horizon_(update.windows[0].actions.size()),
        policy_states_(horizon_ + (c_.po_mpc().policy_at_window_end() ? 1 : 0)),
        tanh_(update.config.model().policy_form() == proto::ModelConfig::TANH_GAUSSIAN) {}

  Losses Compute() {
    RollOut();
    Losses losses;
    losses.total = ModelLoss();
    losses.value_scale = u_.before.at("scale.value").data[0];
    losses.kl_scale = u_.before.at("scale.kl").data[0];
    if (c_.po_mpc().alpha() > 0 && c_.po_mpc().prior() == PoMpcConfig::LEARNED && AnyPlan())
      losses.prior = PriorLoss();
    losses.policy = PolicyLoss(losses.value_scale, losses.kl_scale);
    return losses;
  }

 private:
  // One row through member `member` (-1: no ensemble) of a network.
  Row Forward(const Parameters& parameters, const std::string& network, int member, Row x,
              const Row& dropout = {}) const {
    const auto at = [&](int layer, const std::string& name) -> const double* {
      const auto found = parameters.find(network + "." + std::to_string(layer) + "." + name);
      if (found == parameters.end()) return nullptr;
      const Array& array = found->second;
      const int64_t size = static_cast<int64_t>(array.data.size());
      return array.data.data() + (member < 0 ? 0 : size / array.shape[0] * member);
    };
    for (int layer = 0; at(layer, "weight") != nullptr; ++layer) {
      const Array& biases = parameters.at(network + "." + std::to_string(layer) + ".bias");
      Row y(static_cast<size_t>(biases.shape.back()));
      for (size_t j = 0; j < y.size(); ++j) {
        y[j] = at(layer, "bias")[j];
        for (size_t i = 0; i < x.size(); ++i) y[j] += x[i] * at(layer, "weight")[i * y.size() + j];
        if (layer == 0 && !dropout.empty()) y[j] *= dropout[j];
      }
      x = std::move(y);
      if (at(layer, "norm.weight") == nullptr) continue;
      LayerNorm(at(layer, "norm.weight"), at(layer, "norm.bias"), x);
      if (at(layer + 1, "weight") != nullptr) {
        Mish(x);
      } else {
        SimNorm(m_.simnorm_dim(), x);
      }
    }
    return x;
  }

  double BinWidth() const { return (m_.bin_max() - m_.bin_min()) / (m_.num_bins() - 1); }

  double Decode(const Row& logits) const {
    const Row p = Softmax(logits);
    double mean = 0;
    for (size_t k = 0; k < p.size(); ++k)
      mean += p[k] * (m_.bin_min() + static_cast<double>(k) * BinWidth());
    return Symexp(mean);
  }

  double CrossEntropy(const Row& logits, double value) const {
    const double clamped = std::clamp(Symlog(value), m_.bin_min(), m_.bin_max());
    const double position = (clamped - m_.bin_min()) / BinWidth();
    const size_t below = std::min(static_cast<size_t>(std::floor(position)), logits.size() - 2);
    const double above_share = position - static_cast<double>(below);
    const Row p = Softmax(logits);
    return -(1 - above_share) * std::log(p[below]) - above_share * std::log(p[below + 1]);
  }

  // A policy network's Gaussian; for the squashed form that of the numbers before tanh.
  Normal Policy(const std::string& network, const Row& z) const {
    const Row raw = Forward(u_.before, network, -1, z);
    const size_t numbers = raw.size() / 2;
    Normal policy;
    for (size_t i = 0; i < numbers; ++i) {
      policy.mean.push_back(tanh_ ? raw[i] : std::tanh(raw[i]));
      const double half = (m_.log_std_max() - m_.log_std_min()) / 2;
      policy.std.push_back(std::exp(m_.log_std_min() + half * (std::tanh(raw[numbers + i]) + 1)));
    }
    return policy;
  }

  Row Act(const Normal& policy, const Row& noise) const {
    Row action;
    for (size_t i = 0; i < noise.size(); ++i) {
      const double drawn = policy.mean[i] + policy.std[i] * noise[i];
      action.push_back(tanh_ ? std::tanh(drawn) : std::clamp(drawn, -1.0, 1.0));
    }
    return action;
  }

  double Reduced(double sum, size_t numbers) const {
    const double a = static_cast<double>(numbers);
    if (c_.po_mpc().kl_reduction() == PoMpcConfig::MEAN) return sum / a;
    return c_.po_mpc().kl_reduction() == PoMpcConfig::TD_MPC_SQUARE ? sum * a * a / 61 : sum;
  }

  double Kl(const Normal& p, const Normal& q) const {
    double sum = 0;
    for (size_t i = 0; i < p.mean.size(); ++i) {
      const double difference = p.mean[i] - q.mean[i];
      sum += std::log(q.std[i] / p.std[i]) +
             (p.std[i] * p.std[i] + difference * difference) / (2 * q.std[i] * q.std[i]) - 0.5;
    }
    return Reduced(sum, p.mean.size());
  }

  double LogNormal(double x, double mean, double std) const {
    return -0.5 * (x - mean) * (x - mean) / (std * std) - std::log(std) - 0.5 * std::log(2 * kPi);
  }

  // ln policy(tanh(u)).
  double LogSquashed(const Normal& policy, const Row& noise) const {
    double sum = 0;
    for (size_t i = 0; i < noise.size(); ++i) {
      const double u = policy.mean[i] + policy.std[i] * noise[i];
      const double cosh = std::cosh(u);
      sum += LogNormal(u, policy.mean[i], policy.std[i]) + std::log(cosh * cosh);
    }
    return Reduced(sum, noise.size());
  }

  double KlToPlan(const Normal& policy, const Row& noise, const Normal& plan) const {
    if (!tanh_) return Kl(policy, plan);
    const Row action = Act(policy, noise);
    double sum = 0;
    for (size_t i = 0; i < action.size(); ++i)
      sum += LogNormal(action[i], plan.mean[i], plan.std[i]);
    return LogSquashed(policy, noise) - Reduced(sum, action.size());
  }

  double KlFromPlan(const Normal& plan, const Row& noise, const Normal& policy) const {
    if (!tanh_) return Kl(plan, policy);
    double sum = 0;
    for (size_t i = 0; i < noise.size(); ++i) {
      const double a = std::clamp(plan.mean[i] + plan.std[i] * noise[i], -0.999, 0.999);
      const double u = 0.5 * std::log((1 + a) / (1 - a));
      const double entropy = std::log(plan.std[i]) + 0.5 * std::log(2 * kPi) + 0.5;
      sum += -entropy - LogNormal(u, policy.mean[i], policy.std[i]) + std::log(1 - a * a);
    }
    return Reduced(sum, noise.size());
  }

  double Entropy(const Normal& policy) const {
    double sum = 0;
    for (const double std : policy.std) sum += std::log(std) + 0.5 * std::log(2 * kPi) + 0.5;
    return sum;
  }

  Normal Plan(size_t t, size_t b) const {
    Normal plan{u_.windows[b].plan_mean[t], u_.windows[b].plan_std[t]};
    for (double& std : plan.std)
      std = std::clamp(std, c_.po_mpc().planner_std_floor(), c_.planner().max_std());
    return plan;
  }

  bool AnyPlan() const {
    for (const Window& window : u_.windows) {
      for (size_t t = 0; t < policy_states_; ++t) {
        if (window.has_plan[t]) return true;
      }
    }
    return false;
  }

  // The weight of a window's plans by their age.
  double AgeWeight(size_t b) const {
    const double half_life = c_.po_mpc().plan_half_life_versions();
    return half_life > 0 ? std::pow(0.5, u_.windows[b].plan_age / half_life) : 1;
  }

  // rho^t / (states B)
  double Weight(size_t t, size_t states) const {
    return std::pow(c_.learner().rho(), static_cast<double>(t)) /
           static_cast<double>(states * batch_);
  }

  void RollOut() {
    for (size_t b = 0; b < batch_; ++b) {
      const Window& window = u_.windows[b];
      rolled_.push_back({Forward(u_.before, "encoder", -1, window.observations[0])});
      for (size_t t = 0; t < horizon_; ++t) {
        rolled_[b].push_back(
            Forward(u_.before, "dynamics", -1, Concatenate(rolled_[b][t], window.actions[t])));
      }
    }
  }

  // Value of two members at an action.
  double PairValue(const Parameters& parameters, const std::string& network,
                   const std::array<int, 2>& members, const Row& input,
                   PoMpcConfig::ValueReduction reduction,
                   const std::vector<std::vector<Row>>& dropout = {}, size_t row = 0) const {
    double value[2];
    for (size_t k = 0; k < 2; ++k) {
      value[k] = Decode(Forward(parameters, network, members[k], input,
                                dropout.empty() ? Row() : dropout[k][row]));
    }
    return reduction == PoMpcConfig::MIN ? std::min(value[0], value[1]) : (value[0] + value[1]) / 2;
  }

  const Row& TargetNoise(size_t t, size_t b) const {
    const std::vector<Row>& noise = u_.draws.target_noise;
    return noise[t * batch_ + b + noise.size() - horizon_ * batch_];
  }

  // What a nat costs, for running scale `scale`.
  double Price(double scale) const {
    const double lambda = c_.po_mpc().alpha() / (1 - c_.po_mpc().alpha());
    if (c_.po_mpc().actor_weights() != PoMpcConfig::RELATIVE) return lambda;
    return lambda * (1 - c_.learner().discount()) * scale;
  }

  // Price times K at the state after step t.
  double Penalty(size_t t, size_t b, const Row& z) const {
    if (c_.po_mpc().alpha() == 0) return 0;
    const double price = Price(u_.before.at("scale.value").data[0]);
    const Normal policy = Policy("policy", z);
    const Row noise = tanh_ ? TargetNoise(t, b) : Row();
    if (c_.po_mpc().prior() == PoMpcConfig::LEARNED) {
      return u_.prior_trained ? price * Divergence(policy, noise, Policy("prior", z)) : 0;
    }
    if (!u_.windows[b].has_plan[t + 1]) return 0;
    return price * AgeWeight(b) * Divergence(policy, noise, Plan(t + 1, b));
  }

  // y_t of state values: from the real state, by the model's own next decision.
  Row StateTargets(size_t b) const {
    Row targets;
    for (size_t t = 0; t < horizon_; ++t) {
      const Row z = Forward(u_.before, "encoder", -1, u_.windows[b].observations[t]);
      const Row input = Concatenate(z, Act(Policy("policy", z), TargetNoise(t, b)));
      const Row next = Forward(u_.before, "dynamics", -1, input);
      const bool ends = c_.env().spec().terminates() &&
                        Sigmoid(Forward(u_.before, "termination", -1, next)[0]) > 0.5;
      const double value = PairValue(u_.before, "q_target", u_.draws.target_members, next,
                                     c_.po_mpc().target_value_reduction());
      targets.push_back(Decode(Forward(u_.before, "reward", -1, input)) +
                        (ends ? 0 : c_.learner().discount() * value));
    }
    return targets;
  }

  // y_t of one window by the ensemble `network`.
  Row TargetsOf(const std::string& network, bool penalized, size_t b) const {
    const Window& window = u_.windows[b];
    Row targets(horizon_);
    for (size_t t = horizon_; t-- > 0;) {
      const Row z = Forward(u_.before, "encoder", -1, window.observations[t + 1]);
      double next;
      if (c_.po_mpc().target_horizon() == PoMpcConfig::ONE_STEP || t + 1 == horizon_) {
        const Row input = Concatenate(z, Act(Policy("policy", z), TargetNoise(t, b)));
        next = PairValue(u_.before, network, u_.draws.target_members, input,
                         c_.po_mpc().target_value_reduction());
      } else {
        next = targets[t + 1];
      }
      if (penalized) next -= Penalty(t, b, z);
      targets[t] = window.rewards[t] + (window.terminated[t] ? 0 : c_.learner().discount() * next);
    }
    return targets;
  }

  double ValueLoss(const std::string& network, const Row& input, size_t row, double target) const {
    double sum = 0;
    for (int i = 0; i < static_cast<int>(m_.num_q()); ++i) {
      const auto& dropout = u_.draws.fit_dropout;
      sum += CrossEntropy(Forward(u_.before, network, i, input,
                                  dropout.empty() ? Row() : dropout[static_cast<size_t>(i)][row]),
                          target);
    }
    return sum / m_.num_q();
  }

  double ModelLoss() const {
    const bool regularized =
        c_.po_mpc().alpha() < 1 && c_.po_mpc().policy_values() == PoMpcConfig::REGULARIZED;
    double total = 0;
    for (size_t b = 0; b < batch_; ++b) {
      const Window& window = u_.windows[b];
      const bool states = m_.value_form() == proto::ModelConfig::STATE_VALUES;
      const Row targets = states ? StateTargets(b) : TargetsOf("q_target", false, b);
      const Row regularized_targets =
          regularized ? TargetsOf("regularized_q_target", true, b) : Row();
      for (size_t t = 0; t < horizon_; ++t) {
        const double weight = Weight(t, horizon_);
        const Row input = Concatenate(rolled_[b][t], window.actions[t]);
        const Row real = Forward(u_.before, "encoder", -1, window.observations[t + 1]);
        double distance = 0;
        for (size_t i = 0; i < real.size(); ++i)
          distance += std::pow(rolled_[b][t + 1][i] - real[i], 2);
        total += c_.learner().consistency_coefficient() * weight * distance /
                 static_cast<double>(real.size());
        total += c_.learner().reward_coefficient() * weight *
                 CrossEntropy(Forward(u_.before, "reward", -1, input), window.rewards[t]);
        const size_t row = t * batch_ + b;
        total += c_.learner().value_coefficient() * weight *
                 ValueLoss("q", states ? rolled_[b][t] : input, row, targets[t]);
        if (regularized) {
          total += c_.learner().value_coefficient() * weight *
                   ValueLoss("regularized_q", input, row, regularized_targets[t]);
        }
        if (c_.env().spec().terminates()) {
          const double p = Sigmoid(Forward(u_.before, "termination", -1, rolled_[b][t + 1])[0]);
          total -= c_.learner().termination_coefficient() *
                   std::log(window.terminated[t] ? p : 1 - p) /
                   static_cast<double>(horizon_ * batch_);
        }
      }
    }
    return total;
  }

  // Mean of all members of the plain values, which have stepped already.
  double PlainValue(const Row& input) const {
    double sum = 0;
    for (int i = 0; i < static_cast<int>(m_.num_q()); ++i)
      sum += Decode(Forward(u_.after, "q", i, input));
    return sum / m_.num_q();
  }

  // False if the plain values let the prior follow this plan.
  bool BehindGate(size_t t, size_t b, const Normal& prior) const {
    if (c_.po_mpc().prior_gate() != PoMpcConfig::VALUE) return false;
    const Row& z = rolled_[b][t];
    return PlainValue(Concatenate(z, u_.windows[b].plan_mean[t])) <=
           PlainValue(Concatenate(z, Act(prior, Row(prior.mean.size(), 0))));
  }

  double PriorLoss() const {
    double sum = 0, weights = 0, kept = 0;
    for (size_t t = 0; t < policy_states_; ++t) {
      for (size_t b = 0; b < batch_; ++b) {
        weights += Weight(t, policy_states_);
        if (!u_.windows[b].has_plan[t]) continue;
        const double weight = Weight(t, policy_states_) * AgeWeight(b);
        kept += weight;
        const Normal prior = Policy("prior", rolled_[b][t]);
        if (BehindGate(t, b, prior)) continue;
        const Row noise = tanh_ ? u_.draws.prior_noise[t * batch_ + b] : Row();
        sum += weight * (c_.po_mpc().prior_kl() == PoMpcConfig::FORWARD
                             ? KlFromPlan(Plan(t, b), noise, prior)
                             : KlToPlan(prior, noise, Plan(t, b)));
      }
    }
    return sum * weights / kept;
  }

  // K of a policy and a prior.
  double Divergence(const Normal& policy, const Row& noise, const Normal& prior) const {
    const bool stored = c_.po_mpc().prior() == PoMpcConfig::REPLAY;
    if (c_.po_mpc().policy_kl() == PoMpcConfig::MASS_COVERING)
      return stored ? KlFromPlan(prior, noise, policy) : Kl(prior, policy);
    const double kl = stored ? KlToPlan(policy, noise, prior) : Kl(policy, prior);
    if (c_.po_mpc().policy_kl() == PoMpcConfig::MODE_SEEKING) return kl;
    return kl +
           (tanh_ ? -LogSquashed(policy, noise) : Reduced(Entropy(policy), policy.mean.size()));
  }

  double PolicyKlAt(size_t t, size_t b, const Normal& policy, const Row& noise) const {
    if (!u_.windows[b].has_plan[t]) return 0;
    if (c_.po_mpc().prior() == PoMpcConfig::LEARNED)
      return Divergence(policy, noise, Policy("prior", rolled_[b][t]));
    return AgeWeight(b) * Divergence(policy, noise, Plan(t, b));
  }

  // S + tau (max(P95 - P5, 1) - S).
  double MoveScale(double scale, Row values) const {
    if (values.size() < 2) return scale;
    std::sort(values.begin(), values.end());
    const auto percentile = [&](double q) {
      const double position = q * static_cast<double>(values.size() - 1);
      const size_t below = static_cast<size_t>(position);
      const size_t above = std::min(below + 1, values.size() - 1);
      return values[below] + (values[above] - values[below]) * (position - std::floor(position));
    };
    return scale +
           c_.learner().tau() * (std::max(percentile(0.95) - percentile(0.05), 1.0) - scale);
  }

  double PolicyLoss(double& value_scale, double& kl_scale) const {
    const bool follows = c_.po_mpc().alpha() > 0 && AnyPlan();
    const std::string network =
        c_.po_mpc().policy_values() == PoMpcConfig::REGULARIZED ? "regularized_q" : "q";
    Row values, kls, entropies, first_values, first_kls;
    for (size_t t = 0; t < policy_states_; ++t) {
      for (size_t b = 0; b < batch_; ++b) {
        const size_t row = t * batch_ + b;
        const Row& noise = u_.draws.policy_noise[row];
        const Row& z = rolled_[b][t];
        const Normal policy = Policy("policy", z);
        const Row input = Concatenate(z, Act(policy, noise));
        values.push_back(c_.po_mpc().alpha() == 1
                             ? 0
                             : PairValue(u_.after, network, u_.draws.policy_members, input,
                                         c_.po_mpc().policy_value_reduction(),
                                         u_.draws.policy_dropout, row));
        kls.push_back(follows ? PolicyKlAt(t, b, policy, noise) : 0);
        entropies.push_back(Entropy(policy));
        // The range that divides the values is that of the plain ones, where a nat's price follows
        // it.
        const bool plain =
            c_.po_mpc().actor_weights() == PoMpcConfig::RELATIVE && c_.po_mpc().alpha() > 0;
        if (t == 0 && c_.po_mpc().alpha() < 1) {
          first_values.push_back(PairValue(u_.after, plain ? "q" : network, u_.draws.policy_members,
                                           input, c_.po_mpc().policy_value_reduction(),
                                           u_.draws.policy_dropout, row));
        }
        if (t == 0 && follows && u_.windows[b].has_plan[0]) first_kls.push_back(kls.back());
      }
    }
    value_scale = MoveScale(value_scale, first_values);
    kl_scale = MoveScale(kl_scale, first_kls);

    const bool mix = c_.po_mpc().actor_weights() == PoMpcConfig::MIX || c_.po_mpc().alpha() == 1;
    const double value_weight = (mix ? 1 - c_.po_mpc().alpha() : 1) / value_scale;
    double kl_weight = mix ? c_.po_mpc().alpha() / kl_scale : Price(value_scale) / value_scale;
    if (c_.po_mpc().kl_threshold() > 0 && value_scale <= c_.po_mpc().kl_threshold()) kl_weight = 0;
    double loss = 0;
    for (size_t row = 0; row < values.size(); ++row) {
      loss += Weight(row / batch_, policy_states_) *
              (-value_weight * values[row] + kl_weight * kls[row] -
               c_.po_mpc().entropy_coefficient() * c_.env().spec().action_size() * entropies[row]);
    }
    return loss;
  }

  const Update& u_;
  const proto::RunConfig& c_;
  const proto::ModelConfig& m_;
  const size_t batch_, horizon_, policy_states_;
  const bool tanh_;
  std::vector<std::vector<Row>> rolled_;  // [window][state]: latents along the window's actions
};

}  // namespace

Losses ComputeLosses(const Update& update) { return Losser(update).Compute(); }

}  // namespace pompc::update::reference
