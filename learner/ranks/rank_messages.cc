#include "learner/ranks/rank_messages.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace pompc::learner {
namespace {

constexpr std::pair<RankOrder::Kind, proto::RankOrder::Kind> kOrders[] = {
    {RankOrder::Kind::kConnect, proto::RankOrder::CONNECT},
    {RankOrder::Kind::kDraw, proto::RankOrder::DRAW},
    {RankOrder::Kind::kReanalyze, proto::RankOrder::REANALYZE},
    {RankOrder::Kind::kStep, proto::RankOrder::STEP},
    {RankOrder::Kind::kKeep, proto::RankOrder::KEEP},
    {RankOrder::Kind::kGoBack, proto::RankOrder::GO_BACK},
};

}  // namespace

proto::RankOrder ToProto(const RankOrder& order) {
  proto::RankOrder message;
  for (const auto& [kind, number] : kOrders) {
    if (kind == order.kind) message.set_kind(number);
  }
  message.set_want_values(order.want_values);
  message.mutable_windows()->Add(order.windows.begin(), order.windows.end());
  return message;
}

absl::StatusOr<RankOrder> FromProto(const proto::RankOrder& message) {
  const auto known = std::find_if(std::begin(kOrders), std::end(kOrders), [&](const auto& order) {
    return order.second == message.kind();
  });
  if (known == std::end(kOrders)) {
    return absl::UnimplementedError(
        absl::StrCat("rank 0 gives an order, ", message.kind(), ", that is not known here"));
  }
  return RankOrder{
      known->first, message.want_values(), {message.windows().begin(), message.windows().end()}};
}

}  // namespace pompc::learner
