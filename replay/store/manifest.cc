#include "replay/store/manifest.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/values/crc32c.h"

namespace rocksdb {

// Part of RocksDB's library, but of no public header: the checksums of the files that the MANIFEST
// lists, of which it reads the first `bytes`. Source: util/file_checksum_helper.h, version 7.8.
Status GetFileChecksumsFromManifest(Env* env, const std::string& path, uint64_t bytes,
                                    FileChecksumList* list);

}  // namespace rocksdb

namespace pompc::replay {
namespace {

// The form of RocksDB's logs: blocks of 32 KiB, each a sequence of pieces with a header of CRC-32C
// (of type and bytes), size and type. A piece does not cross blocks, a record may. Where fewer
// bytes than a header are left in a block, they are zeros.
// Source: RocksDB, db/log_format.h and the wiki page "Write Ahead Log File Format".
constexpr uint64_t kLogBlockBytes = 32768, kLogHeaderBytes = 7;
enum Piece : uint8_t { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

uint32_t Masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

// Number of bytes up to the end of the last record before the first piece that is not whole.
uint64_t WholeBytes(absl::string_view log) {
  uint64_t at = 0, whole = 0;
  bool inside = false;
  for (;;) {
    const uint64_t left = kLogBlockBytes - at % kLogBlockBytes;
    if (left < kLogHeaderBytes) at += left;
    if (at + kLogHeaderBytes > log.size()) return whole;
    const absl::string_view rest = log.substr(at);
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(rest[i]); };
    const uint64_t size = byte(4) | byte(5) << 8;
    const uint8_t type = byte(6);
    if (kLogHeaderBytes + size > std::min(rest.size(), kLogBlockBytes - at % kLogBlockBytes))
      return whole;
    uint32_t crc = 0;
    std::memcpy(&crc, rest.data(), sizeof(crc));
    if (crc != Masked(Crc32c(rest.substr(6, 1 + size)))) return whole;
    const bool begins = type == kFull || type == kFirst;
    if (type < kFull || type > kLast || begins == inside) return whole;
    inside = type == kFirst || type == kMiddle;
    at += kLogHeaderBytes + size;
    if (!inside) whole = at;
  }
}

// The MANIFEST that CURRENT names, and its number. False if it names none.
bool FindManifest(rocksdb::Env* env, const std::string& folder, std::string* name,
                  uint64_t* number) {
  if (!rocksdb::ReadFileToString(env, folder + "/CURRENT", name).ok()) return false;
  if (!absl::EndsWith(*name, "\n")) return false;
  name->pop_back();
  const std::optional<uint64_t> found = ManifestNumber(*name);
  *number = found.value_or(0);
  return found.has_value();
}

absl::StatusOr<std::string> ChecksumOf(rocksdb::Env* env, const std::string& path) {
  std::unique_ptr<rocksdb::SequentialFile> file;
  rocksdb::Status status = env->NewSequentialFile(path, &file, rocksdb::EnvOptions());
  const auto checksum = ListedChecksums()->CreateFileChecksumGenerator({path, ""});
  std::vector<char> scratch(size_t{1} << 20);
  rocksdb::Slice read;
  do {
    if (status.ok()) status = file->Read(scratch.size(), &read, scratch.data());
    if (!status.ok()) return absl::UnavailableError(status.ToString());
    checksum->Update(read.data(), read.size());
  } while (!read.empty());
  checksum->Finalize();
  return checksum->GetChecksum();
}

}  // namespace

std::optional<uint64_t> ManifestNumber(absl::string_view name) {
  uint64_t number = 0;
  if (!absl::ConsumePrefix(&name, "MANIFEST-") || !absl::SimpleAtoi(name, &number)) return {};
  return number;
}

absl::Status CheckManifest(rocksdb::Env* env, const std::string& folder,
                           const WatermarkEntry& known) {
  std::string name, content;
  uint64_t number = 0;
  if (!FindManifest(env, folder, &name, &number)) return absl::OkStatus();
  const std::string path = absl::StrCat(folder, "/", name);
  if (number < known.manifest) {
    return absl::DataLossError(absl::StrCat(folder, ": CURRENT names ", name,
                                            ", but there was a MANIFEST number ", known.manifest));
  }
  if (!rocksdb::ReadFileToString(env, path, &content).ok()) return absl::OkStatus();
  const uint64_t whole = WholeBytes(content);
  const bool is_known = number == known.manifest;
  if (is_known && whole < known.manifest_bytes) {
    return absl::DataLossError(absl::StrCat(path, " is damaged or cut off at byte ", whole, ": ",
                                            known.manifest_bytes, " bytes of it were on disk"));
  }
  const bool zeros = content.find_first_not_of('\0', whole) == std::string::npos;
  // RocksDB is to say what it thinks of the rest if it is not known how far it was on disk.
  if (whole == content.size() || !(is_known || zeros)) return absl::OkStatus();
  Log().warn("{}: {} bytes at the end are no part of it and are cut off", path,
             content.size() - whole);
  // If this fails, RocksDB says what it can make of the file.
  env->Truncate(path, whole).PermitUncheckedError();
  return absl::OkStatus();
}

std::shared_ptr<rocksdb::FileChecksumGenFactory> ListedChecksums() {
  return rocksdb::GetFileChecksumGenCrc32cFactory();
}

absl::Status CheckListedFiles(rocksdb::Env* env, const std::string& folder) {
  std::string name;
  uint64_t ignored = 0;
  if (!FindManifest(env, folder, &name, &ignored)) return absl::OkStatus();
  const std::unique_ptr<rocksdb::FileChecksumList> list(rocksdb::NewFileChecksumList());
  std::vector<uint64_t> numbers;
  std::vector<std::string> checksums, functions;
  rocksdb::Status status = rocksdb::GetFileChecksumsFromManifest(
      env, absl::StrCat(folder, "/", name), std::numeric_limits<uint64_t>::max(), list.get());
  if (status.ok()) status = list->GetAllFileChecksums(&numbers, &checksums, &functions);
  // A MANIFEST that cannot be read does not open either, and RocksDB says why.
  if (!status.ok()) return absl::OkStatus();
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (functions[i] == rocksdb::kUnknownFileChecksumFuncName) continue;
    const std::string path =
        absl::StrCat(folder, "/", absl::Dec(numbers[i], absl::kZeroPad6), ".sst");
    if (env->FileExists(path).IsNotFound()) {
      return absl::DataLossError(absl::StrCat(path, " is missing: ", name, " lists it"));
    }
    POMPC_ASSIGN_OR_RETURN(const std::string checksum, ChecksumOf(env, path));
    if (checksum == checksums[i]) continue;
    return absl::DataLossError(
        absl::StrCat(path, " is damaged: its checksum is not the one of what was written"));
  }
  return absl::OkStatus();
}

}  // namespace pompc::replay
