#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/config/fields.h"
#include "common/config/run_config.h"

namespace pompc::config {
namespace {

absl::Status Error(const std::string& what) { return absl::InvalidArgumentError(what); }

// Returns the number of rows after which every environment of an actor process has made a window,
// which takes H rows and the observation after them. The environments of a process take turns, so
// their windows become complete at about the same time.
uint64_t RowsOfOneWindowEach(const proto::RunConfig& config) {
  return uint64_t{config.actor().environments()} * (config.planner().horizon() + 1);
}
constexpr char kOneWindowEach[] = "actor.environments * (planner.horizon + 1)";

absl::Status CheckEnv(const proto::EnvConfig& env) {
  if (env.task().empty()) return Error("env.task is empty; `pompc tasks` lists the tasks");
  if (env.task() != kExternalTask) return absl::OkStatus();
  const proto::EnvSpec& spec = env.spec();
  if (spec.has_observation_size() && spec.has_action_size() && spec.has_episode_decisions()) {
    return absl::OkStatus();
  }
  return Error(
      "env.task is \"external\": env.spec must give observation_size, action_size and "
      "episode_decisions");
}

// Dimensions that are 0 are those of model.size, so the rules apply to what results.
absl::Status CheckModel(const proto::ModelConfig& given) {
  POMPC_ASSIGN_OR_RETURN(const proto::ModelConfig model, FillSizes(given));
  if (model.latent_dim() % model.simnorm_dim() != 0) {
    return Error(absl::StrCat("model.latent_dim: ", model.latent_dim(),
                              " is not a multiple of model.simnorm_dim ", model.simnorm_dim()));
  }
  if (model.num_q() == 1) {
    return Error(
        "model.num_q: 1; values come from a random pair of Qs; allowed: 0 (as model.size says), 2 "
        "to 64");
  }
  if (model.bin_min() >= model.bin_max()) {
    return Error(absl::StrCat("model.bin_min: ", model.bin_min(), " is not below model.bin_max ",
                              model.bin_max()));
  }
  if (model.log_std_min() >= model.log_std_max()) {
    return Error(absl::StrCat("model.log_std_min: ", model.log_std_min(),
                              " is not below model.log_std_max ", model.log_std_max()));
  }
  return absl::OkStatus();
}

absl::Status CheckPlanner(const proto::PlannerConfig& planner) {
  if (planner.elites() > planner.samples()) {
    return Error(absl::StrCat("planner.elites: ", planner.elites(),
                              " is more than planner.samples ", planner.samples()));
  }
  if (planner.method() == proto::PlannerConfig::CEM && planner.elites() < 2) {
    return Error(
        "planner.elites: 1; planner.method CEM takes their standard deviation: allowed are 2 and "
        "more");
  }
  if (planner.policy_samples() >= planner.samples()) {
    return Error(absl::StrCat("planner.policy_samples: ", planner.policy_samples(),
                              " is not below planner.samples ", planner.samples()));
  }
  if (planner.min_std() > planner.max_std()) {
    return Error(absl::StrCat("planner.min_std: ", planner.min_std(),
                              " is more than planner.max_std ", planner.max_std()));
  }
  if (planner.max_batch() > planner.max_queue()) {
    return Error(absl::StrCat("planner.max_batch: ", planner.max_batch(),
                              " is more than planner.max_queue ", planner.max_queue()));
  }
  return absl::OkStatus();
}

// The rules between the planner's settings and those of other groups.
absl::Status CheckAroundPlanner(const proto::RunConfig& config) {
  const proto::PlannerConfig& planner = config.planner();
  if (planner.budget_ms() > 0 && config.schedule() == proto::RunConfig::LOCKSTEP) {
    return Error(absl::StrCat("planner.budget_ms: ", planner.budget_ms(),
                              " makes plans depend on the time that they take, so that a run of "
                              "schedule LOCKSTEP could not be repeated; allowed: 0"));
  }
  if (config.po_mpc().planner_std_floor() > planner.max_std()) {
    return Error(absl::StrCat("po_mpc.planner_std_floor: ", config.po_mpc().planner_std_floor(),
                              " is more than planner.max_std ", planner.max_std()));
  }
  const proto::EnvSpec& spec = config.env().spec();
  if (spec.has_episode_decisions() && planner.horizon() > spec.episode_decisions()) {
    return Error(absl::StrCat("planner.horizon: ", planner.horizon(),
                              " is more than the decisions of an episode, env.spec."
                              "episode_decisions ",
                              spec.episode_decisions(), ": there would never be a window"));
  }
  return absl::OkStatus();
}

// One lambda for targets and policy's loss: what would give it another meaning in one of them, or
// only divide it by a number, is refused.
absl::Status CheckWeights(const proto::PoMpcConfig& po_mpc) {
  using PoMpc = proto::PoMpcConfig;
  const std::string reduction =
      absl::StrCat("po_mpc.kl_reduction: ", PoMpc::KlReduction_Name(po_mpc.kl_reduction()));
  const bool imitates = po_mpc.alpha() >= 1;
  if (po_mpc.kl_reduction() == PoMpc::MEAN && po_mpc.actor_weights() != PoMpc::MIX && !imitates) {
    return Error(absl::StrCat(reduction, " with po_mpc.actor_weights ",
                              PoMpc::ActorWeights_Name(po_mpc.actor_weights()),
                              " divides lambda by the numbers of an action; allowed: SUM"));
  }
  if (po_mpc.kl_reduction() == PoMpc::TD_MPC_SQUARE && po_mpc.policy_values() != PoMpc::PLAIN &&
      !imitates) {
    return Error(absl::StrCat(reduction,
                              " would weigh the KL in targets too; allowed with "
                              "po_mpc.policy_values REGULARIZED: MEAN or SUM"));
  }
  return absl::OkStatus();
}

absl::Status CheckPoMpc(const proto::RunConfig& config) {
  using PoMpc = proto::PoMpcConfig;
  const PoMpc& po_mpc = config.po_mpc();
  const double weight = po_mpc.has_alpha() ? po_mpc.alpha() : po_mpc.lambda();
  if (po_mpc.kl_threshold() > 0 && po_mpc.alpha() >= 1) {
    return Error(absl::StrCat("po_mpc.kl_threshold: ", po_mpc.kl_threshold(),
                              " compares values, which po_mpc.alpha 1 does not use; allowed: 0"));
  }
  if (po_mpc.actor_weights() == PoMpc::RELATIVE && config.learner().discount() == 1 && weight > 0 &&
      po_mpc.alpha() < 1) {
    return Error(
        "learner.discount: 1 with po_mpc.actor_weights RELATIVE makes every divergence free; "
        "allowed: a number below 1");
  }
  if (po_mpc.prior_gate() == PoMpc::VALUE &&
      (po_mpc.prior() != PoMpc::LEARNED ||
       config.model().value_form() == proto::ModelConfig::STATE_VALUES)) {
    return Error(
        "po_mpc.prior_gate: VALUE is for po_mpc.prior LEARNED and model.value_form ACTION_VALUES; "
        "allowed: OPEN");
  }
  return CheckWeights(po_mpc);
}

// A value of a state says nothing of an action at it: nothing of the policy could follow it.
absl::Status CheckStateValues(const proto::RunConfig& config) {
  if (config.model().value_form() != proto::ModelConfig::STATE_VALUES) return absl::OkStatus();
  const proto::PoMpcConfig& po_mpc = config.po_mpc();
  if (po_mpc.alpha() < 1) {
    return Error(
        "model.value_form: STATE_VALUES give the policy nothing to follow; allowed with "
        "po_mpc.alpha 1, else ACTION_VALUES");
  }
  if (po_mpc.target_horizon() != proto::PoMpcConfig::ONE_STEP) {
    return Error(
        "po_mpc.target_horizon: WINDOW_END sums stored rewards, which model.value_form "
        "STATE_VALUES does not use; allowed: ONE_STEP");
  }
  return absl::OkStatus();
}

absl::Status CheckReanalyze(const proto::RunConfig& config) {
  const proto::ReanalyzeConfig& reanalyze = config.learner().reanalyze();
  if (!reanalyze.has_log_std_min() || reanalyze.log_std_min() < config.model().log_std_max()) {
    return absl::OkStatus();
  }
  return Error(absl::StrCat("learner.reanalyze.log_std_min: ", reanalyze.log_std_min(),
                            " is not below model.log_std_max ", config.model().log_std_max()));
}

absl::Status CheckLosses(const proto::LearnerConfig& learner) {
  if (learner.consistency_coefficient() > 0 || learner.reward_coefficient() > 0 ||
      learner.value_coefficient() > 0) {
    return absl::OkStatus();
  }
  return Error(
      "learner.consistency_coefficient, learner.reward_coefficient, learner.value_coefficient: all "
      "are 0; the world model would learn nothing");
}

absl::Status CheckReplay(const proto::RunConfig& config) {
  const proto::ReplayConfig& replay = config.replay();
  if (replay.capacity_rows() < replay.min_rows()) {
    return Error(absl::StrCat("replay.capacity_rows: ", replay.capacity_rows(),
                              " is less than replay.min_rows ", replay.min_rows()));
  }
  // Fewer rows than one update takes would hold the rows back before the update that would let them
  // go on.
  const double of_one_update = std::ceil(1 / config.learner().utd());
  if (static_cast<double>(replay.slack_rows()) < of_one_update) {
    return Error(absl::StrCat("replay.slack_rows: ", replay.slack_rows(), " is less than ",
                              of_one_update, ", the rows of one update at learner.utd ",
                              config.learner().utd(),
                              ": updates and rows would wait for each other"));
  }
  if (replay.on_disk() && replay.durability() == proto::ReplayConfig::MEMORY) {
    return Error(
        "replay.on_disk: with replay.durability MEMORY no row is on disk; allowed: SYNC or "
        "BACKGROUND");
  }
  const proto::ActorConfig& actor = config.actor();
  if (actor.max_unacked_rows() < actor.chunk_rows()) {
    return Error(absl::StrCat("actor.max_unacked_rows: ", actor.max_unacked_rows(),
                              " is less than actor.chunk_rows ", actor.chunk_rows()));
  }
  // Rows of a process's environments are interleaved, and the oldest are evicted first: with a
  // smaller table no environment would ever have H rows in it.
  const uint64_t of_one_window_each = RowsOfOneWindowEach(config);
  if (replay.capacity_rows() < of_one_window_each) {
    return Error(absl::StrCat("replay.capacity_rows: ", replay.capacity_rows(), " is less than ",
                              of_one_window_each, ", ", kOneWindowEach,
                              ": rows would be evicted before they make a window"));
  }
  return absl::OkStatus();
}

// Tables in one config at most: each keeps some bytes for each row.
constexpr int kMaxTables = 16;

absl::Status CheckTables(const proto::RunConfig& config) {
  const auto& tables = config.replay().tables();
  if (tables.size() > kMaxTables) {
    return Error(
        absl::StrCat("replay.tables: ", tables.size(), " tables; allowed: 0 to ", kMaxTables));
  }
  std::vector<std::string> names;
  for (int i = 0; i < tables.size(); ++i) {
    const std::string& name = tables[i].name();
    if (name.empty()) return Error(absl::StrCat("replay.tables.", i, ".name is empty"));
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      return Error(absl::StrCat("replay.tables.", i, ".name: \"", name,
                                "\" is the name of an earlier table; names must differ"));
    }
    names.push_back(name);
  }
  if (names.empty()) names.push_back(kDefaultTable);
  const std::string& wanted = config.learner().table();
  if (wanted.empty() || std::find(names.begin(), names.end(), wanted) != names.end()) {
    return absl::OkStatus();
  }
  return Error(absl::StrCat("learner.table: \"", wanted,
                            "\" is not in replay.tables; allowed: ", absl::StrJoin(names, ", ")));
}

// Windows that can be drawn a limited number of times run out if updates draw more. Each row begins
// one window at most, and updates draw batch_size * utd windows for each row.
absl::Status CheckLimitedDraws(const proto::RunConfig& config) {
  const proto::TableConfig table = LearnerTable(config);
  const uint64_t limit = table.max_times_sampled();
  if (limit == 0) return absl::OkStatus();
  const auto error = [&](auto... why) {
    return Error(
        absl::StrCat("max_times_sampled: ", limit, " of table \"", table.name(), "\" ", why...));
  };
  if (config.schedule() != proto::RunConfig::CONCURRENT) {
    return error("does not fit schedule ", proto::RunConfig::Schedule_Name(config.schedule()),
                 ": an update could wait for rows that come only after it; allowed: 0");
  }
  const proto::LearnerConfig& learner = config.learner();
  const double for_a_row = learner.batch_size() * learner.utd();
  if (static_cast<double>(limit) < for_a_row) {
    return error("is less than ", for_a_row,
                 ", learner.batch_size * learner.utd: updates would wait for windows for ever; "
                 "allowed: 0 (no limit), or as many and more");
  }
  return absl::OkStatus();
}

// A run whose last row comes before its first update would train nothing. Each rule names the
// setting that delays the first update.
absl::Status CheckMaxRows(const proto::RunConfig& config) {
  const uint64_t max_rows = config.stop().max_rows();
  if (max_rows == 0 || config.schedule() == proto::RunConfig::OFFLINE) return absl::OkStatus();
  const proto::LearnerConfig& learner = config.learner();
  const auto error = [&](auto... why) {
    return Error(absl::StrCat("stop.max_rows: ", max_rows, " is less than ", why...,
                              "; allowed: 0 (no limit), or as many and more"));
  };
  const uint64_t seed_rows = SeedRows(config);
  if (max_rows < seed_rows) {
    return error("learner.seed_rows ", seed_rows, ": the run would end untrained");
  }
  if (max_rows < config.replay().min_rows()) {
    return error("replay.min_rows ", config.replay().min_rows(), ": the run would end untrained");
  }
  if (max_rows < RowsOfOneWindowEach(config)) {
    return error(RowsOfOneWindowEach(config), ", ", kOneWindowEach,
                 ": there might never be a window");
  }
  const double after_seed = static_cast<double>(max_rows - seed_rows);
  if (PretrainUpdates(config) == 0 && learner.utd() * after_seed < 1) {
    return error("learner.seed_rows ", seed_rows, " + 1 / learner.utd ", learner.utd(),
                 ", and learner.pretrain_updates is 0: the run would end untrained");
  }
  return absl::OkStatus();
}

// A run that learns offline counts no rows: what begins and ends it must be something else.
absl::Status CheckOffline(const proto::RunConfig& config) {
  const proto::StopConfig& stop = config.stop();
  if (config.schedule() != proto::RunConfig::OFFLINE) {
    const uint64_t pretraining = PretrainUpdates(config);
    if (stop.max_updates() == 0 || stop.max_updates() >= pretraining) return absl::OkStatus();
    return Error(absl::StrCat("stop.max_updates: ", stop.max_updates(),
                              " is less than learner.pretrain_updates ", pretraining,
                              "; allowed: 0 (no limit), or as many and more"));
  }
  if (config.replay().import().empty()) {
    return Error("schedule: OFFLINE learns from replay.import, which names no file");
  }
  const bool goal = stop.return_mean() != 0 && config.evaluation().every_updates() > 0;
  if (stop.max_updates() > 0 || stop.max_minutes() > 0 || goal) return absl::OkStatus();
  return Error(
      "schedule: OFFLINE has no rows whose number could end it; set stop.max_updates or "
      "stop.max_minutes");
}

}  // namespace

// Ranges come first: the rules between fields may then rely on them.
absl::Status Validate(const proto::RunConfig& config) {
  POMPC_RETURN_IF_ERROR(CheckValues(config, ""));
  POMPC_RETURN_IF_ERROR(CheckEnv(config.env()));
  POMPC_RETURN_IF_ERROR(CheckModel(config.model()));
  POMPC_RETURN_IF_ERROR(CheckPlanner(config.planner()));
  POMPC_RETURN_IF_ERROR(CheckAroundPlanner(config));
  POMPC_RETURN_IF_ERROR(CheckPoMpc(config));
  POMPC_RETURN_IF_ERROR(CheckStateValues(config));
  POMPC_RETURN_IF_ERROR(CheckReanalyze(config));
  POMPC_RETURN_IF_ERROR(CheckLosses(config.learner()));
  POMPC_RETURN_IF_ERROR(CheckReplay(config));
  POMPC_RETURN_IF_ERROR(CheckTables(config));
  POMPC_RETURN_IF_ERROR(CheckLimitedDraws(config));
  POMPC_RETURN_IF_ERROR(CheckMaxRows(config));
  return CheckOffline(config);
}

}  // namespace pompc::config
