// Writes only what differs: a file that is equal keeps its time, and nobody who watches it is woken.
#include "device_copies.hpp"

#include <utility>

namespace qkd::certs {
namespace {

/// The directory, and those above it as far as they are missing.
Result<void> make_directories(Context& context, FileAccess& files, const std::string& directory) {
    auto made = files.make_directory(context, directory, 0700);
    const auto slash = directory.rfind('/');
    if (made || slash == std::string::npos || slash == 0) return made;
    if (auto above = make_directories(context, files, directory.substr(0, slash)); !above) return above;
    return files.make_directory(context, directory, 0700);
}

}  // namespace

std::string DeviceCopies::path(const std::string& name) const {
    return directory_ + (directory_ == "/" ? "" : "/") + name;
}

Result<SecretBytes> DeviceCopies::get(Context& context, const std::string& name) const {
    auto there = files_.get(context, path(name));
    if (!there && there.error().code == ErrorCode::not_found) return SecretBytes();
    return there;
}

Result<bool> DeviceCopies::is_there(Context& context, const Copy& copy) const {
    auto there = get(context, copy.name);
    if (!there) return std::move(there).error();
    return there->same_as(SecretBytes(copy.content));
}

Result<bool> DeviceCopies::put(Context& context, const std::vector<Copy>& copies) const {
    bool changed = false;
    for (const Copy& copy : copies) {
        auto there = is_there(context, copy);
        if (!there) return there;
        if (*there) continue;
        if (!changed) {
            if (auto made = make_directories(context, files_, directory_); !made) return std::move(made).error();
        }
        if (auto put = files_.put(context, path(copy.name), SecretBytes(copy.content), copy.mode); !put) {
            return std::move(put).error();
        }
        there = is_there(context, copy);
        if (!there) return there;
        if (!*there) {
            return Error{ErrorCode::conflict, Retry::safe,
                         path(copy.name) + " on the device is not what was written to it",
                         "does something else write there, or is the device's file system full?"};
        }
        changed = true;
    }
    return changed;
}

}  // namespace qkd::certs
