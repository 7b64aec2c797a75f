#ifndef POMPC_REPLAY_STORE_FLAGS_H_
#define POMPC_REPLAY_STORE_FLAGS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "replay/app.h"

namespace CLI {
class App;
}  // namespace CLI

namespace pompc::replay {

// The flags of pompc-replay that say where the shard's rows are. Must outlive the parsing.
class StoreFlags {
 public:
  void AddTo(CLI::App& app);
  // Sets the options that the parsed flags stand for. INVALID_ARGUMENT naming the flag.
  absl::Status Fill(AppOptions* options) const;

 private:
  std::string data_dir_;
  std::string durability_;
  bool on_disk_ = false;
  uint64_t row_cache_bytes_ = uint64_t{256} << 20;
  bool skip_damaged_ = false;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_STORE_FLAGS_H_
