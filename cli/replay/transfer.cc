#include "cli/replay/transfer.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/text_table.h"
#include "replay/client/data_set_import.h"
#include "replay/client/shard_client.h"
#include "replay/dataset/data_set.h"
#include "replay/dataset/data_set_writer.h"
#include "replay/dataset/layout.h"

namespace pompc::cli {
namespace {

// A megabyte of rows on its way into a shard, and onto its disk.
constexpr absl::Duration kImportTimeout = absl::Seconds(60);

// An exported run that is not one of pompc's own tasks has sizes, but perhaps no name.
TensorMetadata MetadataOf(const proto::ShardDescription& run) {
  TensorMetadata metadata = {{replay::dataset::kFormatKey, replay::dataset::kFormat}};
  if (!run.task().empty()) metadata[replay::dataset::kTaskKey] = run.task();
  if (run.action_repeat() > 0) {
    metadata[replay::dataset::kActionRepeatKey] = absl::StrCat(run.action_repeat());
  }
  return metadata;
}

// A shard takes the episodes of a data set whose number falls to its index (DataSetImport), so an
// import into some of the shards would leave a part of the data set out without a word.
absl::Status CheckAllShards(const ReplaySource& source) {
  const uint32_t shards = source.run().shard_count();
  std::vector<bool> given(shards, false);
  for (const auto& shard : source.shards()) {
    const uint32_t index = shard.reader->description().info().shard_index();
    if (index < shards) given[index] = true;
  }
  for (uint32_t i = 0; i < shards; ++i) {
    if (given[i]) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("the run has ", shards, " shards, and shard ", i,
                     " is not among those given: a data set is divided over all of them"));
  }
  return absl::OkStatus();
}

// Enough to send rows. What only a client that configures or grants needs is left out: the learner
// of the run has done both.
replay::ShardClientOptions ClientOptions(const replay::RowReader& shard) {
  const proto::ShardDescription& description = shard.description();
  replay::ShardClientOptions options;
  options.run_id = description.run_id();
  options.shard_index = description.info().shard_index();
  options.shard_count = description.shard_count();
  options.spec = description.spec();
  options.horizon = description.horizon();
  options.timeout = kImportTimeout;
  return options;
}

}  // namespace

absl::Status ExportRows(const ReplaySource& source, const replay::RowSelection& selection,
                        const std::string& file, std::ostream& out) {
  POMPC_ASSIGN_OR_RETURN(
      const std::unique_ptr<replay::DataSetWriter> writer,
      replay::DataSetWriter::Create(file, source.spec(), MetadataOf(source.run())));
  // Shard by shard, in the order of addresses. The writer brings the rows of each segment together
  // again, since those of several segments alternate in a shard.
  std::vector<uint64_t> addresses;
  for (const auto& shard : source.shards()) {
    const uint32_t index = shard.reader->description().info().shard_index();
    POMPC_RETURN_IF_ERROR(
        shard.reader->Read(selection, [&](const replay::RowRun& run) -> absl::StatusOr<bool> {
          addresses.clear();
          for (uint32_t i = 0; i < run.rows.count; ++i) addresses.push_back(run.address + i);
          POMPC_RETURN_IF_ERROR(
              writer->Append({index, run.segment}, run.first_row, addresses, run.rows));
          return true;
        }));
  }
  POMPC_RETURN_IF_ERROR(writer->Finish());
  out << file << ": " << FormatCount(writer->rows()) << " rows of "
      << FormatCount(writer->episodes()) << " episodes";
  const size_t shards = source.run().shard_count();
  if (source.shards().size() < shards) {
    out << ", from " << source.shards().size() << " of the run's " << shards << " shards";
  }
  out << std::endl;
  return absl::OkStatus();
}

absl::Status ImportRows(const ReplaySource& source, const std::string& file, std::ostream& out) {
  POMPC_RETURN_IF_ERROR(CheckAllShards(source));
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<const replay::DataSet> data, replay::DataSet::Open(file));
  const proto::ShardDescription& run = source.run();
  POMPC_RETURN_IF_ERROR(replay::CheckFits(*data, source.spec(), run.task(), run.action_repeat()));
  replay::RowLimits limits = {.terminates = run.spec().terminates()};
  if (run.max_plan_std() > 0) limits.plan_std = {run.min_plan_std(), run.max_plan_std()};
  // The whole file is checked before the first row is sent: a shard cannot give rows back.
  POMPC_ASSIGN_OR_RETURN(const uint32_t id, data->Check(limits));
  const std::shared_ptr<const replay::DataSet> shared = std::move(data);
  for (const auto& shard : source.shards()) {
    const proto::ShardDescription& description = shard.reader->description();
    replay::ShardClient client(ClientOptions(*shard.reader), shard.reader->endpoint().Channel());
    replay::DataSetImport import({shared, id}, description.info().shard_index(),
                                 description.shard_count());
    // The first step may tell of rows that an earlier, interrupted import has brought; they are not
    // sent again.
    std::optional<uint64_t> had;
    while (!import.done()) {
      POMPC_RETURN_IF_ERROR(Annotate(import.Step(&client), shard.place));
      if (!had.has_value()) had = import.rows_done();
    }
    out << "shard " << description.info().shard_index() << ": "
        << FormatCount(import.rows() - had.value_or(0)) << " rows imported";
    if (had.value_or(0) > 0) out << ", " << FormatCount(*had) << " were there already";
    out << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace pompc::cli
