#include "learner/update/metrics.h"

#include <iterator>

#include "common/base/check.h"

namespace pompc::update {
namespace {

// The words of POMPC_UPDATE_METRICS.
enum class Rows { ALL, PLANNED };

struct Column {
  std::string_view name;
  Metric metric;
  Rows rows;
};

constexpr Column kColumns[] = {
#define POMPC_METRIC(name, rows) {#name, &UpdateMetrics::name, Rows::rows},
    POMPC_UPDATE_METRICS(POMPC_METRIC)
#undef POMPC_METRIC
};

}  // namespace

std::vector<std::pair<std::string_view, double>> UpdateMetrics::Named() const {
  std::vector<std::pair<std::string_view, double>> named;
  for (const Column& column : kColumns) named.emplace_back(column.name, this->*column.metric);
  return named;
}

UpdateMetrics UpdateMetrics::OfParts(const std::vector<UpdateMetrics>& parts) {
  POMPC_CHECK(!parts.empty());
  UpdateMetrics whole;
  double planned = 0;
  for (const UpdateMetrics& part : parts) planned += part.planned_share;
  for (const Column& column : kColumns) {
    // A mean over the rows with plans counts as many times as its part has such rows.
    const bool of_planned = column.rows == Rows::PLANNED;
    double& value = whole.*column.metric;
    for (const UpdateMetrics& part : parts) {
      value += part.*column.metric * (of_planned ? part.planned_share : 1);
    }
    const double weight = of_planned ? planned : static_cast<double>(parts.size());
    value = weight > 0 ? value / weight : 0;
  }
  return whole;
}

void MetricTensors::Set(Metric metric, const at::Tensor& scalar) {
  POMPC_DCHECK_EQ(scalar.dim(), 0);
  for (const auto& [other, tensor] : scalars_) POMPC_DCHECK(other != metric);
  scalars_.emplace_back(metric, scalar.detach());
}

at::Tensor MetricTensors::Pack(const at::TensorOptions& options) const {
  at::NoGradGuard no_grad;
  // One vector, so that the host waits for the device once and not for each number.
  std::vector<at::Tensor> numbers(std::size(kColumns), at::zeros({}, options.dtype(at::kDouble)));
  for (const auto& [metric, scalar] : scalars_) {
    size_t i = 0;
    while (kColumns[i].metric != metric) ++i;
    numbers[i] = scalar.to(at::kDouble);
  }
  return at::stack(numbers);
}

UpdateMetrics Unpack(const at::Tensor& packed) {
  POMPC_CHECK_EQ(packed.numel(), static_cast<int64_t>(std::size(kColumns)));
  const at::Tensor on_host = packed.cpu();
  UpdateMetrics metrics;
  for (size_t i = 0; i < std::size(kColumns); ++i)
    metrics.*kColumns[i].metric = on_host.data_ptr<double>()[i];
  return metrics;
}

}  // namespace pompc::update
