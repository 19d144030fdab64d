// The word list by which a mock KME is told to fail: "mint:exhausted:2,fetch:not_found:1,mint:delay=500ms".
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "qkd/sdk/result.hpp"

namespace qkd::mock {

enum class Call : std::uint8_t { status, mint, fetch };

/// What happens to one call.
struct Fault {
    std::chrono::milliseconds delay{0};
    std::optional<ErrorCode> code;  ///< fails with this, and nothing is done
    bool lost = false;              ///< it is done, but its answer is lost
};

/// Entries CALL:WHAT or CALL:WHAT:TIMES, separated by commas. CALL is mint, fetch or status; WHAT an error code, "lost"
/// or "delay=" with ms or s; without TIMES it happens on every call. Entries of one call take turns: the first that has
/// times left decides; delays come on top.
class FaultScript {
  public:
    static Result<FaultScript> parse(std::string_view text);
    /// Counts this call.
    Fault next(Call call);

  private:
    struct Entry {
        Call call;
        Fault fault;
        std::optional<unsigned> times;
    };
    std::vector<Entry> entries_;
};

}  // namespace qkd::mock
