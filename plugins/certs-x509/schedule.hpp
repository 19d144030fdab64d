// When certificates that still work may be renewed: the hour of the Python script.
#pragma once

#include <chrono>

namespace qkd::certs {

/// From 00:00 until 01:00 (that minute included), local time of this machine, on days 1, 6, 11, 16, 21, 26 and 31.
bool in_window(std::chrono::sys_seconds now);
/// When the window that is open, or else the next one, closes.
std::chrono::sys_seconds window_closes(std::chrono::sys_seconds now);

}  // namespace qkd::certs
