// Which links a command works on.
#include <algorithm>
#include <utility>

#include "engine/base/text.hpp"
#include "engine/commands/run.hpp"

namespace qkd::engine {

Result<Pipeline> as_member(Pipeline pipeline, const std::string& device) {
    if (!pipeline.devices.contains(device)) {
        std::string names;
        for (const auto& [name, spec] : pipeline.devices) names += (names.empty() ? "" : ", ") + name;
        return Error{ErrorCode::config, Retry::never,
                     "--as " + printable(device) + " matches no device of " + pipeline.file.string(),
                     "known: " + names};
    }
    std::vector<Link> links;
    for (auto& link : pipeline.links) {
        const auto self = std::find_if(link.members.begin(), link.members.end(),
                                       [&](const Member& member) { return member.device == device; });
        if (self == link.members.end()) continue;
        Member own = std::move(*self);
        link.members.erase(self);
        link.peers = std::exchange(link.members, {});
        link.members.push_back(std::move(own));
        links.push_back(std::move(link));
    }
    if (links.empty()) {
        return Error{ErrorCode::config, Retry::never,
                     "device " + device + " is a member of no link in " + pipeline.file.string(),
                     "name a device that is, or add it to a link"};
    }
    pipeline.links = std::move(links);
    return pipeline;
}

Result<std::vector<std::size_t>> select_links(const Pipeline& pipeline, const RunOptions& options) {
    const auto unknown = [&](const std::string& kind, const std::string& name, const std::string& known) {
        return Error{ErrorCode::config, Retry::never,
                     "--" + kind + " " + name + " matches nothing in " + pipeline.file.string(), "known: " + known};
    };
    std::string link_names;
    for (const auto& link : pipeline.links) link_names += (link_names.empty() ? "" : ", ") + link.name;
    for (const auto& name : options.links) {
        const bool known = std::any_of(pipeline.links.begin(), pipeline.links.end(),
                                       [&](const Link& link) { return link.name == name; });
        if (!known) return unknown("link", name, link_names);
    }
    const auto has_device = [](const Link& link, const std::string& device) {
        return std::any_of(link.members.begin(), link.members.end(),
                           [&](const Member& member) { return member.device == device; });
    };
    for (const auto& name : options.devices) {
        const bool known = std::any_of(pipeline.links.begin(), pipeline.links.end(),
                                       [&](const Link& link) { return has_device(link, name); });
        if (known) continue;
        std::string names;
        for (const auto& [device, spec] : pipeline.devices) names += (names.empty() ? "" : ", ") + device;
        return unknown("device", name, names);
    }

    std::vector<std::size_t> selected;
    for (std::size_t i = 0; i < pipeline.links.size(); ++i) {
        const Link& link = pipeline.links[i];
        const bool all = options.links.empty() && options.devices.empty();
        const bool named = std::find(options.links.begin(), options.links.end(), link.name) != options.links.end();
        const bool of_device = std::any_of(options.devices.begin(), options.devices.end(),
                                           [&](const std::string& device) { return has_device(link, device); });
        if (all || named || of_device) selected.push_back(i);
    }
    return selected;
}

}  // namespace qkd::engine
