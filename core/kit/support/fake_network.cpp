// How a fake device answers.
#include "kit/support/fake_network.hpp"

#include <algorithm>

namespace qkd::support {
namespace {

constexpr std::size_t largest_file = 1U << 20U;

std::string absolute(const std::string& path) {
    std::string whole = path.starts_with('/') ? path : "/var/home/lab/" + path;
    while (whole.size() > 1 && whole.ends_with('/')) whole.pop_back();
    return whole;
}

std::string parent(const std::string& path) {
    return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
}

}  // namespace

/// One session; the network owns what it shows.
class FakeSession final : public DeviceSession, private FileAccess, private LldpAccess, private ClockAccess {
  public:
    FakeSession(FakeNetwork& network, std::string device) : network_(network), device_(std::move(device)) {
        facts_.host_name = device_;
        facts_.model = "fake";
    }

    const DeviceFacts& facts() const override { return facts_; }
    [[nodiscard]] std::string id() const override { return {}; }
    FileAccess* files() noexcept override { return self().offers_files ? this : nullptr; }
    LldpAccess* lldp() noexcept override { return self().offers_lldp ? this : nullptr; }
    ClockAccess* clock() noexcept override { return self().clock ? this : nullptr; }
    Result<void> close(Context&) override {
        alive_ = false;
        return {};
    }
    [[nodiscard]] bool alive() const noexcept override { return alive_; }

  private:
    FakeDevice& self() noexcept { return network_.devices_.find(device_)->second; }

    std::optional<Error> enter(Context& context, const char* operation, const std::string& argument) {
        const FakeCall call{device_, operation, argument};
        {
            const std::lock_guard lock(network_.mutex_);
            network_.calls_.push_back(call);
        }
        const std::string what = device_ + ": " + operation + " " + argument;
        if (!alive_) return Error::unreachable(what + ": session is closed", "open a new one").retryable();
        if (network_.intercept) {
            if (auto error = network_.intercept(context, call)) return error;
        }
        if (context.stop_requested()) {
            return Error::cancelled(what + ": interrupted", "run again when ready").retryable();
        }
        if (context.remaining().count() == 0) {
            return Error::timeout(what + ": no time left", "raise the stage's timeout").retryable();
        }
        return std::nullopt;
    }

    Result<void> put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) override {
        if (auto error = enter(context, "files.put", path)) return *std::move(error);
        const std::lock_guard lock(network_.mutex_);
        const std::string file = absolute(path);
        if (!self().directories.contains(parent(file))) {
            return Error::not_found(device_ + ": no directory " + parent(file), "make it");
        }
        self().files[file] = {std::string(content.reveal_text()), mode};
        return {};
    }

    Result<SecretBytes> get(Context& context, const std::string& path) override {
        if (auto error = enter(context, "files.get", path)) return *std::move(error);
        const std::lock_guard lock(network_.mutex_);
        const auto found = self().files.find(absolute(path));
        if (found == self().files.end()) {
            return Error::not_found(device_ + ": no file " + path, "put it there first");
        }
        if (found->second.content.size() > largest_file) {
            return Error::rejected(device_ + ": " + path + " is too large", "1 MiB at most");
        }
        return SecretBytes(std::string_view(found->second.content));
    }

    Result<std::vector<std::string>> list(Context& context, const std::string& directory) override {
        if (auto error = enter(context, "files.list", directory)) return *std::move(error);
        const std::lock_guard lock(network_.mutex_);
        std::vector<std::string> names;
        for (const auto& [path, file] : self().files) {
            if (parent(path) == absolute(directory)) names.push_back(path.substr(path.rfind('/') + 1));
        }
        return names;
    }

    Result<void> remove(Context& context, const std::string& path) override {
        if (auto error = enter(context, "files.remove", path)) return *std::move(error);
        const std::lock_guard lock(network_.mutex_);
        self().files.erase(absolute(path));
        return {};
    }

    Result<void> make_directory(Context& context, const std::string& path, unsigned) override {
        if (auto error = enter(context, "files.make_directory", path)) return *std::move(error);
        const std::lock_guard lock(network_.mutex_);
        if (!self().directories.contains(parent(absolute(path)))) {
            return Error::not_found(device_ + ": nothing above " + path, "make it");
        }
        self().directories.insert(absolute(path));
        return {};
    }

    Result<std::string> description(Context& context, const std::string& interface_name) override {
        if (auto error = enter(context, "lldp.description", interface_name)) return *std::move(error);
        const std::lock_guard lock(network_.mutex_);
        const auto found = self().descriptions.find(interface_name);
        return found == self().descriptions.end() ? std::string() : found->second;
    }

    Result<void> describe(Context& context, const std::string& interface_name, const std::string& text) override {
        if (auto error = enter(context, "lldp.describe", interface_name)) return *std::move(error);
        const std::lock_guard lock(network_.mutex_);
        self().descriptions.erase(interface_name);
        if (!text.empty()) self().descriptions[interface_name] = text;
        return {};
    }

    Result<LldpNeighbour> neighbour(Context& context, const std::string& interface_name) override {
        if (auto error = enter(context, "lldp.neighbour", interface_name)) return *std::move(error);
        const std::lock_guard lock(network_.mutex_);
        const auto wire = network_.wires_.find({device_, interface_name});
        if (wire == network_.wires_.end()) {
            return Error::not_found(device_ + ": no neighbour on " + interface_name, "is LLDP on at both ends?")
                .retryable();
        }
        const auto& [device, port] = wire->second;
        const auto& descriptions = network_.devices_[device].descriptions;
        const auto text = descriptions.find(port);
        return LldpNeighbour{interface_name, device, port, text == descriptions.end() ? "" : text->second};
    }

    Result<ClockReading> read(Context& context) override {
        if (auto error = enter(context, "clock.read", "")) return *std::move(error);
        const std::lock_guard lock(network_.mutex_);
        return *self().clock;
    }

    FakeNetwork& network_;
    std::string device_;
    DeviceFacts facts_;
    bool alive_ = true;
};

void FakeNetwork::wire(const std::string& device_a, const std::string& interface_a, const std::string& device_b,
                       const std::string& interface_b) {
    wires_[{device_a, interface_a}] = {device_b, interface_b};
    wires_[{device_b, interface_b}] = {device_a, interface_a};
}

std::unique_ptr<DeviceSession> FakeNetwork::session(const std::string& device) {
    (void)devices_[device];
    return std::make_unique<FakeSession>(*this, device);
}

std::size_t FakeNetwork::count(const std::string& operation) const {
    return static_cast<std::size_t>(
        std::count_if(calls_.begin(), calls_.end(), [&](const FakeCall& call) { return call.operation == operation; }));
}

FakeNetwork::State FakeNetwork::state() const {
    State state;
    for (const auto& [name, device] : devices_) {
        state.files[name] = device.files;
        state.descriptions[name] = device.descriptions;
    }
    return state;
}

}  // namespace qkd::support
