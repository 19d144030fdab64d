// Owner and mode checks of a file and of all directories above it.
#include "engine/host/file_trust.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;

Error refused(std::string what, std::string hint, ErrorCode code = ErrorCode::config) {
    return {code, Retry::never, std::move(what), std::move(hint)};
}

/// The checks that file and directories share.
Result<void> check_owner_and_mode(const fs::path& path, const struct stat& info) {
    const bool directory = S_ISDIR(info.st_mode);
    const std::string kind = directory ? "directory " : "file ";
    if (info.st_uid != 0 && info.st_uid != geteuid()) {
        return refused(kind + path.string() + " belongs to user " + std::to_string(info.st_uid),
                       "plugins must belong to root or to the user who runs them: chown root " + path.string());
    }
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) == 0) return {};
    if (directory && info.st_uid == 0 && (info.st_mode & S_ISVTX) != 0) return {};
    const bool group = (info.st_mode & S_IWGRP) != 0;
    const bool other = (info.st_mode & S_IWOTH) != 0;
    return refused(kind + path.string() + " is writable by " + (group ? "its group" : "") +
                       (group && other ? " and " : "") + (other ? "others" : ""),
                   "chmod go-w " + path.string());
}

Result<void> check_component(const fs::path& path) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) {
        return refused("cannot examine " + path.string() + ": " + std::strerror(errno),
                       "make it readable for the user who runs qkd-macsec");
    }
    return check_owner_and_mode(path, info);
}

}  // namespace

Result<fs::path> check_trusted_file(const fs::path& directory, const std::string& name) {
    std::error_code failure;
    const fs::path resolved = fs::canonical(directory, failure);
    if (failure) {
        return refused("plugin directory " + directory.string() + ": " + failure.message(),
                       "install the plugins there or name their directory with --plugin-dir", ErrorCode::not_found);
    }
    const fs::path file = resolved / name;
    struct stat info {};
    if (lstat(file.c_str(), &info) != 0) {
        const bool absent = errno == ENOENT;
        return refused("no file " + file.string() + (absent ? "" : std::string(": ") + std::strerror(errno)),
                       "install the plugin there or name its directory with --plugin-dir", ErrorCode::not_found);
    }
    if (S_ISLNK(info.st_mode)) {
        return refused(file.string() + " is a symbolic link", "put the plugin's file itself there: cp -L");
    }
    if (!S_ISREG(info.st_mode)) {
        return refused(file.string() + " is no regular file", "put the plugin's shared library there");
    }
    for (fs::path above = resolved;; above = above.parent_path()) {
        if (auto good = check_component(above); !good) return std::move(good).error();
        if (above == above.parent_path()) break;
    }
    if (auto good = check_owner_and_mode(file, info); !good) return std::move(good).error();
    return file;
}

}  // namespace qkd::engine
