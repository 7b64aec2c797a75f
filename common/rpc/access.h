#ifndef POMPC_COMMON_RPC_ACCESS_H_
#define POMPC_COMMON_RPC_ACCESS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/access.pb.h"

// Who may call what, as the option `access` of each method in proto/ says.

namespace pompc::rpc {

using Role = proto::Access::Role;

// The role as flags and messages name it, "actor"; "none" for ROLE_UNSPECIFIED.
std::string RoleName(Role role);

// The roles, as one text: "actor, planner"; "none" if there are none.
std::string RoleNames(const std::vector<Role>& roles);

// The name of type URI by which a certificate says that its holder has the role,
// "pompc:role/actor".
std::string RoleUri(Role role);

// The roles that a certificate with these names of type URI says. Names that are none of ours are
// left out.
std::vector<Role> RolesIn(const std::vector<std::string>& uris);

// OK if a holder of `roles` may call the method of gRPC's path "/package.Service/Method". Everybody
// may ask for health, and operators may use reflection. Otherwise PERMISSION_DENIED naming the
// method, the roles and those that may call it; so is a method that this process does not know.
absl::Status CheckAccess(absl::string_view path, const std::vector<Role>& roles);

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_ACCESS_H_
