#include "common/metrics/metrics.h"

#include <algorithm>
#include <sstream>

#include "common/base/check.h"
#include "prometheus/text_serializer.h"

namespace pompc {

// Shared by the registry and the handles, so that either may be destroyed first.
struct MetricFunction::Table {
  struct Entry {
    MetricName name;
    prometheus::MetricType type;
    std::function<double()> value;
  };

  Mutex mu;
  size_t next_key ABSL_GUARDED_BY(mu) = 0;
  std::map<size_t, Entry> entries ABSL_GUARDED_BY(mu);
};

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// prometheus-cpp has no metrics that are functions, so their samples are made here.
ClientMetric Sample(const MetricName& name, MetricType type, double value) {
  ClientMetric metric;
  for (const auto& [label, text] : name.labels) metric.label.push_back({label, text});
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return metric;
}

}  // namespace

// Metrics are functions of the roles' own counters where that is possible: a counter that exists
// twice would sooner or later differ.
MetricFunction& MetricFunction::operator=(MetricFunction&& other) noexcept {
  Remove();
  table_ = std::exchange(other.table_, nullptr);
  key_ = other.key_;
  return *this;
}

// After this returns the function is not running and will not be called again, so that what it
// reads may be destroyed.
void MetricFunction::Remove() {
  if (table_ == nullptr) return;
  {
    MutexLock lock(&table_->mu);
    table_->entries.erase(key_);
  }
  table_ = nullptr;
}

MetricsRegistry::MetricsRegistry() : functions_(std::make_shared<MetricFunction::Table>()) {}

MetricsRegistry::~MetricsRegistry() = default;

prometheus::Counter& MetricsRegistry::Counter(const MetricName& name) {
  return prometheus::BuildCounter().Name(name.name).Help(name.help).Register(registry_).Add(
      name.labels);
}

prometheus::Gauge& MetricsRegistry::Gauge(const MetricName& name) {
  return prometheus::BuildGauge().Name(name.name).Help(name.help).Register(registry_).Add(
      name.labels);
}

prometheus::Histogram& MetricsRegistry::Histogram(const MetricName& name,
                                                  const std::vector<double>& buckets) {
  POMPC_CHECK(std::is_sorted(buckets.begin(), buckets.end()), name.name);
  return prometheus::BuildHistogram().Name(name.name).Help(name.help).Register(registry_).Add(
      name.labels, prometheus::Histogram::BucketBoundaries(buckets.begin(), buckets.end()));
}

MetricFunction MetricsRegistry::CounterFunction(MetricName name, std::function<double()> value) {
  return AddFunction(std::move(name), MetricType::Counter, std::move(value));
}

MetricFunction MetricsRegistry::GaugeFunction(MetricName name, std::function<double()> value) {
  return AddFunction(std::move(name), MetricType::Gauge, std::move(value));
}

MetricFunction MetricsRegistry::AddFunction(MetricName name, MetricType type,
                                            std::function<double()> value) {
  POMPC_CHECK(value != nullptr, name.name);
  MutexLock lock(&functions_->mu);
  const size_t key = functions_->next_key++;
  functions_->entries[key] = {std::move(name), type, std::move(value)};
  return MetricFunction(functions_, key);
}

std::string MetricsRegistry::ToText() const {
  std::vector<MetricFamily> families = registry_.Collect();
  // The format requires all samples of a name to be together, whoever registered them.
  std::map<std::string, MetricFamily> by_name;
  {
    // The lock is held during the calls, so that Remove() waits for them.
    MutexLock lock(&functions_->mu);
    for (const auto& [key, entry] : functions_->entries) {
      MetricFamily& family = by_name[entry.name.name];
      family.name = entry.name.name;
      family.help = entry.name.help;
      family.type = entry.type;
      family.metric.push_back(Sample(entry.name, entry.type, entry.value()));
    }
  }
  for (auto& [name, family] : by_name) families.push_back(std::move(family));
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return std::move(text).str();
}

}  // namespace pompc
