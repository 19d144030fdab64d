// The user as whom this process runs, who is the router's user where a local command opens the session.
#pragma once

#include <filesystem>
#include <string>

namespace qkd::junos {

struct LocalUser {
    std::string name;            ///< empty when the system does not know the user
    std::filesystem::path home;  ///< "/" then
};

LocalUser local_user();

}  // namespace qkd::junos
