#include "common/values/float_bytes.h"

#include "absl/strings/str_cat.h"

namespace pompc {

absl::Status CheckByteCount(absl::string_view bytes, size_t count, size_t number_size,
                            absl::string_view name) {
  if (bytes.size() == count * number_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " has ", bytes.size(), " bytes; expected ",
                                                 count, " numbers of ", number_size, " bytes (",
                                                 count * number_size, ")"));
}

}  // namespace pompc
