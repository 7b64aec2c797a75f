#include "replay/wire/sample_reply.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "grpcpp/support/proto_buffer_reader.h"

namespace pompc::replay {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// Columns begin at multiples of this in memory, so that numbers of eight bytes can be written to
// them one by one. What lies between two of them is not sent.
constexpr size_t kAlignment = 8;

size_t AlignUp(size_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

constexpr uint32_t LengthDelimited(int field) {
  return static_cast<uint32_t>(field) << 3 | WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
}

constexpr uint32_t kWindowsTag = LengthDelimited(proto::SampleReply::kWindowsFieldNumber);

// Tags of the columns' fields in Windows, found by their names; 0 for columns that windows do not
// hold.
const std::array<uint32_t, kNumColumns>& ColumnTags() {
  static const std::array<uint32_t, kNumColumns> tags = [] {
    std::array<uint32_t, kNumColumns> found = {};
    for (size_t c = 0; c < kNumColumns; ++c) {
      if (kColumns[c].in_window == InWindow::kNever) continue;
      const std::string name(kColumns[c].name);
      const FieldDescriptor* const field = proto::Windows::descriptor()->FindFieldByName(name);
      POMPC_CHECK(field != nullptr && field->type() == FieldDescriptor::TYPE_BYTES,
                  absl::StrCat("Windows has no field ", name, " of bytes"));
      found[c] = LengthDelimited(field->number());
    }
    return found;
  }();
  return tags;
}

size_t VarintBytes(size_t n) { return CodedOutputStream::VarintSize64(n); }

// Bytes in front of a column's: its tag and its length.
size_t HeadBytes(size_t column, size_t bytes) {
  return VarintBytes(ColumnTags()[column]) + VarintBytes(bytes);
}

// Calls on_bytes(tag, its bytes) with each field that is_own(tag) is true of, from which it must
// read all of them, and copies the others to `rest`. False if the input is no message.
template <typename IsOwn, typename OnBytes>
bool ScanFields(CodedInputStream* input, IsOwn is_own, OnBytes on_bytes, std::string* rest) {
  google::protobuf::io::StringOutputStream stream(rest);
  CodedOutputStream output(&stream);
  while (const uint32_t tag = input->ReadTag()) {
    if (!is_own(tag)) {
      if (!WireFormatLite::SkipField(input, tag, &output)) return false;
      continue;
    }
    int bytes = 0;
    if (!input->ReadVarintSizeAsInt(&bytes) || !on_bytes(tag, bytes)) return false;
  }
  return input->ConsumedEntireMessage();
}

absl::Status NoSampleReply() { return absl::DataLossError("what replay sent is no SampleReply"); }

}  // namespace

SampleReplyWriter::SampleReplyWriter(const RowSpec& spec, uint32_t horizon, uint32_t count) {
  POMPC_CHECK_GT(count, 0u);
  POMPC_CHECK_LE(count, MaxSampleWindows(spec, horizon));
  proto::Windows sizes;
  sizes.set_count(count);
  sizes.set_horizon(horizon);
  // Lengths come before what they measure, so sizes are added up first.
  std::array<size_t, kNumColumns> bytes = {}, begin = {};
  size_t windows_bytes = sizes.ByteSizeLong();
  // The tag of the windows with the longest length, and their sizes.
  memory_bytes_ = AlignUp(2 * CodedOutputStream::VarintSize32(~uint32_t{0}) + windows_bytes);
  for (size_t c = 0; c < kNumColumns; ++c) {
    const Column& column = kColumns[c];
    if (column.in_window == InWindow::kNever) continue;
    bytes[c] = count * column.per_window(horizon) * column.bytes(spec);
    windows_bytes += HeadBytes(c, bytes[c]) + bytes[c];
    begin[c] = AlignUp(memory_bytes_ + HeadBytes(c, bytes[c]));
    memory_bytes_ = begin[c] + bytes[c];
  }
  memory_ = std::make_unique_for_overwrite<std::byte[]>(memory_bytes_);
  auto* const memory = reinterpret_cast<uint8_t*>(memory_.get());

  uint8_t* end = CodedOutputStream::WriteTagToArray(kWindowsTag, memory);
  end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(windows_bytes), end);
  end = sizes.SerializeWithCachedSizesToArray(end);
  pieces_.push_back({0, static_cast<size_t>(end - memory)});
  columns_.count = count;
  for (size_t c = 0; c < kNumColumns; ++c) {
    if (bytes[c] == 0) continue;
    const size_t head = begin[c] - HeadBytes(c, bytes[c]);
    end = CodedOutputStream::WriteTagToArray(ColumnTags()[c], memory + head);
    end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(bytes[c]), end);
    POMPC_CHECK_EQ(static_cast<size_t>(end - memory), begin[c]);
    pieces_.push_back({head, begin[c] + bytes[c]});
    columns_.columns[c] = {memory_.get() + begin[c], bytes[c]};
  }
}

