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
#include "common/base/state_timer.h"
#include "common/base/threads.h"
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

// The samples of one scrape. A source writes each of its own into it, by the name and the help text
// of its row in docs/metrics.md.
class MetricSamples {
 public:
  // What this source writes from here on, in this scrape, belongs to the run with this id: it gets
  // label "run". An empty id is no run, and no label. A source asks each time for the run that it
  // serves now, so that its metrics follow when that changes.
  void SetRun(std::string run_id) { run_ = std::move(run_id); }

  template <typename Number>
  void Counter(const char* name, const char* help, Number value, MetricLabels labels = {}) {
    Add(name, help, prometheus::MetricType::Counter, static_cast<double>(value), labels);
  }
  template <typename Number>
  void Gauge(const char* name, const char* help, Number value, MetricLabels labels = {}) {
    Add(name, help, prometheus::MetricType::Gauge, static_cast<double>(value), labels);
  }
  // What `histogram` has counted.
  void Histogram(const char* name, const char* help, const prometheus::Histogram& histogram,
                 const MetricLabels& labels = {});
  // One counter of seconds for each state of `timer`, a StateTimer or its like, under label
  // "state"; `states` are the names in the order of the enumeration.
  template <typename Timer>
  void StateSeconds(const char* name, const char* help, const Timer& timer,
                    const std::array<absl::string_view, Timer::kStates>& states,
                    MetricLabels labels = {}) {
    const auto seconds = timer.Seconds();
    for (size_t i = 0; i < Timer::kStates; ++i) {
      labels["state"] = std::string(states[i]);
      Counter(name, help, seconds[i], labels);
    }
  }

 private:
  friend class MetricsRegistry;
  void Add(const char* name, const char* help, prometheus::MetricType type, double value,
           const MetricLabels& labels);
  // A new sample of the family, with its labels and the run.
  prometheus::ClientMetric& NewSample(const char* name, const char* help,
                                      prometheus::MetricType type, const MetricLabels& labels);

  std::map<std::string, prometheus::MetricFamily> families_;
  std::string run_;
};

// Keeps a source registered with a MetricsRegistry. The destructor removes it, after a call in
// progress has returned. Movable; may outlive the registry.
class MetricSource {
 public:
  MetricSource() = default;
  MetricSource(MetricSource&& other) noexcept { *this = std::move(other); }
  MetricSource& operator=(MetricSource&& other) noexcept;
  ~MetricSource() { Remove(); }

  // After this returns the source is not running and will not be called again, so that what it
  // reads may be destroyed. Idempotent.
  void Remove();

 private:
  friend class MetricsRegistry;
  struct Table;
  MetricSource(std::shared_ptr<Table> table, size_t key) : table_(std::move(table)), key_(key) {}

  std::shared_ptr<Table> table_;
  size_t key_ = 0;
};

// The metrics of a process. Thread-safe. Histograms made here belong to no run and live as long as
// the registry; the same name and labels always give the same object. All other metrics come from
// sources, which are called once for each scrape, so that all that a source writes is of one
// moment.
class MetricsRegistry {
 public:
  MetricsRegistry();
  ~MetricsRegistry();
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  // `buckets` are upper bounds. REQUIRES: they ascend.
  prometheus::Histogram& Histogram(const MetricName& name, const std::vector<double>& buckets);

  // Registers `collect`, which is called from the HTTP server's threads, one call at a time. It
  // must not block for long, and must not use this registry.
  [[nodiscard]] MetricSource AddSource(std::function<void(MetricSamples&)> collect);

  // Returns all metrics in Prometheus's text format.
  std::string ToText() const;

 private:
  prometheus::Registry registry_;
  const std::shared_ptr<MetricSource::Table> sources_;
};

// Adds the metrics that every process has: pompc_build_info{version, role} and Prometheus's usual
// process_* (memory, CPU time, threads, file descriptors, start time).
[[nodiscard]] MetricSource AddProcessMetrics(MetricsRegistry& registry, absl::string_view role);

}  // namespace pompc

#endif  // POMPC_COMMON_METRICS_METRICS_H_
