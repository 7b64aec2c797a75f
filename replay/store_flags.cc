#include "replay/store_flags.h"

#include "CLI/CLI.hpp"
#include "common/base/check.h"
#include "common/rpc/integer_flag.h"

namespace pompc::replay {

void StoreFlags::AddTo(CLI::App& app) {
  app.add_option("--data-dir", data_dir_,
                 "Folder of the shard's rows, which outlive it; default: they live in memory")
      ->type_name("DIR")
      ->envname("POMPC_DATA_DIR");
  app.add_option("--durability", durability_,
                 "What an acknowledged row survives: SYNC a power cut, BACKGROUND the end of the "
                 "process, MEMORY nothing; default SYNC with --data-dir, else MEMORY")
      ->envname("POMPC_DURABILITY");
  app.add_flag("--on-disk", on_disk_,
               "Serve rows from --data-dir, so that they may be more than memory holds")
      ->envname("POMPC_ON_DISK");
  rpc::AddInteger(app,
                  {"--row-cache-bytes", "With --on-disk: memory for rows that were read",
                   uint64_t{1} << 20, uint64_t{1} << 50, "POMPC_ROW_CACHE_BYTES"},
                  &row_cache_bytes_);
  app.add_flag("--skip-damaged", skip_damaged_,
               "Start without the rows that are damaged in --data-dir");
}

absl::Status StoreFlags::Fill(AppOptions* options) const {
  options->data_dir = data_dir_;
  POMPC_ASSIGN_OR_RETURN(options->durability, ParseDurability(durability_, data_dir_));
  options->row_cache_bytes = on_disk_ ? row_cache_bytes_ : 0;
  options->skip_damaged = skip_damaged_;
  return absl::OkStatus();
}

}  // namespace pompc::replay
