// The law of deadline and cancellation, tried on a call to a peer that never answers.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "kit/silent_peer.hpp"
#include "kit/trial.hpp"

namespace qkd::conformance {

/// `call(T&, Context&)` must come back with `timeout` within the grace of its deadline.
template <class T, class Call>
void honours_deadline(Trial& trial, const std::string& name, Call&& call) {
    Trial::needs(static_cast<bool>(trial.subject().config_at_port), "no configuration for a peer that never answers");
    const SilentPeer peer;
    const support::PluginObject<T> stage(trial.plugin(), trial.subject().config_at_port(T::kind, peer.port()));
    auto& context = trial.context(std::chrono::milliseconds{300});
    const auto result = call(*stage, context);
    trial.late(std::chrono::steady_clock::now() - context.deadline(), name + " at its deadline");
    (void)trial.must_fail(result, name + " to a silent peer", {ErrorCode::timeout});
    trial.expect(peer.was_called(), name + " did not even call its peer");
}

/// The same for an interruption that comes while the call waits.
template <class T, class Call>
void honours_stop(Trial& trial, const std::string& name, Call&& call) {
    Trial::needs(static_cast<bool>(trial.subject().config_at_port), "no configuration for a peer that never answers");
    auto& context = trial.context();
    std::atomic<std::chrono::steady_clock::rep> stopped{0};
    const SilentPeer peer([&] {
        stopped = std::chrono::steady_clock::now().time_since_epoch().count();
        context.request_stop();
    });
    const support::PluginObject<T> stage(trial.plugin(), trial.subject().config_at_port(T::kind, peer.port()));
    const auto result = call(*stage, context);
    const std::chrono::steady_clock::time_point since{std::chrono::steady_clock::duration{stopped.load()}};
    Trial::require(peer.was_called(), name + " did not even call its peer");
    trial.late(std::chrono::steady_clock::now() - since, name + " after a stop");
    (void)trial.must_fail(result, name + " after a stop", {ErrorCode::cancelled});
}

}  // namespace qkd::conformance
