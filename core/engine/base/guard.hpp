// The one place where an exception of a plugin becomes an Error.
#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include "qkd/sdk/result.hpp"

namespace qkd::engine {

/// Calls `call` (which returns a Result) and turns whatever it throws into Error{internal}. The text of the exception
/// is left out: it might hold what must not be seen.
template <class Call>
auto guard(const char* plugin, Call&& call) -> std::invoke_result_t<Call> {
    const auto thrown = [plugin](const char* kind) {
        return Error{ErrorCode::internal, Retry::never, std::string("plugin ") + plugin + " threw " + kind,
                     "this is a defect of the plugin; report it to its vendor and run `qkd-macsec plugins test`"};
    };
    try {
        return std::forward<Call>(call)();
    } catch (const std::exception&) {
        return thrown("a std::exception");
    } catch (...) {
        return thrown("something that is no std::exception");
    }
}

}  // namespace qkd::engine
