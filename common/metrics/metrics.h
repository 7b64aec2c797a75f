#ifndef POMPC_COMMON_METRICS_METRICS_H_
#define POMPC_COMMON_METRICS_METRICS_H_

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/mutex.h"
#include "common/base/state_timer.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/metric_family.h"
#include "prometheus/registry.h"

namespace pompc {

using MetricLabels = std::map<std::string, std::string>;

// The name of a metric, pompc_<role>_<what>_<unit>[_total], which has a row in docs/metrics.md.
// Labels have few values; metrics that differ only in labels share name and help.
struct MetricName {
  std::string name;
  std::string help;
  MetricLabels labels;
};

class MetricsRegistry;

// Keeps a function registered with a MetricsRegistry. The destructor removes the function, after a
// call in progress has returned. Movable.
class MetricFunction {
 public:
  MetricFunction() = default;
  MetricFunction(MetricFunction&& other) noexcept { *this = std::move(other); }
  MetricFunction& operator=(MetricFunction&& other) noexcept;
  ~MetricFunction() { Remove(); }

  // Idempotent.
  void Remove();

 private:
  friend class MetricsRegistry;
  struct Table;
  MetricFunction(std::shared_ptr<Table> table, size_t key) : table_(std::move(table)), key_(key) {}

  std::shared_ptr<Table> table_;
  size_t key_ = 0;
};

// The metrics of a process. Thread-safe. Counters, gauges and histograms live as long as the
// registry; the same name and labels always give the same object.
class MetricsRegistry {
 public:
  MetricsRegistry();
  ~MetricsRegistry();
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  prometheus::Counter& Counter(const MetricName& name);
  prometheus::Gauge& Gauge(const MetricName& name);
  // `buckets` are upper bounds. REQUIRES: they ascend.
  prometheus::Histogram& Histogram(const MetricName& name, const std::vector<double>& buckets);

  // Register metrics whose value is computed when they are read. `value` is called from the HTTP
  // server's threads. It must not block for long, and must not use this registry.
  [[nodiscard]] MetricFunction CounterFunction(MetricName name, std::function<double()> value);
  [[nodiscard]] MetricFunction GaugeFunction(MetricName name, std::function<double()> value);

  // Registers one counter of seconds for each state of `timer`, with the label "state". `states`
  // are the names in the order of the enumeration. `timer` must outlive the result.
  template <typename State, size_t N>
  [[nodiscard]] std::vector<MetricFunction> StateSeconds(
      const MetricName& name, const StateTimer<State, N>& timer,
      const std::array<absl::string_view, N>& states) {
    std::vector<MetricFunction> functions;
    for (size_t i = 0; i < N; ++i) {
      MetricName one = name;
      one.labels["state"] = std::string(states[i]);
      functions.push_back(CounterFunction(one, [&timer, i] { return timer.Seconds()[i]; }));
    }
    return functions;
  }

  // Returns all metrics in Prometheus's text format.
  std::string ToText() const;

 private:
  MetricFunction AddFunction(MetricName name, prometheus::MetricType type,
                             std::function<double()> value);

  prometheus::Registry registry_;
  const std::shared_ptr<MetricFunction::Table> functions_;
};

// Adds the metrics that every process has: pompc_build_info{version, role} and Prometheus's usual
// process_* (memory, CPU time, threads, file descriptors, start time).
[[nodiscard]] std::vector<MetricFunction> AddProcessMetrics(MetricsRegistry& registry,
                                                            absl::string_view role);

}  // namespace pompc

#endif  // POMPC_COMMON_METRICS_METRICS_H_
