// Reads the device and keeps what is missing.
#include "initial_config.hpp"

#include <arpa/inet.h>

#include <algorithm>

#include "session.hpp"

namespace qkd::junos {
namespace {

bool is_address(const std::string& text) {
    in6_addr buffer{};
    return ::inet_pton(AF_INET, text.c_str(), &buffer) == 1 || ::inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

// A name for other machines to use: an address of the loopback is none.
bool is_loopback(const std::string& address) {
    return address.starts_with("127.") || address == "::1";
}

/// "2026-01-02.03:04" with or without ":05".
bool is_start_time(const std::string& text) {
    const std::string form = "dddd-dd-dd.dd:dd:dd";
    if (text.size() != form.size() && text.size() != form.size() - 3) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        if (form[i] == 'd' ? !digit : text[i] != form[i]) return false;
    }
    return true;
}

}  // namespace

Result<void> JunosInitialConfig::configure(const ConfigView& config) {
    const auto wrong = [&](const std::string& what, const std::string& hint) {
        return Error::config(config.name() + ": " + what, hint);
    };
    options_.kme_macro = config.boolean("kme_macro");
    options_.host_mapping = config.boolean("host_mapping");
    for (const std::string& item : config.list("host_mappings")) {
        const auto equals = std::min(item.find('='), item.size());
        InitialOptions::Mapping mapping{item.substr(0, equals), item.substr(std::min(equals + 1, item.size()))};
        if (mapping.name.empty() || mapping.name.find(' ') != std::string::npos || !is_address(mapping.address))
            return wrong("host_mappings has '" + item + "'", "write \"NAME=ADDRESS\", the address in figures");
        options_.mappings.push_back(std::move(mapping));
    }
    own_address_ = config.string("host");
    if (!is_address(own_address_) || is_loopback(own_address_)) own_address_.clear();

    auto& event = options_.event;
    event.script = config.string("event_script");
    event.user = config.has("event_user") ? config.string("event_user") : config.string("user");
    event.interval = std::chrono::duration_cast<std::chrono::seconds>(config.duration("event_interval"));
    event.start = config.string("event_start");
    if (!event.script.empty() && event.user.empty())
        return wrong("event_script is given, but neither event_user nor user", "say event_user = \"...\"");
    if (event.script.empty() && (config.has("event_user") || config.has("event_start")))
        return wrong("event_user and event_start have no meaning without event_script",
                     "say event_script = \"FILE\", or leave them out");
    if (event.script.find_first_of("/ ") != std::string::npos)
        return wrong("event_script '" + event.script + "' is no file name",
                     "give the name of a file in /var/db/scripts/event");
    if (!event.start.empty() && !is_start_time(event.start))
        return wrong("event_start '" + event.start + "' is no time",
                     "write \"2026-01-02.03:04:05\", the router's local time");
    if (event.start.size() == std::string("2026-01-02.03:04").size()) event.start += ":00";
    return {};
}

Result<void> JunosInitialConfig::probe(Context& /*context*/) {
    return {};
}

Result<std::unique_ptr<ConfigEdits>> JunosInitialConfig::difference(Context& context, DeviceSession& session,
                                                                    const MemberTarget& target) {
    auto* junos = dynamic_cast<JunosSession*>(&session);
    if (junos == nullptr) return Error::internal("a session of another plugin", "use one plugin per device");
    QKD_TRY(auto now, junos->snapshot(context));
    auto edits = std::make_unique<JunosEdits>();
    InitialOptions options = options_;
    if (!own_address_.empty()) options.mappings.push_back({target.device, own_address_});
    edits->statements = plan_initial(now.config, now.zone, target, options);
    return std::unique_ptr<ConfigEdits>(std::move(edits));
}

}  // namespace qkd::junos
