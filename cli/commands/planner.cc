#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands/command.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/integer_flag.h"
#include "common/values/text_table.h"
#include "grpcpp/channel.h"
#include "proto/planner.grpc.pb.h"
#include "run/run_client.h"

namespace pompc::cli {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(5);
using PlannerStub = proto::PlannerService::Stub;

struct PlannerFlags {
  std::string planners;
  std::string learner;
  std::string run_id;
  std::string certificates;
  int renew_seconds = 0;
  bool fleet = false;
};

// Calls `ask` with a stub of each planner, all of them even if one fails. The first error, with the
// planner's address.
template <typename Ask>
absl::Status AskEach(const PlannerFlags& flags, Ask ask) {
  POMPC_ASSIGN_OR_RETURN(const rpc::Trust trust,
                         rpc::LoadTrust(flags.certificates, proto::Access::PLANNER));
  POMPC_ASSIGN_OR_RETURN(const auto endpoints,
                         rpc::ParseEndpoints("--planners", flags.planners, trust));
  POMPC_RETURN_IF_ERROR(rpc::SetUpGrpc());
  absl::Status status;
  for (const rpc::Endpoint& endpoint : endpoints) {
    const auto stub = proto::PlannerService::NewStub(endpoint.Channel());
    status.Update(
        Annotate(ask(endpoint.address(), *stub), absl::StrCat("planner ", endpoint.address())));
  }
  return status;
}

// What the run wants of the actors of a fleet: "3 of 4.5"; "-" if it takes none.
std::string DemandText(const proto::PlannerRunInfo& run) {
  if (!run.has_demand()) return "-";
  return absl::StrFormat("%d of %.1f", run.demand().environments(),
                         run.demand().wanted_environments());
}

absl::Status ListRuns(const PlannerFlags& flags) {
  TextTable rows = {
      {"planner", "run", "learner", "connected", "version", "plans", "waiting", "environments"}};
  const absl::Status status =
      AskEach(flags, [&](const std::string& address, PlannerStub& stub) -> absl::Status {
        proto::PlannerInfoRequest request;
        *request.mutable_header() = rpc::MakeHeader("");
        POMPC_ASSIGN_OR_RETURN(const proto::PlannerInfoReply info,
                               rpc::CallUnary(stub, &PlannerStub::Info, request, kTimeout));
        for (const proto::PlannerRunInfo& run : info.runs()) {
          rows.push_back({address, run.run_id().empty() ? "?" : run.run_id(), run.learner(),
                          run.connected() ? "yes" : "no", FromProto(run.version()).ToString(),
                          absl::StrCat(run.plans()), absl::StrCat(run.queued()), DemandText(run)});
        }
        return absl::OkStatus();
      });
  std::cout << FormatTable(rows) << std::flush;
  return status;
}

// What the run of a learner wants of the actors of a fleet, which must reach its shards where the
// learner does.
absl::StatusOr<proto::ActorDemand> AskDemand(const rpc::Endpoint& learner) {
  POMPC_ASSIGN_OR_RETURN(const proto::GetRunReply run, run::GetRun(learner, kTimeout));
  proto::ActorDemand demand;
  for (const proto::ShardStatus& shard : run.status().shards()) {
    demand.add_replay(shard.address());
  }
  demand.set_environments(run.status().environments());
  demand.set_wanted_environments(run.status().wanted_environments());
  return demand;
}

absl::Status Follow(const PlannerFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const rpc::Trust trust,
                         rpc::LoadTrust(flags.certificates, proto::Access::LEARNER));
  POMPC_ASSIGN_OR_RETURN(const auto learners,
                         rpc::ParseEndpoints("--learner", flags.learner, trust));
  if (learners.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--learner: ", flags.learner, "; allowed is one address"));
  }
  if (flags.fleet && flags.renew_seconds == 0) {
    return absl::InvalidArgumentError(
        "--fleet: what the run wants counts for half a minute; --renew-seconds is missing (10 is "
        "good)");
  }
  proto::FollowRequest request;
  *request.mutable_header() = rpc::MakeHeader(flags.run_id);
  request.set_learner(flags.learner);
  // What was last said of each planner.
  std::map<std::string, std::string> said;
  const auto ask = [&](const std::string& address, PlannerStub& stub) {
    const absl::Status status =
        rpc::CallUnary(stub, &PlannerStub::Follow, request, kTimeout).status();
    // It may not have reached the learner yet, which only `runs` shows.
    const std::string what =
        status.ok() ? absl::StrCat("follows the learner at ", flags.learner) : status.ToString();
    // Without renewal the caller hears of errors.
    const bool tell = status.ok() || flags.renew_seconds > 0;
    if (std::exchange(said[address], what) != what && tell)
      std::cout << "planner " << address << " " << what << std::endl;
    return status;
  };
  while (true) {
    if (flags.fleet) {
      // A learner that does not answer is named all the same, and takes no further actors.
      const absl::StatusOr<proto::ActorDemand> demand = AskDemand(learners.front());
      request.clear_demand();
      if (demand.ok()) *request.mutable_demand() = *demand;
    }
    const absl::Status status = AskEach(flags, ask);
    if (flags.renew_seconds == 0) return status;
    Event().WaitUntil(Clock::Real(), Clock::Real()->Now() + absl::Seconds(flags.renew_seconds));
  }
}

