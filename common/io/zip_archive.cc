#include "common/io/zip_archive.h"

#include <zlib.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

// The records of a zip file, after "APPNOTE.TXT - .ZIP File Format Specification", PKWARE, 6.3.10,
// section 4.3: per member a local header and its bytes, then the directory, then an end record.
namespace pompc {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kDirectorySignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kZip64LocatorSignature = 0x07064b50;
constexpr size_t kLocalBytes = 30;
constexpr size_t kDirectoryBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kZip64LocatorBytes = 20;
constexpr size_t kMaxCommentBytes = 65535;
// Values that stand for "see the zip64 record".
constexpr uint32_t kZip64Size = 0xffffffff;
constexpr uint16_t kZip64Count = 0xffff;

constexpr uint16_t kVersion = 20;
constexpr uint16_t kEncryptedFlag = 1 << 0;
constexpr uint16_t kUtf8Flag = 1 << 11;
// 1980-01-01, the first day the format knows: files do not depend on when they were written.
constexpr uint16_t kDate = 1 << 5 | 1;

template <typename Number>
void Put(Number number, std::string* to) {
  to->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// REQUIRES: the field lies within `bytes`.
template <typename Number>
Number Get(std::string_view bytes, size_t offset) {
  POMPC_DCHECK_LE(offset, bytes.size());
  POMPC_DCHECK_LE(sizeof(Number), bytes.size() - offset);
  Number number;
  std::memcpy(&number, bytes.data() + offset, sizeof(number));
  return number;
}

uint32_t Crc(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// What local header and directory entry have in common.
void PutDescription(const ZipMember& member, uint32_t crc, std::string* to) {
  Put(kVersion, to);
  Put(kUtf8Flag, to);
  Put<uint16_t>(0, to);  // method: stored
  Put<uint16_t>(0, to);  // time
  Put(kDate, to);
  Put(crc, to);
  const auto size = static_cast<uint32_t>(member.content.size());
  Put(size, to);
  Put(size, to);
  Put(static_cast<uint16_t>(member.name.size()), to);
  Put<uint16_t>(0, to);  // extra field
}

void PutDirectoryEntry(const ZipMember& member, uint32_t crc, uint32_t offset, std::string* to) {
  Put(kDirectorySignature, to);
  Put(kVersion, to);
  PutDescription(member, crc, to);
  Put<uint16_t>(0, to);  // comment
  Put<uint16_t>(0, to);  // disk
  Put<uint16_t>(0, to);  // internal attributes
  Put<uint32_t>(0, to);  // external attributes
  Put(offset, to);
  to->append(member.name);
}

absl::Status CheckMembers(const std::vector<ZipMember>& members) {
  uint64_t bytes = kEndBytes;
  std::set<std::string_view> names;
  for (const ZipMember& member : members) {
    if (member.name.empty() || member.name.size() > 65535) {
      return absl::InvalidArgumentError(absl::StrCat("a zip member's name has ", member.name.size(),
                                                     " bytes; allowed: 1 to 65535"));
    }
    if (!names.insert(member.name).second)
      return absl::InvalidArgumentError(absl::StrCat("\"", member.name, "\" is given twice"));
    bytes += kLocalBytes + kDirectoryBytes + 2 * member.name.size() + member.content.size();
  }
  if (bytes < kZip64Size && members.size() < kZip64Count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("an archive of ", members.size(), " members and ", bytes,
                   " bytes: must be less than 65535 and less than 4 GiB (zip64 is not supported)"));
}

struct Directory {
  uint16_t count = 0;
  // The entries' bytes, and what stands before them.
  std::string_view entries;
  std::string_view members;
};

// Where the end record begins: it is the last thing in the file but for a comment.
std::optional<size_t> FindEnd(std::string_view archive) {
  if (archive.size() < kEndBytes) return std::nullopt;
  for (size_t comment = 0; comment <= kMaxCommentBytes && comment + kEndBytes <= archive.size();
       ++comment) {
    const size_t at = archive.size() - kEndBytes - comment;
    if (Get<uint32_t>(archive, at) == kEndSignature && Get<uint16_t>(archive, at + 20) == comment)
      return at;
  }
  return std::nullopt;
}

absl::StatusOr<Directory> FindDirectory(std::string_view archive) {
  const std::optional<size_t> end = FindEnd(archive);
  if (!end) return absl::DataLossError("no zip archive, or cut off: its end record is missing");
  const bool locator = *end >= kZip64LocatorBytes &&
                       Get<uint32_t>(archive, *end - kZip64LocatorBytes) == kZip64LocatorSignature;
  Directory directory;
  directory.count = Get<uint16_t>(archive, *end + 10);
  const auto bytes = Get<uint32_t>(archive, *end + 12);
  const auto offset = Get<uint32_t>(archive, *end + 16);
  if (locator || directory.count == kZip64Count || bytes == kZip64Size || offset == kZip64Size) {
    return absl::InvalidArgumentError("a zip64 archive (4 GiB and more): not supported");
  }
  if (Get<uint16_t>(archive, *end + 4) != 0 || Get<uint16_t>(archive, *end + 6) != 0 ||
      Get<uint16_t>(archive, *end + 8) != directory.count) {
    return absl::InvalidArgumentError("a zip archive of several parts: not supported");
  }
  if (offset > *end || bytes != *end - offset) {
    return absl::DataLossError(absl::StrCat("its directory of ", bytes, " bytes at ", offset,
                                            " does not end at its end record at ", *end));
  }
  directory.entries = archive.substr(offset, bytes);
  directory.members = archive.substr(0, offset);
  return directory;
}

struct Entry {
  ZipMember member;  // without content
  uint32_t crc = 0;
  uint32_t size = 0;
  uint32_t offset = 0;
};

// Reads one entry of the directory and takes it off `rest`.
absl::StatusOr<Entry> TakeEntry(std::string_view* rest) {
  if (rest->size() < kDirectoryBytes || Get<uint32_t>(*rest, 0) != kDirectorySignature)
    return absl::DataLossError("an entry of its directory is damaged");
  const size_t name = Get<uint16_t>(*rest, 28);
  const size_t total = kDirectoryBytes + name + Get<uint16_t>(*rest, 30) + Get<uint16_t>(*rest, 32);
  if (rest->size() < total) return absl::DataLossError("an entry of its directory is cut off");
  Entry entry;
  entry.member.name = std::string(rest->substr(kDirectoryBytes, name));
  entry.crc = Get<uint32_t>(*rest, 16);
  entry.size = Get<uint32_t>(*rest, 24);
  entry.offset = Get<uint32_t>(*rest, 42);
  const auto packed = Get<uint32_t>(*rest, 20);
  const auto flags = Get<uint16_t>(*rest, 8);
  const auto method = Get<uint16_t>(*rest, 10);
  rest->remove_prefix(total);
  const auto refuse = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("\"", entry.member.name, "\" is ", what));
  };
  if ((flags & kEncryptedFlag) != 0) return refuse("encrypted: not supported");
  if (method != 0) return refuse("compressed: must be stored (numpy.savez does that)");
  if (packed == kZip64Size || entry.size == kZip64Size || entry.offset == kZip64Size)
    return refuse("of 4 GiB and more (zip64): not supported");
  if (packed != entry.size) return absl::DataLossError("an entry of its directory is damaged");
  return entry;
}

// The bytes of a member, behind its local header. What the header says beside its own size stands
// in the directory as well, which is the place to believe.
absl::StatusOr<std::string_view> ContentOf(const Entry& entry, std::string_view members) {
  const auto damaged = [&](const char* what) {
    return absl::DataLossError(absl::StrCat("\"", entry.member.name, "\" ", what));
  };
  if (entry.offset > members.size() || members.size() - entry.offset < kLocalBytes)
    return damaged("lies outside the archive");
  const std::string_view local = members.substr(entry.offset);
  if (Get<uint32_t>(local, 0) != kLocalSignature) return damaged("has no header where it should");
  const size_t name = Get<uint16_t>(local, 26);
  const size_t begin = kLocalBytes + name + Get<uint16_t>(local, 28);
  if (local.size() < begin || local.size() - begin < entry.size)
    return damaged("lies outside the archive");
  if (local.substr(kLocalBytes, name) != entry.member.name)
    return damaged("has another name in its header");
  const std::string_view content = local.substr(begin, entry.size);
  if (Crc(content) != entry.crc) return damaged("is corrupt: its CRC-32 does not hold");
  return content;
}

}  // namespace

