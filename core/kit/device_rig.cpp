// Brings a device into the state that a law starts from.
#include "kit/device_rig.hpp"

#include <algorithm>
#include <functional>
#include <random>

#include "qkd/sdk/encoding.hpp"

namespace qkd::conformance {
namespace {

SecretBytes random_bytes(std::size_t size) {
    std::random_device source;
    SecretBytes bytes = SecretBytes::zeros(size);
    for (auto& byte : bytes.writable()) byte = static_cast<std::uint8_t>(source());
    return bytes;
}

}  // namespace

DeviceRig::DeviceRig(Trial& trial) : trial_(trial), connector_(trial.make<Connector>()), commit_(trial.make<Commit>()) {
    Trial::needs(trial.subject().target.has_value(), "there is no device behind this configuration");
    session_ = another_session();
}

DeviceRig::~DeviceRig() {
    support::TestContext context;
    if (!session_->alive()) {
        auto fresh = connector_->open(context);
        if (fresh) session_ = std::move(fresh).value();
    }
    (void)commit_->discard(context, *session_);
    for (const auto& comment : comments_) (void)commit_->revert(context, *session_, comment);
    for (const auto& ckn : mine_) (void)commit_->withdraw(context, *session_, target(), ckn, "conformance: clean up");
}

std::unique_ptr<DeviceSession> DeviceRig::another_session() {
    return trial_.must(connector_->open(trial_.context()), "open");
}

OwnKey DeviceRig::new_key() {
    OwnKey key{std::string(hex_encode(random_bytes(32)).reveal_text()), random_bytes(cak_octets(target().cipher))};
    trial_.guard_secret(key.cak);
    return key;
}

MemberChange DeviceRig::change(const OwnKey& key) {
    MemberChange change;
    NamedKey named{key.ckn, &key.cak, std::nullopt};
    if (target().rollover == Rollover::pre_shared_key) {
        change.pre_shared = named;
        return change;
    }
    Trial::needs(session_->clock() != nullptr, "the device does not tell its time");
    const auto clock = trial_.must(session_->clock()->read(trial_.context()), "reading the clock");
    named.start = std::chrono::floor<std::chrono::minutes>(clock.now) + std::chrono::hours{1};
    change.use_chain = true;
    change.add_to_chain.push_back(named);
    return change;
}

void DeviceRig::bring_up() {
    if (!read().keys.empty()) return;
    Trial::needs(support::find_stage(trial_.plugin(), StageKind::initial_config) != nullptr,
                 "the device is bare and the plugin has no initial-config");
    auto initial = trial_.make<InitialConfig>();
    const auto edits = trial_.must(initial->difference(trial_.context(), *session_, target()), "difference");
    const OwnKey first = new_key();
    MemberChange start = change(first);
    start.initial = edits.get();
    for (auto& key : start.add_to_chain) key.start = *key.start - std::chrono::hours{2};
    const std::string comment = new_comment();
    trial_.must(commit_->stage(trial_.context(), *session_, target(), start), "stage of the first key");
    trial_.must(commit_->commit_confirmed(trial_.context(), *session_, std::chrono::minutes{5}, comment),
                "commit confirmed");
    trial_.must(commit_->confirm(trial_.context(), *session_, comment), "confirm");
    trial_.must(commit_->release(trial_.context(), *session_), "release");
    comments_.clear();  // this one stays
}

MemberState DeviceRig::read() {
    return trial_.must(commit_->read(trial_.context(), *session_, target()), "read");
}

std::string DeviceRig::configured(DeviceSession& session) {
    const MemberState state = trial_.must(commit_->read(trial_.context(), session, target()), "read");
    std::string text = state.association_exists ? "association" : "nothing";
    text += state.uses_chain ? " chain" : "";
    for (const auto& name : state.bound_interfaces) text += " " + name;
    for (const auto& key : state.keys) {
        text += "\n" + key.slot + " " + key.ckn + " " + std::to_string(static_cast<int>(key.place)) + " " +
                std::to_string(std::hash<std::string_view>{}(key.cak.reveal_text()));
        if (key.start) text += " " + std::to_string(key.start->time_since_epoch().count());
    }
    return text;
}

std::string DeviceRig::new_comment() {
    const std::string comment = "conformance " + std::string(hex_encode(random_bytes(8)).reveal_text());
    comments_.push_back(comment);
    return comment;
}

bool has(const MemberState& state, const OwnKey& key) {
    return std::any_of(state.keys.begin(), state.keys.end(), [&](const ConfiguredKey& configured) {
        return configured.ckn == key.ckn && configured.cak.same_as(key.cak);
    });
}

}  // namespace qkd::conformance