// A message may be the concatenation of two: the parser merges them. So `rest` follows as it is,
// whatever fields it has.
grpc::ByteBuffer SampleReplyWriter::Finish(const proto::SampleReply& rest) && {
  POMPC_CHECK(memory_ != nullptr, "the message was made before");
  const grpc::Slice all(memory_.release(), memory_bytes_,
                        [](void* memory) { delete[] static_cast<std::byte*>(memory); });
  std::vector<grpc::Slice> slices;
  for (const Piece& piece : pieces_) slices.push_back(all.sub(piece.begin, piece.end));
  if (std::string text = rest.SerializeAsString(); !text.empty()) slices.emplace_back(text);
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::StatusOr<SampleReplyReader> SampleReplyReader::Parse(const grpc::ByteBuffer& message) {
  SampleReplyReader reader;
  if (!message.Valid() || !message.Dump(&reader.slices_).ok()) return NoSampleReply();
  size_t begin = 0;
  for (const grpc::Slice& slice : reader.slices_) {
    reader.begins_.push_back(begin);
    begin += slice.size();
  }
  // The reader of a buffer does not change it; only its interface says so.
  grpc::ProtoBufferReader stream(const_cast<grpc::ByteBuffer*>(&message));
  CodedInputStream input(&stream);
  std::string rest, windows_rest;
  const auto on_column = [&](uint32_t tag, int bytes) {
    const auto c = std::find(ColumnTags().begin(), ColumnTags().end(), tag) - ColumnTags().begin();
    // What comes later replaces what came before, as everywhere in protobuf.
    reader.columns_[c] = {static_cast<size_t>(input.CurrentPosition()), static_cast<size_t>(bytes)};
    return input.Skip(bytes);
  };
  const auto is_column = [](uint32_t tag) {
    return std::find(ColumnTags().begin(), ColumnTags().end(), tag) != ColumnTags().end();
  };
  const auto on_windows = [&](uint32_t /*tag*/, int bytes) {
    const CodedInputStream::Limit outer = input.PushLimit(bytes);
    if (!ScanFields(&input, is_column, on_column, &windows_rest)) return false;
    if (input.BytesUntilLimit() != 0) return false;
    input.PopLimit(outer);
    return true;
  };
  const auto is_windows = [](uint32_t tag) { return tag == kWindowsTag; };
  if (!ScanFields(&input, is_windows, on_windows, &rest)) return NoSampleReply();
  if (!reader.rest_.ParseFromString(rest)) return NoSampleReply();
  if (!reader.rest_.mutable_windows()->ParseFromString(windows_rest)) return NoSampleReply();
  return reader;
}

void SampleReplyReader::CopyTo(size_t column, std::byte* to) const {
  const Place& place = columns_.at(column);
  if (place.bytes == 0) return;
  // The last slice that begins at or before the column.
  size_t i = std::upper_bound(begins_.begin(), begins_.end(), place.begin) - begins_.begin() - 1;
  size_t offset = place.begin - begins_[i];
  for (size_t left = place.bytes; left > 0; ++i, offset = 0) {
    POMPC_CHECK_LT(i, slices_.size());
    const size_t n = std::min(left, slices_[i].size() - offset);
    std::memcpy(to, slices_[i].begin() + offset, n);
    to += n;
    left -= n;
  }
}

}  // namespace pompc::replay
