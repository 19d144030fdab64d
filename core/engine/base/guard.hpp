// The one place where an exception becomes an Error: a plugin's, or one of our own.
#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// Calls `call` (which returns a Result) and turns whatever it throws into the Error that `defect` makes of what kind of
/// thing was thrown. The text of the exception is left out: it might hold what must not be seen.
template <class Defect, class Call>
auto catch_all(const Defect& defect, Call&& call) -> std::invoke_result_t<Call> {
    try {
        return std::forward<Call>(call)();
    } catch (const std::exception&) {
        return defect("a std::exception");
    } catch (...) {
        return defect("something that is no std::exception");
    }
}

/// For calls into a plugin.
template <class Call>
auto guard_plugin(const std::string& plugin, Call&& call) -> std::invoke_result_t<Call> {
    const auto defect = [&](const char* thrown) {
        return Error::internal(
            "plugin " + plugin + " threw " + thrown,
            "this is a defect of the plugin; report it to its vendor and run `qkd-macsec plugins test`");
    };
    return catch_all(defect, std::forward<Call>(call));
}

/// For the engine's own code, where one link or one member must not take the others along.
template <class Call>
auto guard_engine(Call&& call) -> std::invoke_result_t<Call> {
    const auto defect = [](const char* thrown) {
        return Error::internal(std::string("qkd-macsec itself threw ") + thrown,
                               "this is a defect of qkd-macsec, not of a plugin; report it with the log of a run with "
                               "--trace. What was left undone here is undone by the next run");
    };
    return catch_all(defect, std::forward<Call>(call));
}

}  // namespace qkd::engine
