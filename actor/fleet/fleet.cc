#include "actor/fleet/fleet.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actor/fleet/choice.h"
#include "common/base/check.h"
#include "common/base/random_id.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "grpcpp/channel.h"
#include "proto/planner.grpc.pb.h"

namespace pompc::actor {
namespace {

// The deadline of the question to a planner, and how many are asked until one answers.
constexpr absl::Duration kAskTimeout = absl::Seconds(2);
constexpr size_t kMostAsked = 3;

}  // namespace

absl::Status FleetOptions::Validate() const {
  if (actor.evaluate) {
    return absl::InvalidArgumentError(
        "--fleet and --evaluate: allowed is one of them; runs that take actors of a fleet have "
        "evaluators of their own");
  }
  if (!actor.learner.empty() || !actor.replay.empty()) {
    return absl::InvalidArgumentError(
        "--learner, --replay: not allowed with --fleet, which finds runs at its --planners");
  }
  if (actor.environments == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--environments: 0; allowed with --fleet: 1 to ", kMaxEnvironments,
                     ", as it is an actor of the same size in all runs"));
  }
  return actor.ValidateBeyondRun();
}

absl::StatusOr<std::unique_ptr<Fleet>> Fleet::Start(FleetOptions options) {
  POMPC_RETURN_IF_ERROR(options.Validate());
  std::unique_ptr<Fleet> fleet(new Fleet(std::move(options)));
  fleet->thread_ = Thread("fleet", [fleet = fleet.get()] { fleet->Work(); });
  return fleet;
}

Fleet::Fleet(FleetOptions options)
    : options_(std::move(options)),
      planners_(options_.actor.planners, {.service = "planner",
                                          .interval = options_.actor.lookup_interval,
                                          .clock = options_.actor.clock}),
      random_(RandomId()) {
  watcher_ = planners_.Watch([this](const std::vector<rpc::Endpoint>& endpoints) {
    MutexLock lock(&mu_);
    endpoints_ = endpoints;
  });
}

Fleet::~Fleet() { Stop(); }

void Fleet::Work() {
  while (!stop_.IsSet()) {
    Decide();
    Pause();
  }
  Leave();
  done_.Set();
}

absl::StatusOr<std::map<std::string, proto::PlannerRunInfo>> Fleet::AskPlanners() {
  std::vector<rpc::Endpoint> endpoints;
  {
    MutexLock lock(&mu_);
    endpoints = endpoints_;
  }
  // Every planner knows all runs that are named to all of them, so that one has to be asked;
  // another one each time, in case some runs have planners of their own.
  std::shuffle(endpoints.begin(), endpoints.end(), random_);
  absl::Status status = absl::UnavailableError(absl::StrCat("no planner: ", planners_.problem()));
  for (size_t i = 0; i < std::min(endpoints.size(), kMostAsked) && !stop_.IsSet(); ++i) {
    proto::PlannerInfoRequest request;
    *request.mutable_header() = rpc::MakeHeader("");
    const auto stub = proto::PlannerService::NewStub(endpoints[i].Channel());
    const auto info =
        rpc::CallUnary(*stub, &proto::PlannerService::Stub::Info, request, kAskTimeout);
    if (!info.ok()) {
      status = Annotate(info.status(), absl::StrCat("planner ", endpoints[i].address()));
      continue;
    }
    std::map<std::string, proto::PlannerRunInfo> runs;
    for (const proto::PlannerRunInfo& run : info->runs()) {
      // A planner of another version may say anything.
      const bool wants = run.has_demand() && run.demand().wanted_environments() > 0;
      if (!run.run_id().empty() && wants) runs.emplace(run.run_id(), run);
    }
    return runs;
  }
  return status;
}

void Fleet::Decide() {
  std::string current;
  {
    MutexLock lock(&mu_);
    current = run_id_;
  }
  const absl::Duration now = options_.actor.clock->Now();
  std::erase_if(avoid_until_, [now](const auto& entry) { return entry.second <= now; });
  auto named = AskPlanners();
  if (!named.ok()) {
    // The present run may have planners that still answer: it is served as before.
    MutexLock lock(&mu_);
    if (app_ == nullptr && problem_ != named.status()) {
      Log().warn("serves no run: {}", named.status().ToString());
      problem_ = named.status();
    }
    return;
  }
  std::vector<FleetRun> runs;
  for (const auto& [run_id, run] : *named) {
    if (avoid_until_.contains(run_id)) continue;
    runs.push_back({run_id, static_cast<double>(run.demand().environments()),
                    run.demand().wanted_environments()});
  }
  // A run that is over says so itself. One that is not named any more has lost its process, or its
  // planner has just begun to know runs.
  if (current.empty() || named->contains(current)) named_at_ = now;
  if (now - named_at_ > options_.unknown_for) current.clear();
  if (named->contains(current) && HasMoved(named->at(current))) current.clear();
  const bool unknown = !current.empty() && !named->contains(current);
  const std::optional<size_t> chosen =
      unknown ? std::nullopt : ChooseRun(runs, current, options_.actor.environments, random_);
  if (!chosen.has_value() || runs[*chosen].run_id == current) {
    MutexLock lock(&mu_);
    if (app_ == nullptr) problem_ = absl::OkStatus();
    return;
  }
  Leave();
  if (!stop_.IsSet()) Join(named->at(runs[*chosen].run_id));
}

