#include "model/planning/cpu_planner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "common/base/check.h"
#include "model/kernels/packed_mlp.h"
#include "model/kernels/philox.h"
#include "model/kernels/policy.h"
#include "model/kernels/two_hot.h"
#include "model/ops.h"
#include "model/planning/methods.h"
#include "model/planning/search.h"
#include "model/random.h"

namespace pompc::model {
namespace {

using kernels::Bfloat16;
using kernels::MlpScratch;
using kernels::PackedMlp;
using kernels::PaddedColumns;
using kernels::RowsOf;

// Sequences whose rollout stays together through all steps: few enough for their activations to
// stay in the second-level cache, and a multiple of the rows that products take together.
template <typename Number>
constexpr int64_t kBlockRows = std::is_same_v<Number, float> ? 60 : 64;

constexpr int64_t RoundUp(int64_t size, int64_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

void SetNumber(float x, float& to) { to = x; }
void SetNumber(float x, Bfloat16& to) { to = kernels::ToBfloat16(x); }

// Hands out memory piece by piece, in whole cache lines; without memory it only counts.
class Arena {
 public:
  explicit Arena(unsigned char* memory) : memory_(memory) {}

  template <typename T>
  T* Take(int64_t count) {
    T* const piece = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += RoundUp(count * static_cast<int64_t>(sizeof(T)), 64);
    return piece;
  }

  template <typename T>
  RowsOf<T> TakeRows(int64_t rows, int64_t stride) {
    return {Take<T>(RoundUp(rows, 16) * stride), stride};
  }

  int64_t used() const { return used_; }

 private:
  unsigned char* const memory_;
  int64_t used_ = 0;
};

// Memory of this thread for `bytes`, until the next call.
unsigned char* ThreadMemory(int64_t bytes) {
  struct alignas(64) Line {
    unsigned char bytes[64];
  };
  thread_local std::vector<Line> lines;
  const size_t needed = static_cast<size_t>(bytes) / sizeof(Line);
  if (lines.size() < needed) lines = std::vector<Line>(needed);
  return lines.front().bytes;
}

// The sizes of a plan, as in search.h; a sequence has `numbers` = H A numbers.
struct Sizes {
  int64_t observation, latent, actions, horizon, numbers;
  int64_t samples, policy_samples, elites;
  int64_t start, sums, hidden;  // widths that networks need
};

// Everything that a plan writes to before its answer.
template <typename Number>
struct Buffers {
  Buffers(const Sizes& s, Arena& arena) {
    const int64_t block = kBlockRows<Number>;
    const int64_t joined = RoundUp(s.latent + s.actions, kernels::kBfloat16Multiple);
    const int64_t before = arena.used();
    observation = arena.TakeRows<Number>(1, RoundUp(s.observation, kernels::kBfloat16Multiple));
    latent = arena.TakeRows<Number>(1, joined);
    steps = arena.TakeRows<Number>(block, joined);
    policy_steps = arena.TakeRows<Number>(s.policy_samples, joined);
    first_actions = arena.TakeRows<Number>(block, RoundUp(s.actions, kernels::kBfloat16Multiple));
    scratch.hidden = arena.TakeRows<Number>(block, s.hidden);
    activations = reinterpret_cast<unsigned char*>(observation.data);
    activation_bytes = arena.used() - before;
    scratch.sums = arena.TakeRows<float>(block, s.sums);
    reward_start = arena.Take<float>(s.start);
    dynamics_start = arena.Take<float>(s.start);
    candidates = arena.TakeRows<float>(s.samples, s.numbers);
    noise = arena.Take<float>(s.samples * s.numbers);
    terminal_noise = arena.TakeRows<float>(s.samples, s.actions);
    drawn = arena.TakeRows<float>(block, s.actions);
    decoded = arena.Take<float>(RoundUp(block, 16));
    other_decoded = arena.Take<float>(RoundUp(block, 16));
    totals = arena.Take<float>(s.samples);
    alive = arena.Take<float>(s.samples);
    values = arena.Take<float>(s.samples);
    order = arena.Take<int32_t>(s.samples);
    mean = arena.Take<float>(s.numbers);
    std = arena.Take<float>(s.numbers);
    elites = arena.TakeRows<float>(s.elites, s.numbers);
    elite_values = arena.Take<float>(s.elites);
    weights = arena.Take<float>(s.elites);
    uniform = arena.Take<float>(s.elites);
  }

  RowsOf<Number> observation, latent;  // one row each
  RowsOf<Number> steps, policy_steps;  // (z, a) of a block's sequences and of the policy's
  RowsOf<Number> first_actions;        // of a block
  MlpScratch<Number> scratch;          // of a block
  unsigned char* activations;          // all of the above that products read
  int64_t activation_bytes;
  float *reward_start, *dynamics_start;     // first layers' sums of the state planned from
  RowsOf<float> candidates;                 // [N, H A], the policy's first
  float* noise;                             // [N, H A]
  RowsOf<float> terminal_noise;             // [N, A]
  RowsOf<float> drawn;                      // terminal actions of a block
  float *decoded, *other_decoded;           // rewards or values of a block
  float *totals, *alive;                    // [N]: rewards so far; 0 behind a terminal state
  float* values;                            // [N]
  int32_t* order;                           // [N]: candidates, the elites first
  float *mean, *std;                        // [H A]
  RowsOf<float> elites;                     // [E, H A], the best first
  float *elite_values, *weights, *uniform;  // [E]
};

template <typename Number>
class PackedPlanner final : public CpuPlanner {
 public:
  PackedPlanner(const WorldModel& model, const proto::RunConfig& config)
      : settings_(config.planner()),
        discount_(config.learner().discount()),
        state_values_(model.HasStateValues()) {
    const proto::ModelConfig& m = model.config().model();
    const proto::EnvSpec& spec = model.config().env().spec();
    const int64_t latent = m.latent_dim();
    const auto pack = [](const Mlp& mlp, int64_t member, int64_t prefix, float padding) {
      return PackedMlp<Number>(*mlp.kernel_layers(), member, prefix, padding);
    };
    encoder_ = pack(model.encoder(), 0, 0, 0);
    dynamics_ = pack(model.dynamics(), 0, latent, 0);
    reward_ = pack(model.reward(), 0, latent, kernels::kNoLogit);
    policy_ = pack(model.policy(), 0, 0, 0);
    terminates_ = spec.terminates();
    if (terminates_) termination_ = pack(model.termination(), 0, 0, 0);
    for (int64_t k = 0; k < static_cast<int64_t>(m.num_q()); ++k)
      q_.push_back(pack(model.q(), k, 0, kernels::kNoLogit));
    const Bins bins = BinsOf(m);
    bins_ = {bins.count, bins.low, bins.width()};
    form_ = {static_cast<int64_t>(spec.action_size()),
             m.policy_form() == proto::ModelConfig::TANH_GAUSSIAN,
             static_cast<float>(m.log_std_min()), static_cast<float>(m.log_std_max())};
    sizes_ = SizesOf(spec, latent);
    Arena counter(nullptr);
    Buffers<Number>(sizes_, counter);
    bytes_ = counter.used();
  }

  void Plan(const CpuPlanRequest& request, const CpuPlan& plan) const override {
    Arena arena(ThreadMemory(bytes_));
    const Buffers<Number> b(sizes_, arena);
    // What products read beyond the numbers that are set meets weights of zero.
    if constexpr (std::is_same_v<Number, Bfloat16>)
      std::fill_n(b.activations, b.activation_bytes, 0);
    Begin(request, b);
    const auto method = [&](const auto& call) { return CallMethod(settings_.method(), call); };
    *plan.iterations = Iterate(settings_, request.finish_by, request.clock, [&](int iteration) {
      DrawCandidates(request.seed, iteration, b);
      Score(request.seed, iteration, b);
      TakeElites(b);
      method([&](auto m) { m.Weigh(settings_, sizes_.elites, b.elite_values, b.weights); });
      Refit(b);
    });
    kernels::PhiloxUniform({request.seed, 0, kEliteChoice}, sizes_.elites, b.uniform);
    const FlatSearch search = {settings_, sizes_.elites, b.elite_values, b.weights,
                               b.elites,  b.mean,        b.uniform};
    Finish(request, method([&](auto m) { return m.Choose(search); }), b, plan);
  }

 private:
  using Rows = RowsOf<Number>;
  using ConstRows = RowsOf<const Number>;

  Sizes SizesOf(const proto::EnvSpec& spec, int64_t latent) const {
    Sizes s = {};
    s.observation = spec.observation_size();
    s.latent = latent;
    s.actions = spec.action_size();
    s.horizon = settings_.horizon();
    s.numbers = s.horizon * s.actions;
    s.samples = settings_.samples();
    s.policy_samples = settings_.policy_samples();
    s.elites = settings_.elites();
    s.start = std::max(reward_.start_size(), dynamics_.start_size());
    std::vector<const PackedMlp<Number>*> networks = {&encoder_, &dynamics_, &reward_, &policy_,
                                                      &q_.front()};
    if (terminates_) networks.push_back(&termination_);
    for (const PackedMlp<Number>* network : networks) {
      s.sums = std::max(s.sums, network->widest_sums());
      s.hidden = std::max(s.hidden, network->widest_hidden());
    }
    return s;
  }

  static ConstRows Read(Rows rows) { return {rows.data, rows.stride}; }
  static RowsOf<const float> ReadFloats(RowsOf<float> rows) { return {rows.data, rows.stride}; }

  // `count` rows of actions become the numbers of `to` from `column` on.
  void SetActions(int64_t count, RowsOf<const float> actions, Rows to, int64_t column) const {
    for (int64_t row = 0; row < count; ++row) {
      const float* const from = actions.From(row).data;
      Number* const out = to.From(row).data + column;
      for (int64_t a = 0; a < sizes_.actions; ++a) SetNumber(from[a], out[a]);
    }
  }

  // Encodes the state, sets the first guess, and proposes and follows the policy's sequences, whose
  // rewards and last states are the same in every iteration.
  void Begin(const CpuPlanRequest& request, const Buffers<Number>& b) const {
    for (int64_t i = 0; i < sizes_.observation; ++i)
      SetNumber(request.observation[i], b.observation.data[i]);
    encoder_.NormedOutputs(1, encoder_.Whole(), Read(b.observation), b.scratch, b.latent);
    for (int64_t a = 0; a < sizes_.actions; ++a) SetNumber(0, b.latent.data[sizes_.latent + a]);
    reward_.StartOf(Read(b.latent), b.reward_start);
    dynamics_.StartOf(Read(b.latent), b.dynamics_start);

    // Decision t + 1 of the previous plan is decision t of this one. Nothing is known of the last.
    std::fill_n(b.mean, sizes_.numbers, 0.0f);
    if (request.warm_start != nullptr) {
      std::copy_n(request.warm_start + sizes_.actions, sizes_.numbers - sizes_.actions, b.mean);
    }
    std::fill_n(b.std, sizes_.numbers, static_cast<float>(settings_.max_std()));
    if (sizes_.policy_samples == 0) return;
    const RowsOf<float> noise = {b.noise, sizes_.numbers};
    kernels::PhiloxNormal({request.seed, 0, kPolicySequences},
                          sizes_.policy_samples * sizes_.numbers, b.noise);
    // At the state itself the policy is the same for all.
    const RowsOf<const float> first =
        policy_.Outputs(1, policy_.Whole(), Read(b.latent), b.scratch);
    kernels::PolicyActions(form_, sizes_.policy_samples, {first.data, 0}, ReadFloats(noise),
                           b.candidates);
    ForEachBlock(0, sizes_.policy_samples, [&](int64_t begin, int64_t count) {
      const Rows steps = b.policy_steps.From(begin);
      Follow(begin, count, steps, b, [&](int64_t t) {
        if (t == 0) return;
        const int64_t at = t * sizes_.actions;
        const RowsOf<const float> outputs =
            policy_.Outputs(count, policy_.Whole(), Read(steps), b.scratch);
        kernels::PolicyActions(form_, count, outputs, {noise.From(begin).data + at, noise.stride},
                               {b.candidates.From(begin).data + at, b.candidates.stride});
      });
    });
  }

  // Calls function(first, count) for [begin, end) block by block.
  template <typename Function>
  static void ForEachBlock(int64_t begin, int64_t end, const Function& function) {
    for (; begin < end; begin += kBlockRows<Number>)
      function(begin, std::min(kBlockRows<Number>, end - begin));
  }

  // The rewards and the last states of candidates [begin, begin + count), a block. `propose(t)` is
  // called before decision t is read. See TrajectoryValues.
  template <typename Propose>
  void Follow(int64_t begin, int64_t count, Rows steps, const Buffers<Number>& b,
              const Propose& propose) const {
    float* const totals = b.totals + begin;
    float* const alive = b.alive + begin;
    std::fill_n(totals, count, 0.0f);
    std::fill_n(alive, count, 1.0f);
    double weight = 1;
    for (int64_t t = 0; t < sizes_.horizon; ++t) {
      propose(t);
      const RowsOf<const float> actions = {b.candidates.From(begin).data + t * sizes_.actions,
                                           b.candidates.stride};
      // All sequences begin at the same state, whose part of the first products is known.
      const bool first = t == 0;
      SetActions(count, actions, first ? b.first_actions : steps, first ? 0 : sizes_.latent);
      const ConstRows x = Read(first ? b.first_actions : steps);
      Decode(reward_, count, first ? reward_.AfterPrefix(b.reward_start) : reward_.Whole(), x, b,
             b.decoded);
      for (int64_t i = 0; i < count; ++i)
        totals[i] += static_cast<float>(weight) * (alive[i] * b.decoded[i]);
      dynamics_.NormedOutputs(count,
                              first ? dynamics_.AfterPrefix(b.dynamics_start) : dynamics_.Whole(),
                              x, b.scratch, steps);
      weight *= discount_;
      if (!terminates_) continue;
      const RowsOf<const float> logits =
          termination_.Outputs(count, termination_.Whole(), Read(steps), b.scratch);
      // A logit of 0 is a probability of one half.
      for (int64_t i = 0; i < count; ++i) alive[i] *= logits.From(i).data[0] <= 0 ? 1.0f : 0.0f;
    }
  }

  void Decode(const PackedMlp<Number>& network, int64_t count,
              const typename PackedMlp<Number>::First& first, ConstRows x, const Buffers<Number>& b,
              float* values) const {
    kernels::TwoHotDecodeRows(bins_, count, network.Outputs(count, first, x, b.scratch), values);
  }

  // Candidates after the policy's: draws from N(mean, std).
  void DrawCandidates(uint64_t seed, int iteration, const Buffers<Number>& b) const {
    const int64_t drawn = sizes_.samples - sizes_.policy_samples;
    kernels::PhiloxNormal({seed, static_cast<uint32_t>(iteration), kSamples},
                          drawn * sizes_.numbers, b.noise);
    for (int64_t n = 0; n < drawn; ++n) {
      const float* const noise = b.noise + n * sizes_.numbers;
      float* const candidate = b.candidates.From(sizes_.policy_samples + n).data;
      for (int64_t i = 0; i < sizes_.numbers; ++i)
        candidate[i] = std::clamp(b.mean[i] + b.std[i] * noise[i], -1.0f, 1.0f);
    }
  }

  // Values of all candidates.
  void Score(uint64_t seed, int iteration, const Buffers<Number>& b) const {
    kernels::PhiloxNormal({seed, static_cast<uint32_t>(iteration), kTerminalAction},
                          sizes_.samples * sizes_.actions, b.terminal_noise.data);
    const std::array<int, 2> members = RandomPair(
        seed, {kQMembers, static_cast<uint32_t>(iteration)}, static_cast<int>(q_.size()));
    ForEachBlock(0, sizes_.policy_samples, [&](int64_t begin, int64_t count) {
      AddTerminalValues(begin, count, members, b.policy_steps.From(begin), b);
    });
    ForEachBlock(sizes_.policy_samples, sizes_.samples, [&](int64_t begin, int64_t count) {
      Follow(begin, count, b.steps, b, [](int64_t) {});
      AddTerminalValues(begin, count, members, b.steps, b);
    });
    // A model that has diverged says NaN.
    constexpr float kMost = std::numeric_limits<float>::max();
    for (int64_t n = 0; n < sizes_.samples; ++n)
      b.values[n] = std::isnan(b.values[n]) ? 0.0f : std::clamp(b.values[n], -kMost, kMost);
  }

  void AddTerminalValues(int64_t begin, int64_t count, const std::array<int, 2>& members,
                         Rows steps, const Buffers<Number>& b) const {
    if (!state_values_) {
      const RowsOf<const float> outputs =
          policy_.Outputs(count, policy_.Whole(), Read(steps), b.scratch);
      kernels::PolicyActions(form_, count, outputs, ReadFloats(b.terminal_noise.From(begin)),
                             b.drawn);
      SetActions(count, ReadFloats(b.drawn), steps, sizes_.latent);
    }
    const auto decode = [&](int member, float* values) {
      const PackedMlp<Number>& q = q_[static_cast<size_t>(member)];
      Decode(q, count, q.Whole(), Read(steps), b, values);
    };
    decode(members[0], b.decoded);
    decode(members[1], b.other_decoded);
    const float weight = static_cast<float>(std::pow(discount_, sizes_.horizon));
    for (int64_t i = 0; i < count; ++i) {
      const float value = 0.5f * (b.decoded[i] + b.other_decoded[i]);
      b.values[begin + i] = b.totals[begin + i] + weight * (b.alive[begin + i] * value);
    }
  }

  void TakeElites(const Buffers<Number>& b) const {
    // Equal values are ordered by their candidates, so that there is one order.
    const auto better = [&](int32_t i, int32_t j) {
      return b.values[i] != b.values[j] ? b.values[i] > b.values[j] : i < j;
    };
    int32_t* const end = b.order + sizes_.samples;
    std::iota(b.order, end, 0);
    std::nth_element(b.order, b.order + sizes_.elites, end, better);
    std::sort(b.order, b.order + sizes_.elites, better);
    for (int64_t e = 0; e < sizes_.elites; ++e) {
      b.elite_values[e] = b.values[b.order[e]];
      std::copy_n(b.candidates.From(b.order[e]).data, sizes_.numbers, b.elites.From(e).data);
    }
  }

  // The weighted mean and deviation of the elites.
  void Refit(const Buffers<Number>& b) const {
    std::fill_n(b.mean, sizes_.numbers, 0.0f);
    std::fill_n(b.std, sizes_.numbers, 0.0f);
    for (int64_t e = 0; e < sizes_.elites; ++e) {
      const float* const elite = b.elites.From(e).data;
      for (int64_t i = 0; i < sizes_.numbers; ++i) b.mean[i] += b.weights[e] * elite[i];
    }
    for (int64_t e = 0; e < sizes_.elites; ++e) {
      const float* const elite = b.elites.From(e).data;
      for (int64_t i = 0; i < sizes_.numbers; ++i) {
        const float difference = elite[i] - b.mean[i];
        b.std[i] += b.weights[e] * (difference * difference);
      }
    }
    const float least = static_cast<float>(settings_.min_std());
    const float most = static_cast<float>(settings_.max_std());
    for (int64_t i = 0; i < sizes_.numbers; ++i)
      b.std[i] = std::clamp(std::sqrt(b.std[i]), least, most);
  }

  // See PlanPass and FirstDecision in pass.cc.
  void Finish(const CpuPlanRequest& request, const FlatChoice& choice, const Buffers<Number>& b,
              const CpuPlan& plan) const {
    kernels::PhiloxNormal({request.seed, 0, kExploration}, sizes_.actions, b.noise);
    *plan.value = choice.value;
    if (plan.elites != nullptr) std::copy_n(b.order, sizes_.elites, plan.elites);
    std::copy_n(b.mean, sizes_.numbers, plan.warm_start);
    for (int64_t a = 0; a < sizes_.actions; ++a) {
      const float noise = request.evaluate ? 0.0f : b.std[a] * b.noise[a];
      plan.action[a] = std::clamp(choice.action[a] + noise, -1.0f, 1.0f);
      plan.std[a] = b.std[a];
      switch (settings_.statistic()) {
        case proto::PlannerConfig::ELITE:
          plan.mean[a] = choice.action[a];
          break;
        case proto::PlannerConfig::BEST:
          plan.mean[a] = b.elites.data[a];
          plan.std[a] = DeviationFromBest(a, b);
          break;
        default:
          plan.mean[a] = b.mean[a];
      }
    }
  }

  float DeviationFromBest(int64_t a, const Buffers<Number>& b) const {
    float sum = 0;
    for (int64_t e = 0; e < sizes_.elites; ++e) {
      const float difference = b.elites.From(e).data[a] - b.elites.data[a];
      sum += b.weights[e] * (difference * difference);
    }
    return std::sqrt(sum + 1e-6f);
  }

  const proto::PlannerConfig settings_;
  const double discount_;
  // The Q networks read the latent alone, not the action behind it.
  const bool state_values_;
  PackedMlp<Number> encoder_, dynamics_, reward_, termination_, policy_;
  std::vector<PackedMlp<Number>> q_;
  bool terminates_ = false;
  kernels::TwoHotBins bins_;
  kernels::PolicyForm form_;
  Sizes sizes_ = {};
  int64_t bytes_ = 0;
};

bool HasKernels(const WorldModel& model) {
  const proto::RunConfig& config = model.config();
  std::vector<const Mlp*> networks = {&model.encoder(), &model.dynamics(), &model.reward(),
                                      &model.q(), &model.policy()};
  if (config.env().spec().terminates()) networks.push_back(&model.termination());
  return config.model().num_bins() <= kernels::kMaxBins &&
         std::all_of(networks.begin(), networks.end(),
                     [](const Mlp* mlp) { return mlp->kernel_layers() != nullptr; });
}

}  // namespace

std::unique_ptr<const CpuPlanner> CpuPlanner::Create(const WorldModel& model,
                                                     const proto::RunConfig& config) {
  const proto::PlannerConfig& settings = config.planner();
  POMPC_CHECK(
      settings.elites() <= settings.samples() && settings.policy_samples() < settings.samples(),
      "a config that Derive made");
  if (!HasKernels(model)) return nullptr;
  if (RoundsFactors(model.config().model().matmul_dtype()) && kernels::HasBfloat16())
    return std::make_unique<PackedPlanner<Bfloat16>>(model, config);
  return std::make_unique<PackedPlanner<float>>(model, config);
}

}  // namespace pompc::model
