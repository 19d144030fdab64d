// Checks the devices' words and lays them over the KME's values.
#include "engine/members/kme_override.hpp"

#include <algorithm>
#include <map>

#include "engine/base/text.hpp"

namespace qkd::engine {
namespace {

class OverriddenView final : public ConfigView {
  public:
    OverriddenView(std::unique_ptr<ConfigView> under, std::map<std::string, std::string, std::less<>> over)
        : under_(std::move(under)), over_(std::move(over)) {}

    [[nodiscard]] bool has(std::string_view key) const override { return over_.contains(key) || under_->has(key); }
    [[nodiscard]] std::string string(std::string_view key) const override {
        const auto found = over_.find(key);
        return found == over_.end() ? under_->string(key) : found->second;
    }
    [[nodiscard]] std::int64_t integer(std::string_view key) const override { return under_->integer(key); }
    [[nodiscard]] bool boolean(std::string_view key) const override { return under_->boolean(key); }
    [[nodiscard]] milliseconds duration(std::string_view key) const override { return under_->duration(key); }
    [[nodiscard]] std::filesystem::path path(std::string_view key) const override { return under_->path(key); }
    [[nodiscard]] std::vector<std::string> list(std::string_view key) const override { return under_->list(key); }
    [[nodiscard]] Result<SecretBytes> secret(std::string_view key, Context& context) const override {
        return under_->secret(key, context);
    }
    [[nodiscard]] std::filesystem::path secret_path(std::string_view key) const override {
        return under_->secret_path(key);
    }
    [[nodiscard]] std::string name() const override { return under_->name(); }

  private:
    std::unique_ptr<ConfigView> under_;
    std::map<std::string, std::string, std::less<>> over_;
};

/// "https://host:443/prefix" with another port.
std::string with_port(const std::string& url, std::uint16_t port) {
    const auto scheme = url.find("://");
    const auto begin = scheme == std::string::npos ? 0 : scheme + 3;
    const auto end = std::min(url.find('/', begin), url.size());
    std::string host = url.substr(begin, end - begin);
    const auto bracket = host.rfind(']');
    const auto colon = host.rfind(':');
    if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) host.erase(colon);
    return url.substr(0, begin) + host + ":" + std::to_string(port) + url.substr(end);
}

bool has_field(const PluginDescriptor& plugin, std::string_view key) {
    for (std::size_t i = 0; i < plugin.field_count; ++i) {
        if (plugin.fields[i].scope == Scope::kme && key == plugin.fields[i].key) return true;
    }
    return false;
}

Error bad_word(const std::string& device, const KmeOverride& said, const std::string& what, const std::string& word,
               const std::string& allowed) {
    return {ErrorCode::config, Retry::never,
            "device " + device + ", interface " + said.interface_name + ": its " + what + " for the KME is '" +
                printable(word) + "'",
            "set it to " + allowed + " on the device, or delete it there"};
}

}  // namespace

std::string KmeChoice::text() const {
    std::string words;
    if (port != 0) words = "port " + std::to_string(port);
    if (!method.empty()) words += (words.empty() ? "method " : ", method ") + method;
    return words;
}

Result<KmeChoice> choose_kme(const std::vector<KmeOverride>& said, const std::string& device, Role role) {
    struct Word {
        const char* what;
        std::string KmeOverride::*value;
        std::vector<std::string> allowed;  ///< empty = a port
    };
    const std::vector<Word> words{{"method", &KmeOverride::method, {"get", "post"}},
                                  {"port", &KmeOverride::port, {}},
                                  {"ca", &KmeOverride::ca, {"true", "false"}},
                                  {"keyid-check", &KmeOverride::keyid_check, {"true", "false"}}};
    KmeChoice choice;
    for (const Word& word : words) {
        const KmeOverride* first = nullptr;
        for (const KmeOverride& one : said) {
            const std::string& value = one.*word.value;
            if (value.empty()) continue;
            if (word.allowed.empty()) {
                const auto port = parse_integer(value);
                if (!port || *port < 1 || *port > 65535) return bad_word(device, one, word.what, value, "1..65535");
                choice.port = static_cast<std::uint16_t>(*port);
            } else if (std::find(word.allowed.begin(), word.allowed.end(), value) == word.allowed.end()) {
                return bad_word(device, one, word.what, value, join(word.allowed, " or "));
            }
            if (first != nullptr && first->*word.value != value) {
                return Error{ErrorCode::config, Retry::never,
                             "device " + device + ": the interfaces " + first->interface_name + " and " +
                                 one.interface_name + " of one link say different things about the KME's " + word.what,
                             "a link has one key from one KME: let its interfaces agree, or delete it on all but one"};
            }
            first = &one;
        }
        if (first == nullptr) continue;
        const std::string& value = first->*word.value;
        if (word.value == &KmeOverride::ca && value == "false") {
            choice.warnings.push_back("interface " + first->interface_name +
                                      " asks not to verify the KME; that is not obeyed: it is verified all the same");
        }
        if (role == Role::initiator) continue;
        if (word.value == &KmeOverride::method) choice.method = value;
        if (word.value == &KmeOverride::keyid_check) choice.check_key_id = value != "false";
    }
    return choice;
}

Result<std::unique_ptr<ConfigView>> overridden(std::unique_ptr<ConfigView> config, const KmeChoice& choice,
                                               const PluginDescriptor& plugin) {
    std::map<std::string, std::string, std::less<>> over;
    const auto refuse = [&](const char* what, const char* field) {
        return Error{ErrorCode::config, Retry::never,
                     config->name() + ": a device names the KME's " + what + ", but plugin " + plugin.name +
                         " has no field '" + field + "'",
                     "delete it on the device, or use a plugin that has the field"};
    };
    if (choice.port != 0) {
        if (!has_field(plugin, "url")) return refuse("port", "url");
        over["url"] = with_port(config->string("url"), choice.port);
    }
    if (!choice.method.empty()) {
        if (!has_field(plugin, "request_form")) return refuse("method", "request_form");
        over["request_form"] = choice.method;
    }
    return std::unique_ptr<ConfigView>(std::make_unique<OverriddenView>(std::move(config), std::move(over)));
}

}  // namespace qkd::engine