absl::StatusOr<std::string> WriteZip(const std::vector<ZipMember>& members) {
  POMPC_RETURN_IF_ERROR(CheckMembers(members));
  std::string archive, directory;
  for (const ZipMember& member : members) {
    const uint32_t crc = Crc(member.content);
    PutDirectoryEntry(member, crc, static_cast<uint32_t>(archive.size()), &directory);
    Put(kLocalSignature, &archive);
    PutDescription(member, crc, &archive);
    archive.append(member.name);
    archive.append(member.content);
  }
  const auto offset = static_cast<uint32_t>(archive.size());
  const auto count = static_cast<uint16_t>(members.size());
  archive.append(directory);
  Put(kEndSignature, &archive);
  Put<uint32_t>(0, &archive);  // disks
  Put(count, &archive);
  Put(count, &archive);
  Put(static_cast<uint32_t>(directory.size()), &archive);
  Put(offset, &archive);
  Put<uint16_t>(0, &archive);  // comment
  return archive;
}

absl::StatusOr<std::vector<ZipMember>> ReadZip(std::string_view archive) {
  POMPC_ASSIGN_OR_RETURN(Directory directory, FindDirectory(archive));
  std::vector<ZipMember> members;
  std::set<std::string> names;
  // Members that share bytes could blow a small file up to any size.
  uint64_t bytes = 0;
  for (int i = 0; i < directory.count; ++i) {
    POMPC_ASSIGN_OR_RETURN(Entry entry, TakeEntry(&directory.entries));
    bytes += entry.size;
    if (bytes > directory.members.size())
      return absl::DataLossError("its members overlap, or lie outside the archive");
    POMPC_ASSIGN_OR_RETURN(entry.member.content, ContentOf(entry, directory.members));
    if (!names.insert(entry.member.name).second)
      return absl::DataLossError(absl::StrCat("\"", entry.member.name, "\" stands in it twice"));
    members.push_back(std::move(entry.member));
  }
  if (!directory.entries.empty()) return absl::DataLossError("its directory has more than it says");
  return members;
}

}  // namespace pompc
