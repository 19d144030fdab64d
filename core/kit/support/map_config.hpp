// Configuration values from a map, for plugin objects that are made without a pipeline file.
#pragma once

#include <map>
#include <string>

#include "qkd/sdk/plugin.hpp"

namespace qkd::support {

/// key -> value as in the pipeline file, without quotes; the items of a list are separated by line ends.
using Values = std::map<std::string, std::string>;

/// The values of one scope of a plugin: `values` over the defaults of its field table. Replaces {state} and {sae}.
/// Secrets: "file:PATH", "env:NAME", or "text:VALUE", which only tests have.
class MapConfig final : public ConfigView {
  public:
    MapConfig(const PluginDescriptor& plugin, Scope scope, const Values& values, const std::string& state = "",
              const std::string& sae = "");

    [[nodiscard]] bool has(std::string_view key) const override;
    [[nodiscard]] std::string string(std::string_view key) const override;
    [[nodiscard]] std::int64_t integer(std::string_view key) const override;
    [[nodiscard]] bool boolean(std::string_view key) const override;
    [[nodiscard]] std::chrono::milliseconds duration(std::string_view key) const override;
    [[nodiscard]] std::filesystem::path path(std::string_view key) const override;
    [[nodiscard]] std::vector<std::string> list(std::string_view key) const override;
    [[nodiscard]] Result<SecretBytes> secret(std::string_view key, Context& context) const override;
    [[nodiscard]] std::filesystem::path secret_path(std::string_view key) const override;
    [[nodiscard]] std::string name() const override { return "test"; }

  private:
    Values values_;
};

/// "10s", "500ms", "2m", "1h"; -1 ms when it is none of these.
std::chrono::milliseconds parse_duration(std::string_view text);

}  // namespace qkd::support
