#include "actor/env/recording.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actor/env/registry.h"
#include "common/base/check.h"
#include "nlohmann/json.hpp"

namespace pompc::env {
namespace {

using Json = nlohmann::ordered_json;

// A recording with more steps than this is refused as a mistake.
constexpr int kMaxSteps = 1'000'000;

absl::Status Wrong(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, " ", what));
}

// The library reports errors by exceptions; they end here.
absl::StatusOr<Json> Parse(absl::string_view text) {
  try {
    Json json = Json::parse(text.begin(), text.end());
    if (!json.is_object()) return Wrong("the text", "is not a JSON object");
    return json;
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

// Returns object[name], which must be a list that is not empty.
absl::StatusOr<const Json*> List(const Json& object, const std::string& name) {
  const auto found = object.find(name);
  if (found == object.end()) return Wrong(name, "is missing");
  if (!found->is_array() || found->empty()) return Wrong(name, "is not a list, or is an empty one");
  return &*found;
}

absl::StatusOr<double> Number(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number())
    return Wrong(name, "is missing or not a number");
  return found->get<double>();
}

// Appends a record's list of numbers to `out`; nothing if the record has no such list.
absl::Status ReadNumbers(const Json& record, const char* name, std::vector<double>* out) {
  const auto found = record.find(name);
  if (found == record.end()) return absl::OkStatus();
  if (!found->is_array()) return Wrong(name, "is not a list of numbers");
  for (const Json& number : *found) {
    if (!number.is_number()) return Wrong(name, "is not a list of numbers");
    out->push_back(number.get<double>());
  }
  return absl::OkStatus();
}

absl::StatusOr<PlacedState> ReadState(const Json& record) {
  if (!record.is_object()) return Wrong("the record", "is not a JSON object");
  for (const char* name : {"qpos", "qvel"}) {
    if (!record.contains(name)) return Wrong(name, "is missing");
  }
  PlacedState state;
  POMPC_RETURN_IF_ERROR(ReadNumbers(record, "qpos", &state.qpos));
  POMPC_RETURN_IF_ERROR(ReadNumbers(record, "qvel", &state.qvel));
  POMPC_RETURN_IF_ERROR(ReadNumbers(record, "act", &state.act));
  POMPC_RETURN_IF_ERROR(ReadNumbers(record, "ctrl", &state.ctrl));
  POMPC_RETURN_IF_ERROR(ReadNumbers(record, "target_pos", &state.target));
  return state;
}

// Puts the simulation into the state of `record`; errors name it as `where`.
absl::Status Place(const Json& record, Actuation actuation, const std::string& where,
                   Simulation* simulation) {
  const absl::StatusOr<PlacedState> state = ReadState(record);
  if (!state.ok()) return Annotate(state.status(), where);
  return Annotate(simulation->Place(*state, actuation), where);
}

Json ToJson(std::span<const double> numbers) {
  return std::vector<double>(numbers.begin(), numbers.end());
}

// Adds the state of the simulation to `record`, with activations and a target if the task has them.
void AddState(Simulation& simulation, Json* record) {
  const mjModel& model = simulation.physics().model();
  const mjData& data = simulation.physics().data();
  (*record)["qpos"] = ToJson({data.qpos, static_cast<size_t>(model.nq)});
  (*record)["qvel"] = ToJson({data.qvel, static_cast<size_t>(model.nv)});
  if (model.na > 0) (*record)["act"] = ToJson({data.act, static_cast<size_t>(model.na)});
  if (!simulation.target().empty()) (*record)["target_pos"] = ToJson(simulation.target());
}

// Returns a JSON list with each element on its own line: such files can be compared line by line.
std::string Lines(const std::vector<Json>& elements) {
  const auto dump = [](std::string* out, const Json& element) { *out += element.dump(); };
  return absl::StrCat("[\n  ", absl::StrJoin(elements, ",\n  ", dump), "\n]");
}

// {"mujoco":222,"tasks":{"TASK":[...]}}
std::string OneTask(absl::string_view task, const std::vector<Json>& elements) {
  return absl::StrCat("{\"mujoco\":", mj_version(), ",\"tasks\":{", Json(std::string(task)).dump(),
                      ":", Lines(elements), "}}\n");
}

// The rule by which recordings act: a_t[i] = sin(omega t + phase_per_dim i), mapped onto the
// actuators' ranges. A rule needs no list of actions in the file, and excites every joint.
class SineRule {
 public:
  static absl::StatusOr<SineRule> Read(const Json& recording) {
    const auto rule = recording.find("action_rule");
    if (rule == recording.end() || !rule->is_object()) return Wrong("action_rule", "is missing");
    if (!rule->contains("kind") || (*rule)["kind"] != "sine") {
      return Wrong("action_rule.kind", "must be \"sine\"");
    }
    SineRule result;
    POMPC_ASSIGN_OR_RETURN(result.omega_, Number(*rule, "omega"));
    POMPC_ASSIGN_OR_RETURN(result.phase_per_dim_, Number(*rule, "phase_per_dim"));
    return result;
  }

  std::vector<double> Action(int t, const EnvironmentSpec& spec) const {
    std::vector<double> action(spec.action_size);
    for (int i = 0; i < spec.action_size; ++i) {
      const double a = std::sin(omega_ * t + phase_per_dim_ * i);
      action[i] = spec.action_low[i] + (a + 1) * (spec.action_high[i] - spec.action_low[i]) / 2;
    }
    return action;
  }

 private:
  double omega_ = 0;
  double phase_per_dim_ = 0;
};

// Returns the steps to record: those of the recording, which must begin with 0 and ascend.
absl::StatusOr<std::vector<int>> StepsOf(const Json& records) {
  std::vector<int> steps;
  for (size_t i = 0; i < records.size(); ++i) {
    const std::string where = absl::StrCat("records[", i, "]");
    if (!records[i].is_object()) return Wrong(where, "is not a JSON object");
    const absl::StatusOr<double> step = Number(records[i], "step");
    if (!step.ok()) return Annotate(step.status(), where);
    const int least = steps.empty() ? 0 : steps.back() + 1;
    const int most = steps.empty() ? 0 : kMaxSteps;
    if (!(*step >= least && *step <= most && *step == std::floor(*step))) {
      return Wrong(where, absl::StrCat("is of step ", *step, "; allowed: ", least, " to ", most));
    }
    steps.push_back(static_cast<int>(*step));
  }
  if (steps.size() == 1) {
    for (int step = 10; step <= 200; step += 10) steps.push_back(step);
  }
  return steps;
}

// The names of these fields are those of the recordings, whoever made them.
Json TraceHead(absl::string_view task, const Json& recording, Simulation& simulation) {
  const mjModel& model = simulation.physics().model();
  const EnvironmentSpec& spec = simulation.spec();
  return {{"task", std::string(task)},
          {"mujoco_version", mj_version()},
          {"physics_timestep", model.opt.timestep},
          {"n_sub_steps", std::lround(spec.step_seconds / model.opt.timestep)},
          {"nq", model.nq},
          {"nv", model.nv},
          {"nu", model.nu},
          {"na", model.na},
          {"obs_dim", spec.observation_size},
          {"action_rule", recording["action_rule"]}};
}

Json TraceRecord(int step, double total, Simulation& simulation) {
  Json record = {{"step", step}, {"time", simulation.physics().data().time}};
  AddState(simulation, &record);
  record["obs"] = ToJson(simulation.observation());
  record["reward"] = simulation.reward();
  record["return"] = total;
  record["ncon"] = simulation.physics().data().ncon;
  return record;
}

// Steps the simulation, which stands at step 0, and records it after each of `steps`.
// REQUIRES: `steps` is not empty and ascends.
absl::StatusOr<std::vector<Json>> Trace(const SineRule& rule, const std::vector<int>& steps,
                                        Simulation* simulation) {
  POMPC_CHECK(!steps.empty() && std::is_sorted(steps.begin(), steps.end()));
  std::vector<Json> records;
  double total = 0;
  int t = 0;
  for (const int step : steps) {
    for (; t < step; ++t) {
      POMPC_ASSIGN_OR_RETURN(const StepResult result,
                             simulation->Step(rule.Action(t, simulation->spec())));
      if (result.unstable) {
        return Annotate(simulation->fault(), absl::StrCat("step ", t + 1));
      }
      if (result.terminated && t + 1 < steps.back()) {
        return absl::FailedPreconditionError(
            absl::StrCat("the episode ends in step ", t + 1, " of ", steps.back()));
      }
      total += result.reward;
    }
    records.push_back(TraceRecord(step, total, *simulation));
  }
  return records;
}

}  // namespace