bool Fleet::HasMoved(const proto::PlannerRunInfo& run) const {
  return run.learner() != joined_as_.learner() ||
         !std::equal(run.demand().replay().begin(), run.demand().replay().end(),
                     joined_as_.demand().replay().begin(), joined_as_.demand().replay().end());
}

void Fleet::Leave() {
  std::shared_ptr<App> app;
  {
    MutexLock lock(&mu_);
    app = app_;
  }
  if (app == nullptr) return;
  // It stays visible while it ends, so that Stop can wait for it and people see its rows.
  app->Stop();
  MutexLock lock(&mu_);
  app_ = nullptr;
  run_id_.clear();
}

absl::StatusOr<std::unique_ptr<App>> Fleet::StartApp(const proto::PlannerRunInfo& run) const {
  AppOptions actor = options_.actor;
  POMPC_RETURN_IF_ERROR(actor.SetAddresses(run.learner(), /*planner_addresses=*/"",
                                           absl::StrJoin(run.demand().replay(), ","),
                                           options_.certificates));
  return App::Start(std::move(actor));
}

void Fleet::Join(const proto::PlannerRunInfo& run) {
  joined_as_ = run;
  absl::StatusOr<std::unique_ptr<App>> app = StartApp(run);
  MutexLock lock(&mu_);
  if (!app.ok()) {
    problem_ = Annotate(app.status(), absl::StrCat("run ", run.run_id()));
    Log().error("{}", problem_.ToString());
    avoid_until_[run.run_id()] = options_.actor.clock->Now() + options_.avoid_ended;
    return;
  }
  Log().info("serves run {} of the learner at {}, which has {} environments and wants {:.1f}",
             run.run_id(), run.learner(), run.demand().environments(),
             run.demand().wanted_environments());
  run_id_ = run.run_id();
  app_ = *std::move(app);
  ++joined_;
  problem_ = absl::OkStatus();
}

void Fleet::Pause() {
  std::shared_ptr<App> app;
  std::string run_id;
  {
    MutexLock lock(&mu_);
    app = app_;
    run_id = run_id_;
  }
  // Stop did not see the work that has begun since.
  if (stop_.IsSet()) return;
  Clock* const clock = options_.actor.clock;
  const absl::Duration until =
      clock->Now() + (app == nullptr ? options_.look_every : options_.decide_every) *
                         std::uniform_real_distribution<double>(0.75, 1.25)(random_);
  if (app == nullptr) {
    stop_.WaitUntil(clock, until);
    return;
  }
  const std::optional<absl::Status> ended = app->WaitUntil(until);
  if (!ended.has_value() || stop_.IsSet()) return;
  avoid_until_[run_id] = clock->Now() + options_.avoid_ended;
  Leave();
  if (ended->ok()) return;
  // Such as a task that this program does not know. Other runs can be served.
  Log().error("run {} is left: {}", run_id, ended->ToString());
  MutexLock lock(&mu_);
  problem_ = Annotate(*ended, absl::StrCat("run ", run_id));
}

void Fleet::Stop() {
  stop_.Set();
  std::shared_ptr<App> app;
  {
    MutexLock lock(&mu_);
    app = app_;
  }
  if (app != nullptr) app->Stop();
  done_.Wait();
}

absl::Status Fleet::Wait() {
  done_.Wait();
  return absl::OkStatus();
}

absl::Status Fleet::Health() const {
  std::shared_ptr<App> app;
  {
    MutexLock lock(&mu_);
    if (app_ == nullptr) return problem_;
    app = app_;
  }
  return app->Health();
}

std::string Fleet::StatusText() const {
  std::shared_ptr<App> app;
  std::string text;
  {
    MutexLock lock(&mu_);
    app = app_;
    text = absl::StrCat("run: ",
                        !run_id_.empty() ? run_id_
                        : problem_.ok()  ? "none wants actors"
                                         : std::string(problem_.message()),
                        "\njoined runs: ", joined_, "\n");
  }
  return app == nullptr ? text : text + app->StatusText();
}

}  // namespace pompc::actor
