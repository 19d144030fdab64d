// Reader of that refusal.
#include "lock_holder.hpp"

#include "xml.hpp"

namespace qkd::junos {

std::optional<LockHolder> read_lock_holder(std::string_view text) {
    constexpr std::string_view lead = "locked by:";
    constexpr std::string_view mark = "(pid ";
    const auto begin = text.find(lead);
    if (begin == std::string_view::npos) return std::nullopt;
    text = trim(text.substr(begin + lead.size()));
    LockHolder holder{std::string(text.substr(0, text.find_first_of(" \t\n"))), {}};
    const auto pid = text.find(mark);
    if (pid == std::string_view::npos || pid < holder.user.size()) return std::nullopt;
    text.remove_prefix(pid + mark.size());
    const auto end = text.find(')');
    holder.pid = text.substr(0, end);
    const bool digits = end != std::string_view::npos && !holder.pid.empty() &&
                        holder.pid.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || text.find(mark) != std::string_view::npos) return std::nullopt;
    return holder;
}

}  // namespace qkd::junos
