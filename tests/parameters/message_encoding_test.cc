#include <memory>
#include <string>

#include "common/rpc/wire.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "gtest/gtest.h"
#include "parameters/snapshot_messages.h"
#include "proto/parameters.pb.h"
#include "tests/parameters/snapshots.h"

namespace pompc::parameters {
namespace {

proto::ParametersMessage Decode(grpc::ByteBuffer bytes) {
  proto::ParametersMessage message;
  EXPECT_TRUE(
      grpc::SerializationTraits<proto::ParametersMessage>::Deserialize(&bytes, &message).ok());
  return message;
}

TEST(MessageEncodingTest, DescriptionDecodesToItself) {
  const ParameterSnapshot snapshot = TestSnapshot({2, 3}, 1000, 60);
  const proto::ParametersMessage message = Decode(EncodeDescription(snapshot));
  EXPECT_EQ(message.description().SerializeAsString(), snapshot.description.SerializeAsString());
}

TEST(MessageEncodingTest, DataDecodesToTheProtobufMessage) {
  const ParameterSnapshot snapshot = TestSnapshot({2, 300}, 5000);
  for (const size_t bytes : {1, 127, 128, 4000}) {
    const proto::ParametersMessage message = Decode(EncodeData(snapshot, 1000, bytes));
    EXPECT_EQ(FromProto(message.data().version()), snapshot.version());
    EXPECT_EQ(message.data().offset(), 1000u);
    EXPECT_EQ(message.data().data(), snapshot.data->substr(1000, bytes));
  }
  EXPECT_EQ(Decode(EncodeData(snapshot, 0, 5000)).data().data(), *snapshot.data);
}

TEST(MessageEncodingTest, EncodedDataKeepsTheSnapshotAliveWithoutCopyingIt) {
  ParameterSnapshot snapshot = TestSnapshot({1, 1}, 1 << 16);
  const char* const bytes = snapshot.data->data();
  std::weak_ptr<const std::string> watched = snapshot.data;
  {
    const grpc::ByteBuffer encoded = EncodeData(snapshot, 0, snapshot.data->size());
    snapshot.data = nullptr;
    EXPECT_FALSE(watched.expired());
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(encoded.Dump(&slices).ok());
    ASSERT_EQ(slices.size(), 2u);
    EXPECT_EQ(reinterpret_cast<const char*>(slices[1].begin()), bytes);
  }
  EXPECT_TRUE(watched.expired());
}

TEST(MessageEncodingDeathTest, BytesThatAreNotThereAreABug) {
  const ParameterSnapshot snapshot = TestSnapshot({1, 1}, 100);
  EXPECT_DEATH(EncodeData(snapshot, 90, 11), "11 against 10");
  EXPECT_DEATH(EncodeData(snapshot, 101, 1), "101 against 100");
}

}  // namespace
}  // namespace pompc::parameters
