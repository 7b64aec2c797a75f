#include <iostream>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "cli/commands/command.h"
#include "common/base/check.h"
#include "common/rpc/endpoint.h"
#include "run/run_client.h"

namespace pompc::cli {
namespace {

struct Flags {
  std::string learner, certificates;
};

absl::Status Stop(const Flags& flags) {
  POMPC_ASSIGN_OR_RETURN(const rpc::Trust trust,
                         rpc::LoadTrust(flags.certificates, proto::Access::LEARNER));
  POMPC_ASSIGN_OR_RETURN(const auto endpoints,
                         rpc::ParseEndpoints("--learner", flags.learner, trust));
  POMPC_RETURN_IF_ERROR(rpc::SetUpGrpc());
  // StopRun names the run, so that it cannot end another one that has taken over the address.
  POMPC_ASSIGN_OR_RETURN(const proto::GetRunReply run,
                         run::GetRun(endpoints.front(), absl::Seconds(5)));
  POMPC_ASSIGN_OR_RETURN(const proto::StopRunReply reply,
                         run::StopRun(endpoints.front(), run.run_id(), absl::Seconds(5)));
  std::cout << "run " << run.run_id() << ": " << proto::Phase_Name(reply.phase()) << std::endl;
  return absl::OkStatus();
}

}  // namespace

Command AddStop(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "stop", "Ends a run: its learner writes a last checkpoint, all its processes exit.");
  command->footer(
      "Example:\n"
      "  pompc stop --learner 127.0.0.1:7000");
  auto flags = std::make_shared<Flags>();
  command->add_option("--learner", flags->learner, "the learner's address")
      ->type_name("HOST:PORT")
      ->envname("POMPC_LEARNER")
      ->required();
  rpc::AddCertificatesFlag(*command, &flags->certificates);
  return {command, [flags] { return Stop(*flags); }};
}

}  // namespace pompc::cli
