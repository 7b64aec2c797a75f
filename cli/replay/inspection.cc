#include "cli/replay/inspection.h"

#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "cli/replay/listing.h"
#include "cli/replay/snapshot.h"
#include "cli/replay/source.h"
#include "cli/replay/transfer.h"
#include "common/base/check.h"
#include "common/rpc/certificates.h"
#include "common/rpc/integer_flag.h"
#include "replay/client/row_reader.h"

namespace pompc::cli {
namespace {

// The flags of all five commands; each adds those that it has.
struct InspectionFlags {
  std::string where;
  std::string certificates;
  std::string file;
  std::string name;
  bool json = false;
  uint64_t limit = 20;
  uint64_t from = 0;
  std::optional<uint64_t> to;
  std::optional<uint32_t> actor;
  std::optional<uint32_t> environment;
  std::optional<uint64_t> episode;

  replay::RowSelection Selection() const {
    return {.from = from,
            .to = to.value_or(std::numeric_limits<uint64_t>::max()),
            .actor_index = actor,
            .environment = environment,
            .episode = episode};
  }
};
// Shared by the parser, which fills them in, and by the action, which runs when parsing is over.
using Flags = std::shared_ptr<InspectionFlags>;

void AddWhere(CLI::App& command, const Flags& flags) {
  command
      .add_option(
          "where", flags->where,
          "addresses of running shards, HOST:PORT,HOST:PORT,...; else a shard's data folder or a "
          "run directory, which no process may be using")
      ->type_name("WHERE")
      ->required();
  rpc::AddCertificatesFlag(command, &flags->certificates);
}

void AddSelection(CLI::App& command, const Flags& flags) {
  rpc::AddInteger(command, {"--actor", "rows of the actor with this index alone"}, &flags->actor);
  rpc::AddInteger(command, {"--environment", "rows of this environment of an actor alone"},
                  &flags->environment);
  rpc::AddInteger(command, {"--episode", "rows of this episode of an environment alone"},
                  &flags->episode);
  rpc::AddInteger(command, {"--from", "the first address, in each shard"}, &flags->from);
  rpc::AddInteger(command, {"--to", "the address behind the last one"}, &flags->to);
}

void AddJson(CLI::App& command, const Flags& flags) {
  command.add_flag("--json", flags->json, "print one JSON object on each line");
}

// Returns an action that opens the source and calls `use` with it: not before the action runs,
// since a data folder can be opened by one process at a time, and --help must not open it.
template <typename Use>
std::function<absl::Status()> WithSource(const Flags& flags, Use use) {
  return [flags, use] {
    POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<ReplaySource> source,
                           ReplaySource::Open(flags->where, flags->certificates));
    return use(*source, *flags);
  };
}

ReplayAction AddInfo(CLI::App& replay) {
  CLI::App* command = replay.add_subcommand("info", "Shows the state of shards.");
  auto flags = std::make_shared<InspectionFlags>();
  AddWhere(*command, flags);
  AddJson(*command, flags);
  return {command, WithSource(flags, [](const ReplaySource& source, const InspectionFlags& given) {
            PrintShards(source, given.json, std::cout);
            return absl::OkStatus();
          })};
}

ReplayAction AddEpisodes(CLI::App& replay) {
  CLI::App* command = replay.add_subcommand("episodes", "Lists the episodes that shards hold.");
  auto flags = std::make_shared<InspectionFlags>();
  AddWhere(*command, flags);
  AddSelection(*command, flags);
  AddJson(*command, flags);
  return {command, WithSource(flags, [](const ReplaySource& source, const InspectionFlags& given) {
            return PrintEpisodes(source, given.Selection(), given.json, std::cout);
          })};
}

ReplayAction AddRows(CLI::App& replay) {
  CLI::App* command = replay.add_subcommand("rows", "Shows rows that shards hold.");
  auto flags = std::make_shared<InspectionFlags>();
  AddWhere(*command, flags);
  AddSelection(*command, flags);
  rpc::AddInteger(*command, {"--limit", "the most rows to show; 0: all"}, &flags->limit);
  AddJson(*command, flags);
  return {command, WithSource(flags, [](const ReplaySource& source, const InspectionFlags& given) {
            return PrintRows(source, given.Selection(), given.limit, given.json, std::cout);
          })};
}

ReplayAction AddExport(CLI::App& replay) {
  CLI::App* command =
      replay.add_subcommand("export", "Writes rows of shards to a data set, a safetensors file.");
  auto flags = std::make_shared<InspectionFlags>();
  AddWhere(*command, flags);
  AddSelection(*command, flags);
  command->add_option("--out", flags->file, "the file to write")
      ->type_name("FILE.safetensors")
      ->required();
  return {command, WithSource(flags, [](const ReplaySource& source, const InspectionFlags& given) {
            return ExportRows(source, given.Selection(), given.file, std::cout);
          })};
}

ReplayAction AddImport(CLI::App& replay) {
  CLI::App* command = replay.add_subcommand(
      "import", "Brings the rows of a data set into the shards of a run, which may be training.");
  auto flags = std::make_shared<InspectionFlags>();
  command->add_option("file", flags->file, "the data set")
      ->type_name("FILE.safetensors")
      ->required();
  AddWhere(*command, flags);
  return {command, WithSource(flags, [](const ReplaySource& source, const InspectionFlags& given) {
            return ImportRows(source, given.file, std::cout);
          })};
}

void AddName(CLI::App& command, const Flags& flags) {
  command
      .add_option("--name", flags->name, "the snapshot's name: letters, digits, '-', '_' and '.'")
      ->type_name("NAME")
      ->required();
}

ReplayAction AddSnapshot(CLI::App& replay) {
  CLI::App* command = replay.add_subcommand(
      "snapshot",
      "Lets running shards keep a copy of their rows in snapshots/NAME of their data "
      "folders, while they serve.");
  auto flags = std::make_shared<InspectionFlags>();
  command
      ->add_option("where", flags->where,
                   "addresses of the shards, HOST:PORT,HOST:PORT,...; or the directory of a run "
                   "that is going on and serves an address, for all its shards")
      ->type_name("WHERE")
      ->required();
  rpc::AddCertificatesFlag(*command, &flags->certificates);
  AddName(*command, flags);
  return {command, [flags] {
            return SnapshotShards(flags->where, flags->certificates, flags->name, std::cout);
          }};
}

ReplayAction AddRestore(CLI::App& replay) {
  CLI::App* command = replay.add_subcommand(
      "restore", "Makes new data folders of snapshots, and checks that everything can be read.");
  auto flags = std::make_shared<InspectionFlags>();
  command
      ->add_option("from", flags->where,
                   "the data folder that has the snapshot; or a run directory, for all its shards")
      ->type_name("FROM")
      ->required();
  command
      ->add_option("to", flags->file,
                   "the data folder to make; or the run directory to make those of all shards in")
      ->type_name("TO")
      ->required();
  AddName(*command, flags);
  return {command,
          [flags] { return RestoreShards(flags->where, flags->name, flags->file, std::cout); }};
}

}  // namespace

std::vector<ReplayAction> AddInspection(CLI::App& replay) {
  return {AddInfo(replay),   AddEpisodes(replay), AddRows(replay),   AddExport(replay),
          AddImport(replay), AddSnapshot(replay), AddRestore(replay)};
}

}  // namespace pompc::cli