// The first state is computed without actuation, as every start of an episode is. The seed does not
// matter: the trajectory begins at the recorded state.
absl::StatusOr<std::string> TraceLike(absl::string_view task, absl::string_view recording,
                                      const std::string& assets) {
  POMPC_ASSIGN_OR_RETURN(const auto simulation, MakeSimulation(task, 0, assets));
  POMPC_ASSIGN_OR_RETURN(const Json given, Parse(recording));
  POMPC_ASSIGN_OR_RETURN(const SineRule rule, SineRule::Read(given));
  POMPC_ASSIGN_OR_RETURN(const Json* records, List(given, "records"));
  POMPC_ASSIGN_OR_RETURN(const std::vector<int> steps, StepsOf(*records));
  POMPC_RETURN_IF_ERROR(Place((*records)[0], Actuation::kDisabled, "records[0]", simulation.get()));
  const Json head = TraceHead(task, given, *simulation);
  POMPC_ASSIGN_OR_RETURN(const std::vector<Json> trace, Trace(rule, steps, simulation.get()));
  // The records go inside the head's braces, as its last member.
  const std::string start = head.dump();
  return absl::StrCat(absl::string_view(start).substr(0, start.size() - 1),
                      ",\n\"records\":", Lines(trace), "}\n");
}

// Placed states have a control of their own, which counts: rewards depend on it.
absl::StatusOr<std::string> ProbeLike(absl::string_view task, absl::string_view recording,
                                      const std::string& assets) {
  POMPC_ASSIGN_OR_RETURN(const auto simulation, MakeSimulation(task, 0, assets));
  POMPC_ASSIGN_OR_RETURN(const Json given, Parse(recording));
  const auto tasks = given.find("tasks");
  if (tasks == given.end() || !tasks->is_object()) return Wrong("tasks", "is missing");
  POMPC_ASSIGN_OR_RETURN(const Json* states, List(*tasks, std::string(task)));
  std::vector<Json> probes;
  for (size_t i = 0; i < states->size(); ++i) {
    POMPC_RETURN_IF_ERROR(Place((*states)[i], Actuation::kEnabled,
                                absl::StrCat("tasks.", task, "[", i, "]"), simulation.get()));
    Json probe;
    AddState(*simulation, &probe);
    const mjModel& model = simulation->physics().model();
    probe["ctrl"] = ToJson({simulation->physics().data().ctrl, static_cast<size_t>(model.nu)});
    probe["obs"] = ToJson(simulation->observation());
    probe["reward"] = simulation->reward();
    probes.push_back(std::move(probe));
  }
  return OneTask(task, probes);
}

absl::StatusOr<std::string> SeededStarts(absl::string_view task, std::span<const uint32_t> seeds,
                                         int episodes, const std::string& assets) {
  if (episodes < 1) return Wrong("episodes", absl::StrCat("is ", episodes, "; allowed: 1 or more"));
  std::vector<Json> starts;
  for (const uint32_t seed : seeds) {
    POMPC_ASSIGN_OR_RETURN(const auto simulation, MakeSimulation(task, seed, assets));
    for (int episode = 0; episode < episodes; ++episode) {
      POMPC_RETURN_IF_ERROR(
          Annotate(simulation->Reset(), absl::StrCat("seed ", seed, ", episode ", episode)));
      Json start = {{"seed", seed}, {"episode", episode}};
      AddState(*simulation, &start);
      start["obs"] = ToJson(simulation->observation());
      starts.push_back(std::move(start));
    }
  }
  return OneTask(task, starts);
}

}  // namespace pompc::env
