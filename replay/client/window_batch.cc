#include "replay/client/window_batch.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/values/float_bytes.h"

namespace pompc::replay {
namespace {

absl::Status CheckColumn(const char* name, const std::string& bytes, uint64_t want) {
  if (bytes.size() == want) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("windows from replay: column ", name, " has ",
                                          bytes.size(), " bytes, expected ", want));
}

}  // namespace

absl::StatusOr<WindowBatch> WindowBatch::FromReply(proto::SampleReply reply, const RowSpec& spec,
                                                   uint32_t count, uint32_t horizon) {
  const proto::Windows& w = reply.windows();
  if (w.count() != count || w.horizon() != horizon) {
    return absl::DataLossError(absl::StrCat("windows from replay: ", w.count(), " of horizon ",
                                            w.horizon(), ", expected ", count, " of horizon ",
                                            horizon));
  }
  const uint64_t o = spec.observation_size, a = spec.action_size;
  const uint64_t steps = uint64_t{w.count()} * horizon, states = steps + w.count();
  POMPC_RETURN_IF_ERROR(CheckColumn("observations", w.observations(), states * o * 4));
  POMPC_RETURN_IF_ERROR(CheckColumn("actions", w.actions(), steps * a * 4));
  POMPC_RETURN_IF_ERROR(CheckColumn("rewards", w.rewards(), steps * 4));
  POMPC_RETURN_IF_ERROR(CheckColumn("terminated", w.terminated(), steps));
  POMPC_RETURN_IF_ERROR(CheckColumn("plan_mean", w.plan_mean(), states * a * 4));
  POMPC_RETURN_IF_ERROR(CheckColumn("plan_std", w.plan_std(), states * a * 4));
  POMPC_RETURN_IF_ERROR(CheckColumn("has_plan", w.has_plan(), states));
  POMPC_RETURN_IF_ERROR(CheckColumn("addresses", w.addresses(), states * 8));
  POMPC_RETURN_IF_ERROR(CheckColumn("versions", w.versions(), uint64_t{count} * 16));
  POMPC_RETURN_IF_ERROR(CheckColumn("draws", w.draws(), uint64_t{count} * 8));
  return WindowBatch(std::move(reply));
}

std::span<const float> WindowBatch::observations() const {
  return NumbersIn<float>(reply_.windows().observations());
}
std::span<const float> WindowBatch::actions() const {
  return NumbersIn<float>(reply_.windows().actions());
}
std::span<const float> WindowBatch::rewards() const {
  return NumbersIn<float>(reply_.windows().rewards());
}
std::span<const uint8_t> WindowBatch::terminated() const {
  return NumbersIn<uint8_t>(reply_.windows().terminated());
}
std::span<const float> WindowBatch::plan_mean() const {
  return NumbersIn<float>(reply_.windows().plan_mean());
}
std::span<const float> WindowBatch::plan_std() const {
  return NumbersIn<float>(reply_.windows().plan_std());
}
std::span<const uint8_t> WindowBatch::has_plan() const {
  return NumbersIn<uint8_t>(reply_.windows().has_plan());
}
std::span<const uint64_t> WindowBatch::addresses() const {
  return NumbersIn<uint64_t>(reply_.windows().addresses());
}
std::span<const uint64_t> WindowBatch::versions() const {
  return NumbersIn<uint64_t>(reply_.windows().versions());
}
std::span<const uint64_t> WindowBatch::draws() const {
  return NumbersIn<uint64_t>(reply_.windows().draws());
}

}  // namespace pompc::replay