absl::Status Unfollow(const PlannerFlags& flags) {
  proto::UnfollowRequest request;
  *request.mutable_header() = rpc::MakeHeader(flags.run_id);
  return AskEach(flags, [&](const std::string& address, PlannerStub& stub) {
    return rpc::CallUnary(stub, &PlannerStub::Unfollow, request, kTimeout).status();
  });
}

void AddPlanners(CLI::App* command, PlannerFlags* flags) {
  command->add_option("--planners", flags->planners, "addresses of planners, separated by commas")
      ->type_name("HOST:PORT,...")
      ->envname("POMPC_PLANNERS")
      ->required();
  rpc::AddCertificatesFlag(*command, &flags->certificates);
}

}  // namespace

Command AddPlanner(CLI::App& pompc) {
  CLI::App* command =
      pompc.add_subcommand("planner", "Shows and changes which runs planners serve.");
  command->footer(
      "Examples:\n"
      "  pompc planner runs --planners 10.0.0.7:50052\n"
      "  pompc planner follow --planners 10.0.0.7:50052,10.0.0.8:50052 --learner 10.0.0.2:7000\n"
      "  pompc planner follow --planners 10.0.0.7:50052 --learner 10.0.0.2:7000 --renew-seconds "
      "10 --fleet\n"
      "  pompc planner unfollow --planners 10.0.0.7:50052 --run-id 20261130-120600-2ed8cee9");
  command->require_subcommand(1);
  auto flags = std::make_shared<PlannerFlags>();

  CLI::App* runs = command->add_subcommand("runs", "lists the runs that planners serve");
  AddPlanners(runs, flags.get());

  CLI::App* follow = command->add_subcommand(
      "follow", "names a learner whose run planners are to serve, too (needs --accept-runs there)");
  AddPlanners(follow, flags.get());
  follow->add_option("--learner", flags->learner, "the learner's address as the planners reach it")
      ->type_name("HOST:PORT")
      ->envname("POMPC_LEARNER")
      ->required();
  follow->add_option("--run-id", flags->run_id, "the run expected there; without it any");
  rpc::AddInteger(*follow,
                  {.name = "--renew-seconds",
                   .help = "goes on, and names it again after so many seconds each time, for "
                           "planners that restart; 0: names it once",
                   .max = 3600},
                  &flags->renew_seconds);
  follow->add_flag("--fleet", flags->fleet,
                   "with --renew-seconds: also tells what the run wants of actors of a fleet "
                   "(pompc-actor --fleet), which then serve it, too");

  CLI::App* unfollow =
      command->add_subcommand("unfollow", "lets planners drop a run that follow has named");
  AddPlanners(unfollow, flags.get());
  unfollow->add_option("--run-id", flags->run_id, "the run to drop")->required();
  return {command, [=] {
            if (runs->parsed()) return ListRuns(*flags);
            return follow->parsed() ? Follow(*flags) : Unfollow(*flags);
          }};
}

}  // namespace pompc::cli
