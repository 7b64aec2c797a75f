#include "common/metrics/metrics.h"

#include <algorithm>
#include <sstream>

#include "common/base/check.h"
#include "prometheus/text_serializer.h"

namespace pompc {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Shared by the registry and the handles, so that either may be destroyed first.
struct MetricSource::Table {
  Mutex mu;
  size_t next_key ABSL_GUARDED_BY(mu) = 0;
  std::map<size_t, std::function<void(MetricSamples&)>> sources ABSL_GUARDED_BY(mu);
};

ClientMetric& MetricSamples::NewSample(const char* name, const char* help, MetricType type,
                                       const MetricLabels& labels) {
  // The format wants all samples of a name together, whichever source they come from: several
  // shards of one process have the same names, and the label tells them apart.
  MetricFamily& family = families_[name];
  POMPC_DCHECK(family.metric.empty() || family.type == type, "one name, two kinds of metric");
  family.name = name;
  family.help = help;
  family.type = type;
  ClientMetric& metric = family.metric.emplace_back();
  for (const auto& [label, text] : labels) metric.label.push_back({label, text});
  if (!run_.empty()) {
    POMPC_DCHECK(!labels.contains("run"), "one sample, two runs");
    metric.label.push_back({"run", run_});
  }
  return metric;
}

void MetricSamples::Add(const char* name, const char* help, MetricType type, double value,
                        const MetricLabels& labels) {
  ClientMetric& metric = NewSample(name, help, type, labels);
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
}

void MetricSamples::Histogram(const char* name, const char* help,
                              const prometheus::Histogram& histogram, const MetricLabels& labels) {
  NewSample(name, help, MetricType::Histogram, labels).histogram = histogram.Collect().histogram;
}

MetricSource& MetricSource::operator=(MetricSource&& other) noexcept {
  Remove();
  table_ = std::exchange(other.table_, nullptr);
  key_ = other.key_;
  return *this;
}

void MetricSource::Remove() {
  if (table_ == nullptr) return;
  {
    MutexLock lock(&table_->mu);
    table_->sources.erase(key_);
  }
  table_ = nullptr;
}

MetricsRegistry::MetricsRegistry() : sources_(std::make_shared<MetricSource::Table>()) {}

MetricsRegistry::~MetricsRegistry() = default;

prometheus::Histogram& MetricsRegistry::Histogram(const MetricName& name,
                                                  const std::vector<double>& buckets) {
  POMPC_CHECK(std::is_sorted(buckets.begin(), buckets.end()), name.name);
  return prometheus::BuildHistogram().Name(name.name).Help(name.help).Register(registry_).Add(
      name.labels, prometheus::Histogram::BucketBoundaries(buckets.begin(), buckets.end()));
}

MetricSource MetricsRegistry::AddSource(std::function<void(MetricSamples&)> collect) {
  POMPC_CHECK(collect != nullptr);
  MutexLock lock(&sources_->mu);
  const size_t key = sources_->next_key++;
  sources_->sources[key] = std::move(collect);
  return MetricSource(sources_, key);
}

std::string MetricsRegistry::ToText() const {
  // Histograms first, in the order in which they were made; then the samples, by name.
  std::vector<MetricFamily> families = registry_.Collect();
  MetricSamples samples;
  {
    // Held during the calls, so that Remove() waits for them: a role takes its source out before
    // it destroys what the source reads.
    MutexLock lock(&sources_->mu);
    for (const auto& [key, collect] : sources_->sources) {
      samples.SetRun("");
      collect(samples);
    }
  }
  for (auto& [name, family] : samples.families_) families.push_back(std::move(family));
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return std::move(text).str();
}

}  // namespace pompc
