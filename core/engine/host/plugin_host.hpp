// Finds, checks and loads plugins (Boost.DLL). Nothing is ever unloaded.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/plugin.hpp"
#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// A stage object and the function that destroys it.
template <class T>
using StagePtr = std::unique_ptr<T, void (*)(Stage*)>;

/// A plugin that passed every check.
struct Plugin {
    const PluginDescriptor* descriptor = nullptr;
    std::filesystem::path file;  ///< empty for one that is built in (tests)
    [[nodiscard]] const StageInfo* stage(StageKind kind) const noexcept;
};

/// What `plugins list` shows of one file.
struct PluginStatus {
    std::string name;  ///< from the file name
    std::filesystem::path file;
    const PluginDescriptor* descriptor = nullptr;  ///< null when refused
    std::string refused;                           ///< one line with reason and remedy; empty when accepted
};

/// Thread-safe. Plugins and their descriptors live until the process ends.
class PluginHost {
  public:
    explicit PluginHost(std::filesystem::path directory);
    ~PluginHost();

    /// ../lib/qkd-macsec/plugins beside the running executable.
    static std::filesystem::path default_directory();

    /// Loads libqkd-NAME.so after the checks of name, file, owner, mode, ABI, fingerprint and descriptor.
    Result<const Plugin*> load(std::string_view name);
    /// Every file of the directory, accepted or refused, sorted by name.
    std::vector<PluginStatus> list();
    /// Names of all plugins there seem to be, sorted. Opens nothing.
    [[nodiscard]] std::vector<std::string> names() const;
    /// A plugin linked into this program; for tests.
    Result<const Plugin*> add_builtin(const PluginDescriptor& descriptor);

    /// A new, configured stage object of the stage class T, such as KeySource.
    /// Whatever the plugin throws becomes Error{internal}. `config` must outlive the object.
    template <StageInterface T>
    Result<StagePtr<T>> create(const Plugin& plugin, const ConfigView& config) {
        QKD_TRY(auto stage, create(plugin, T::kind, config));
        return StagePtr<T>(static_cast<T*>(stage.release()), stage.get_deleter());
    }
    /// The same where the kind alone matters.
    Result<StagePtr<Stage>> create(const Plugin& plugin, StageKind kind, const ConfigView& config);

    [[nodiscard]] const std::filesystem::path& directory() const noexcept { return directory_; }

  private:
    struct Impl;
    std::filesystem::path directory_;
    std::unique_ptr<Impl> impl_;
};

}  // namespace qkd::engine
