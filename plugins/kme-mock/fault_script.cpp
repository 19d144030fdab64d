// Reads and plays fault scripts.
#include "fault_script.hpp"

#include <array>
#include <charconv>
#include <string>

namespace qkd::mock {
namespace {

constexpr std::array codes{ErrorCode::unreachable, ErrorCode::auth,     ErrorCode::timeout,   ErrorCode::protocol,
                           ErrorCode::busy,        ErrorCode::rejected, ErrorCode::not_found, ErrorCode::exhausted};

std::string_view cut(std::string_view& text, char separator) {
    const auto end = text.find(separator);
    const std::string_view head = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return head;
}

std::string_view trimmed(std::string_view text) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    while (text.ends_with(' ')) text.remove_suffix(1);
    return text;
}

std::optional<unsigned> number(std::string_view text) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value > 3600000) return std::nullopt;
    return value;
}

std::optional<Call> call_of(std::string_view word) {
    if (word == "mint") return Call::mint;
    if (word == "fetch") return Call::fetch;
    if (word == "status") return Call::status;
    return std::nullopt;
}

std::optional<Fault> fault_of(std::string_view word) {
    Fault fault;
    if (word == "lost") {
        fault.lost = true;
        return fault;
    }
    if (word.starts_with("delay=")) {
        word.remove_prefix(6);
        const bool ms = word.ends_with("ms");
        if (!word.ends_with('s')) return std::nullopt;
        const auto value = number(word.substr(0, word.size() - (ms ? 2 : 1)));
        if (!value) return std::nullopt;
        fault.delay = ms ? std::chrono::milliseconds{*value} : std::chrono::seconds{*value};
        return fault;
    }
    for (const ErrorCode code : codes) {
        if (word == to_string(code)) fault.code = code;
    }
    if (!fault.code) return std::nullopt;
    return fault;
}

}  // namespace

Result<FaultScript> FaultScript::parse(std::string_view text) {
    FaultScript script;
    while (!trimmed(text).empty()) {
        const std::string_view whole = trimmed(cut(text, ','));
        std::string_view rest = whole;
        const auto call = call_of(cut(rest, ':'));
        const auto fault = fault_of(cut(rest, ':'));
        const bool endless = rest.empty() && !whole.ends_with(':');
        const auto times = number(rest);
        if (!call || !fault || (!endless && (!times || *times == 0))) {
            return Error::config(
                "'" + std::string(whole) + "' is no entry of a fault script",
                "CALL:WHAT or CALL:WHAT:TIMES; CALL: mint, fetch, status; WHAT: lost, delay=500ms, unreachable, "
                "auth, timeout, protocol, busy, rejected, not_found, exhausted");
        }
        script.entries_.push_back({*call, *fault, endless ? std::nullopt : times});
    }
    return script;
}

Fault FaultScript::next(Call call) {
    Fault fault;
    bool decided = false;
    for (Entry& entry : entries_) {
        const bool delays = entry.fault.delay.count() != 0;
        if (entry.call != call || (entry.times && *entry.times == 0) || (decided && !delays)) continue;
        if (entry.times) --*entry.times;
        if (delays) {
            fault.delay += entry.fault.delay;
        } else {
            fault.code = entry.fault.code;
            fault.lost = entry.fault.lost;
            decided = true;
        }
    }
    return fault;
}

}  // namespace qkd::mock
