// Scripted faults: what a test wants to go wrong, and when.
#include "faults.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "device.hpp"

namespace qkd::junossim {

namespace {
constexpr std::array<std::string_view, 9> actions = {"delay", "drop",        "error",     "garbage", "hang",
                                                     "crash", "crash-after", "lock-held", "reboot"};
}

Faults::Faults(std::filesystem::path state, std::optional<std::filesystem::path> file)
    : state_(std::move(state)), file_(file.value_or(state_ / "faults.json")), required_(file.has_value()) {}

std::vector<Fault> Faults::match(const std::string& rpc, const std::string& commit_kind, bool synchronize) const {
    std::vector<Fault> found;
    const auto text = read_file(file_);
    if (!text && required_) throw SimError("cannot read " + file_.string());
    if (!text) return found;
    try {
        const auto all = nlohmann::json::parse(*text).at("faults");
        std::optional<Device> device;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const auto& f = all[i];
            const auto name = f.at("rpc").get<std::string>();
            const auto action = f.at("action").get<std::string>();
            if (std::find(actions.begin(), actions.end(), action) == actions.end()) {
                throw SimError(file_.string() + ": unknown action " + action);
            }
            const bool is_call = rpc != "connect" && rpc != "hello" && rpc != "sftp" && rpc != "scp";
            if (name != rpc && !(name == "*" && is_call)) continue;
            if (f.contains("when") && f["when"].value("commit_kind", commit_kind) != commit_kind) continue;
            if (f.contains("when") && f["when"].value("synchronize", synchronize) != synchronize) continue;
            if (f.contains("nth")) {
                if (!device) device.emplace(state_);
                const auto counter = std::to_string(i) + ":" + std::to_string(stable_hash(f.dump()));
                if (device->count(counter) != f["nth"].get<int>() && !f.value("every", false)) continue;
            }
            found.push_back({action == "crash-after" ? "crash" : action,
                             action == "crash-after" || f.value("phase", std::string("before")) == "after",
                             f.value("ms", 0L), f.value("message", std::string("scripted fault"))});
        }
    } catch (const nlohmann::json::exception& e) {
        throw SimError(file_.string() + ": " + e.what());
    }
    return found;
}

}  // namespace qkd::junossim
