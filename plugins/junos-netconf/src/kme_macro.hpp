// [edit security macsec interfaces NAME apply-macro qkd]: what stands there about the KME, and what ought to.
//
// The macro is for people and scripts on the router, and a way for them to have their say: a value that this program did
// not write itself is theirs. So that it can tell, the macro also holds what was written: written-by-qkd-macsec.
#pragma once

#include <vector>

#include "config_model.hpp"

namespace qkd::junos {

/// The statements that bring one interface's macro up to date. A value of somebody else stays, but kme-host, which only
/// the pipeline decides.
std::vector<Statement> macro_statements(const ConfigModel& now, const std::string& interface_name, const KmeInfo& kme);

/// The values of somebody else, per interface of the target that has any.
std::vector<KmeOverride> read_overrides(const ConfigModel& now, const MemberTarget& target);

}  // namespace qkd::junos
