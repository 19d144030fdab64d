// From the user database.
#include "local_user.hpp"

#include <pwd.h>
#include <unistd.h>

#include <array>

namespace qkd::junos {

LocalUser local_user() {
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> buffer{};
    if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
        return {"", "/"};
    return {found->pw_name, found->pw_dir};
}

}  // namespace qkd::junos
