#ifndef POMPC_REPLAY_APP_H_
#define POMPC_REPLAY_APP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/threads.h"
#include "common/metrics/metrics.h"
#include "common/rpc/server.h"
#include "replay/service.h"

namespace pompc::replay {

struct AppOptions {
  // "host:port"; port 0 takes any free one. Empty: in-process only.
  std::string listen;
  // Both are as in rpc::ServerOptions.
  std::shared_ptr<const rpc::Certificates> certificates = nullptr;
  bool insecure = false;
  // Label "shard" of its metrics; shards of one process need different ones.
  std::string shard = "0";
  // The registry that gets its metrics. Required.
  std::shared_ptr<MetricsRegistry> metrics;
  Clock* clock = Clock::Real();
  // Folder of the shard's data; if empty, rows live in memory alone.
  std::string data_dir;
  // What an acknowledgement promises; of a shard without data_dir, kMemory.
  Durability durability = Durability::kMemory;
  // Rows are served from data_dir, with so much memory for what was read; 0: from memory.
  uint64_t row_cache_bytes = 0;
  // Opens data_dir without what is damaged in it, instead of failing.
  bool skip_damaged = false;

  // INVALID_ARGUMENT naming the field.
  absl::Status Validate() const;
};

// The value of --durability; an empty one is SYNC with a `data_dir`, else MEMORY. INVALID_ARGUMENT
// naming what is allowed.
absl::StatusOr<Durability> ParseDurability(const std::string& text, const std::string& data_dir);

// One replay shard: its rows, its service, its server, its metrics. It knows no run until the
// learner configures it. Thread-safe.
class App {
 public:
  // Loads the rows in data_dir, if there are any, which takes seconds; health says NOT_SERVING
  // meanwhile. Statuses as rpc::Server::Start and RocksStore::Open, INVALID_ARGUMENT for bad
  // options, DATA_LOSS if the data is damaged.
  static absl::StatusOr<std::unique_ptr<App>> Start(const AppOptions& options);
  // Stops.
  ~App();

  rpc::Server& server() { return *server_; }
  const Shard& shard() const { return shard_; }

  // OK while clients reach it; otherwise why not.
  absl::Status Health() const { return server_->Health(); }

  // 1. Health says NOT_SERVING. 2. Streams end with UNAVAILABLE. 3. The shard takes nothing more.
  // 4. The server shuts down. Under 2 s, whatever its clients do. Idempotent.
  void Stop();
  // Blocks until Stop() has ended.
  void Wait() { stopped_.Wait(); }

 private:
  App(const AppOptions& options, uint64_t incarnation, std::unique_ptr<Store> store);
  absl::Status Load(const AppOptions& options);
  void AddMetrics(const AppOptions& options);
  // Renews the reasons that blocked writers were given every few seconds, until Stop.
  void RenewReasons();

  Clock* const clock_;
  Shard shard_;
  Service service_{&shard_};
  std::unique_ptr<rpc::Server> server_;
  Event stopping_;
  Event stopped_;
  MetricSource metrics_;  // reads everything above
  Mutex thread_mu_;
  // Keeps true what blocked writers are told.
  Thread reasons_ ABSL_GUARDED_BY(thread_mu_);
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_APP_H_
