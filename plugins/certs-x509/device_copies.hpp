// Copies of certificates and keys in a directory of a device.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/device.hpp"

namespace qkd::certs {

constexpr unsigned public_mode = 0644;
constexpr unsigned private_mode = 0600;

struct Copy {
    std::string name;
    std::string_view content;  ///< belongs to the caller
    unsigned mode;
};

class DeviceCopies {
  public:
    /// `directory` without a slash at its end (but "/"), relative to the login user's home directory or absolute.
    DeviceCopies(FileAccess& files, std::string directory) : files_(files), directory_(std::move(directory)) {}

    [[nodiscard]] std::string path(const std::string& name) const;
    /// What is there; empty when nothing is.
    Result<SecretBytes> get(Context& context, const std::string& name) const;
    Result<bool> is_there(Context& context, const Copy& copy) const;
    /// Writes what differs and reads it back. True when something was written. The directory is made 0700.
    Result<bool> put(Context& context, const std::vector<Copy>& copies) const;

  private:
    FileAccess& files_;
    std::string directory_;
};

}  // namespace qkd::certs
