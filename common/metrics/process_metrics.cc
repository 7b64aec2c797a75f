#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "common/base/threads.h"
#include "common/io/descriptors.h"
#include "common/metrics/metrics.h"
#include "common/process/program.h"

namespace pompc {
namespace {

// These are the metrics that Prometheus's client libraries give every process; dashboards know
// their names. prometheus-cpp does not have them.
double CpuSeconds() {
  // Threads that have ended count too, unlike in /proc/self/task.
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
         1e-6 * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

// The second field of statm is the number of resident pages.
double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

double CountEntries(const char* folder) {
  double count = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    ++count;
  }
  return count;
}

}  // namespace

MetricSource AddProcessMetrics(MetricsRegistry& registry, absl::string_view role) {
  const MetricLabels build = {{"version", Version()}, {"role", std::string(role)}};
  const double start = absl::ToDoubleSeconds(WallTime() - absl::UnixEpoch());
  return registry.AddSource([build, start](MetricSamples& out) {
    out.Gauge("pompc_build_info", "Always 1; the labels name the version and the role.", 1, build);
    out.Gauge("process_start_time_seconds", "Start of the process, in seconds since 1970.", start);
    out.Counter("process_cpu_seconds_total", "CPU time of the process, user and system.",
                CpuSeconds());
    out.Gauge("process_resident_memory_bytes", "Resident memory of the process.", ResidentBytes());
    // /proc has an entry for each thread and each open descriptor.
    out.Gauge("process_threads", "Threads of the process.", CountEntries("/proc/self/task"));
    out.Gauge("process_open_fds", "Open file descriptors.", CountEntries("/proc/self/fd"));
    out.Gauge("process_max_fds", "Limit of open file descriptors.", DescriptorLimit());
  });
}

}  // namespace pompc
