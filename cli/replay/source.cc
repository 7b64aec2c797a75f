#include "cli/replay/source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/endpoint.h"

namespace pompc::cli {
namespace {

// A page of rows, or a million rows on their way into a shard, take far less.
constexpr absl::Duration kTimeout = absl::Seconds(30);

}  // namespace

absl::StatusOr<std::unique_ptr<ReplaySource>> ReplaySource::Open(const std::string& where) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<rpc::Endpoint> endpoints,
                         rpc::ParseEndpoints("the shards", where));
  POMPC_RETURN_IF_ERROR(rpc::SetUpGrpc());
  std::unique_ptr<ReplaySource> source(new ReplaySource);
  for (const rpc::Endpoint& endpoint : endpoints) {
    POMPC_ASSIGN_OR_RETURN(auto reader, replay::RowReader::Connect(endpoint, kTimeout));
    source->shards_.push_back(std::move(reader));
  }
  for (const auto& shard : source->shards_) {
    const std::string& run = shard->description().run_id();
    if (run == source->run().run_id()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("the shards belong to different runs: ", source->run().run_id(), " at ",
                     source->shards_.front()->endpoint().address(), ", ", run, " at ",
                     shard->endpoint().address()));
  }
  return source;
}

}  // namespace pompc::cli
