#include "common/rpc/access.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "proto/parameters.pb.h"
#include "proto/planner.pb.h"
#include "proto/ranks.pb.h"
#include "proto/replay.pb.h"
#include "proto/run.pb.h"

namespace pompc::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<const google::protobuf::MethodDescriptor*> AllMethods() {
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  for (const google::protobuf::FileDescriptor* file :
       {proto::SubscribeRequest::descriptor()->file(), proto::PlanRequest::descriptor()->file(),
        proto::JoinRequest::descriptor()->file(), proto::GrantRequest::descriptor()->file(),
        proto::GetRunRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        methods.push_back(file->service(i)->method(j));
      }
    }
  }
  return methods;
}

std::string PathOf(const google::protobuf::MethodDescriptor& method) {
  return "/" + std::string(method.service()->full_name()) + "/" + std::string(method.name());
}

bool MayCall(const std::string& path, Role role) { return CheckAccess(path, {role}).ok(); }

TEST(AccessTest, EveryMethodHasCallersAndRefusesOthers) {
  const auto methods = AllMethods();
  ASSERT_EQ(methods.size(), 27u);
  for (const auto* method : methods) {
    const std::string path = PathOf(*method);
    int callers = 0, refused = 0;
    for (int role = proto::Access::ACTOR; role <= proto::Access::Role_MAX; ++role) {
      (MayCall(path, static_cast<Role>(role)) ? callers : refused) += 1;
    }
    EXPECT_GT(callers, 0) << path;
    EXPECT_GT(refused, 0) << path;
    EXPECT_FALSE(CheckAccess(path, {}).ok()) << path;
  }
}

TEST(AccessTest, AnActorNeitherRewritesPlansNorControlsTheRun) {
  for (const char* path :
       {"/pompc.proto.ReplayService/UpdatePlans", "/pompc.proto.ReplayService/Grant",
        "/pompc.proto.ReplayService/Configure", "/pompc.proto.ReplayService/ReadRows",
        "/pompc.proto.ParameterService/Subscribe", "/pompc.proto.RunService/StopRun",
        "/pompc.proto.RunService/ChangeLimits", "/pompc.proto.RankService/PutValue",
        "/pompc.proto.PlannerService/Follow"}) {
    EXPECT_FALSE(MayCall(path, proto::Access::ACTOR)) << path;
  }
  EXPECT_TRUE(MayCall("/pompc.proto.ReplayService/Append", proto::Access::ACTOR));
}

TEST(AccessTest, TheRefusalNamesMethodAndRoles) {
  const absl::Status status = CheckAccess("/pompc.proto.ReplayService/Describe",
                                          {proto::Access::ACTOR, proto::Access::PLANNER});
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(
      status.message(),
      "/pompc.proto.ReplayService/Describe may not be called by a holder of this certificate, "
      "whose role is actor, planner; allowed: learner, operator");
  EXPECT_TRUE(CheckAccess("/pompc.proto.ReplayService/Describe",
                          {proto::Access::ACTOR, proto::Access::OPERATOR})
                  .ok())
      << "one of several roles suffices";
}

TEST(AccessTest, WhatIsNotKnownIsRefused) {
  for (const char* path : {"", "/", "/pompc.proto.ReplayService/Nothing", "/x/y",
                           "/pompc.proto.ReplayService", "/pompc.proto.ReplayService/Append/"}) {
    EXPECT_FALSE(MayCall(path, proto::Access::ACTOR)) << path;
  }
}

TEST(AccessTest, HealthIsForAllAndReflectionForOperators) {
  EXPECT_TRUE(CheckAccess("/grpc.health.v1.Health/Watch", {}).ok());
  const char* reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  EXPECT_TRUE(MayCall(reflection, proto::Access::OPERATOR));
  EXPECT_FALSE(MayCall(reflection, proto::Access::ACTOR));
}

TEST(AccessTest, RolesAreReadFromUris) {
  EXPECT_EQ(RoleUri(proto::Access::REPLAY), "pompc:role/replay");
  EXPECT_THAT(RolesIn({"pompc:role/replay", "spiffe://a/b", "pompc:role/operator"}),
              ElementsAre(proto::Access::REPLAY, proto::Access::OPERATOR));
  EXPECT_THAT(RolesIn({"pompc:role/", "pompc:role/none", "pompc:role/Replay", "pompc:role/chef",
                       "pompc:role/role_unspecified", "xpompc:role/actor", "pompc:role/actor/x"}),
              IsEmpty());
  EXPECT_EQ(RoleNames({}), "none");
}

}  // namespace
}  // namespace pompc::rpc
