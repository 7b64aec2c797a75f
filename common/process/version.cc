#include "common/process/version.h"

namespace pompc {

const char* Version() { return POMPC_VERSION; }

}  // namespace pompc
