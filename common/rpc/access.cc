#include "common/rpc/access.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "google/protobuf/descriptor.h"

namespace pompc::rpc {
namespace {

constexpr char kUriPrefix[] = "pompc:role/";

// The roles that may call a method; none where it does not exist.
std::vector<Role> CallersOf(absl::string_view path) {
  // "/package.Service/Method" is "package.Service.Method" among the descriptors.
  const std::string name = absl::StrReplaceAll(absl::StripPrefix(path, "/"), {{"/", "."}});
  const google::protobuf::MethodDescriptor* const method =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  std::vector<Role> callers;
  if (method == nullptr) return callers;
  for (const int role : method->options().GetExtension(proto::access).callers()) {
    callers.push_back(static_cast<Role>(role));
  }
  return callers;
}

}  // namespace

std::string RoleName(Role role) {
  if (role == proto::Access::ROLE_UNSPECIFIED) return "none";
  return absl::AsciiStrToLower(proto::Access::Role_Name(role));
}

std::string RoleNames(const std::vector<Role>& roles) {
  if (roles.empty()) return RoleName(proto::Access::ROLE_UNSPECIFIED);
  return absl::StrJoin(roles, ", ",
                       [](std::string* out, Role role) { absl::StrAppend(out, RoleName(role)); });
}

std::string RoleUri(Role role) {
  POMPC_CHECK(role != proto::Access::ROLE_UNSPECIFIED, "no certificate says that");
  return absl::StrCat(kUriPrefix, RoleName(role));
}

std::vector<Role> RolesIn(const std::vector<std::string>& uris) {
  std::vector<Role> roles;
  for (absl::string_view uri : uris) {
    Role role;
    if (!absl::ConsumePrefix(&uri, kUriPrefix)) continue;
    if (!proto::Access::Role_Parse(absl::AsciiStrToUpper(uri), &role)) continue;
    if (role != proto::Access::ROLE_UNSPECIFIED && RoleName(role) == uri) roles.push_back(role);
  }
  return roles;
}

absl::Status CheckAccess(absl::string_view path, const std::vector<Role>& roles) {
  // gRPC's own services, whose descriptors are not in this process.
  if (absl::StartsWith(path, "/grpc.health.v1.Health/")) return absl::OkStatus();
  const bool reflection = absl::StartsWith(path, "/grpc.reflection.");
  const std::vector<Role> callers =
      reflection ? std::vector<Role>{proto::Access::OPERATOR} : CallersOf(path);
  const auto may_call = [&](Role role) {
    return std::find(callers.begin(), callers.end(), role) != callers.end();
  };
  if (std::any_of(roles.begin(), roles.end(), may_call)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(path, " may not be called by a holder of this certificate, whose role is ",
                   RoleNames(roles), "; allowed: ", RoleNames(callers)));
}

}  // namespace pompc::rpc
