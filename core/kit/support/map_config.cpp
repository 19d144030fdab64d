// Turns texts into the values that a plugin asks for.
#include "kit/support/map_config.hpp"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace qkd::support {
namespace {

std::string replaced(std::string text, std::string_view word, const std::string& by) {
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + by.size())) {
        text.replace(at, word.size(), by);
    }
    return text;
}

}  // namespace

std::chrono::milliseconds parse_duration(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    if (error == std::errc() && unit == "ms") return std::chrono::milliseconds{number};
    if (error == std::errc() && unit == "s") return std::chrono::seconds{number};
    if (error == std::errc() && unit == "m") return std::chrono::minutes{number};
    if (error == std::errc() && unit == "h") return std::chrono::hours{number};
    return std::chrono::milliseconds{-1};
}

MapConfig::MapConfig(const PluginDescriptor& plugin, Scope scope, const Values& values, const std::string& state,
                     const std::string& sae) {
    for (std::size_t i = 0; i < plugin.field_count; ++i) {
        const Field& field = plugin.fields[i];
        if (field.scope == scope && field.default_value != nullptr) values_[field.key] = field.default_value;
    }
    for (const auto& [key, value] : values) values_[key] = value;
    for (auto& [key, value] : values_) value = replaced(replaced(value, "{state}", state), "{sae}", sae);
}

bool MapConfig::has(std::string_view key) const {
    return values_.contains(std::string(key));
}

std::string MapConfig::string(std::string_view key) const {
    const auto found = values_.find(std::string(key));
    return found == values_.end() ? std::string() : found->second;
}

std::int64_t MapConfig::integer(std::string_view key) const {
    const std::string text = string(key);
    std::int64_t number = 0;
    (void)std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

bool MapConfig::boolean(std::string_view key) const {
    return string(key) == "true";
}

std::chrono::milliseconds MapConfig::duration(std::string_view key) const {
    return parse_duration(string(key));
}

std::filesystem::path MapConfig::path(std::string_view key) const {
    return string(key);
}

std::vector<std::string> MapConfig::list(std::string_view key) const {
    std::vector<std::string> items;
    std::string text = string(key);
    while (!text.empty()) {
        const auto end = text.find('\n');
        items.push_back(text.substr(0, end));
        text = end == std::string::npos ? "" : text.substr(end + 1);
    }
    return items;
}

Result<SecretBytes> MapConfig::secret(std::string_view key, Context&) const {
    const std::string reference = string(key);
    if (reference.starts_with("text:")) return SecretBytes(std::string_view(reference).substr(5));
    if (reference.starts_with("env:")) {
        // NOLINTNEXTLINE(concurrency-mt-unsafe): tests do not change their environment
        const char* value = std::getenv(reference.c_str() + 4);
        if (value != nullptr) return SecretBytes(std::string_view(value));
    }
    if (reference.starts_with("file:")) {
        std::ifstream in(reference.substr(5), std::ios::binary);
        if (in) return SecretBytes(std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()));
    }
    return Error::config("no secret behind " + std::string(key), "give file:, env: or text:");
}

std::filesystem::path MapConfig::secret_path(std::string_view key) const {
    const std::string reference = string(key);
    return reference.starts_with("file:") ? reference.substr(5) : std::string();
}

}  // namespace qkd::support
