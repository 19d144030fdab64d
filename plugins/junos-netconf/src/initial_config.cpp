// Reads the device and keeps what is missing.
#include "initial_config.hpp"

#include "session.hpp"

namespace qkd::junos {

Result<void> JunosInitialConfig::configure(const ConfigView& config) {
    options_.kme_macro = config.boolean("kme_macro");
    options_.host_mapping = config.boolean("host_mapping");
    return {};
}

Result<void> JunosInitialConfig::probe(Context& /*context*/) {
    return {};
}

Result<std::unique_ptr<ConfigEdits>> JunosInitialConfig::difference(Context& context, DeviceSession& session,
                                                                    const MemberTarget& target) {
    auto* junos = dynamic_cast<JunosSession*>(&session);
    if (junos == nullptr)
        return Error{ErrorCode::internal, Retry::never, "a session of another plugin", "use one plugin per device"};
    auto now = junos->snapshot(context);
    if (!now) return std::move(now).error();
    auto edits = std::make_unique<JunosEdits>();
    edits->statements = plan_initial(now->config, target, options_);
    return std::unique_ptr<ConfigEdits>(std::move(edits));
}

}  // namespace qkd::junos
