// From the verdict to the word of the report.
#include "engine/protocol/conclude.hpp"

namespace qkd::engine {
namespace {

LinkResult after_success(const Verdict& verdict) noexcept {
    if (verdict.arrival == Arrival::withdrawn) return LinkResult::reverted;
    if (verdict.arrival == Arrival::nowhere) return LinkResult::failed;
    if (verdict.shortcoming) return LinkResult::degraded;
    switch (verdict.arrival) {
        case Arrival::unchanged: return LinkResult::unchanged;
        case Arrival::pending: return LinkResult::pending;
        default: return LinkResult::rotated;
    }
}

LinkResult after_failure(const Verdict& verdict) noexcept {
    if (verdict.past_return) return LinkResult::degraded;
    if (verdict.kept) {
        return verdict.stands_somewhere || !verdict.undo_proven ? LinkResult::degraded : LinkResult::reverted;
    }
    return verdict.written && verdict.undo_proven ? LinkResult::reverted : LinkResult::failed;
}

}  // namespace

LinkResult conclude(const Verdict& verdict) noexcept {
    if (verdict.closed) return LinkResult::failed;
    return verdict.failed ? after_failure(verdict) : after_success(verdict);
}

bool is_resolved(const Verdict& verdict) noexcept {
    return !verdict.failed || verdict.undo_proven;
}

bool intent_is_void(const Verdict& verdict) noexcept {
    if (!verdict.failed) return false;
    const LinkResult result = after_failure(verdict);
    return result == LinkResult::reverted || (result == LinkResult::failed && !verdict.written);
}

const char* to_string(LinkResult result) noexcept {
    switch (result) {
        case LinkResult::rotated: return "rotated";
        case LinkResult::unchanged: return "unchanged";
        case LinkResult::pending: return "pending";
        case LinkResult::degraded: return "degraded";
        case LinkResult::reverted: return "reverted";
        case LinkResult::failed: return "failed";
    }
    return "?";
}

}  // namespace qkd::engine
