// Files of the router on which this process runs.
#pragma once

#include <filesystem>

#include "qkd/sdk/device.hpp"

namespace qkd::junos {

class LocalFiles final : public FileAccess {
  public:
    /// Paths count from `root`; relative ones from `home` below it.
    LocalFiles(std::filesystem::path root, std::filesystem::path home)
        : root_(std::move(root)), home_(std::move(home)) {}

    Result<void> put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) override;
    Result<SecretBytes> get(Context& context, const std::string& path) override;
    Result<std::vector<std::string>> list(Context& context, const std::string& directory) override;
    Result<void> remove(Context& context, const std::string& path) override;
    Result<void> make_directory(Context& context, const std::string& path, unsigned mode) override;

  private:
    /// The place in this file system; config for what is no path, cancelled when the run was interrupted.
    Result<std::filesystem::path> place(Context& context, const std::string& path) const;

    std::filesystem::path root_;
    std::filesystem::path home_;
};

}  // namespace qkd::junos
