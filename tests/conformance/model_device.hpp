// A plugin of a device that exists in memory only: connect, initial-config and commit, done as the laws demand, and
// wrongly on demand. It proves that the laws can be kept and that they notice.
#pragma once

#include <chrono>

#include "qkd/sdk/plugin.hpp"

namespace qkd::conformance {

/// What the model does wrong. One at a time.
enum class Lie : std::uint8_t {
    none,
    discard_keeps,        ///< discard leaves the candidate and the lock
    lock_ignored,         ///< stages although another session holds the lock
    pending_ignored,      ///< stages, and by that confirms, while a foreign commit is pending
    revert_does_nothing,  ///< says ok
    late_confirm_is_ok,   ///< confirm of what is not pending any more says ok
    confirm_keeps_lock,   ///< a refused confirm leaves the lock taken
    break_does_nothing,   ///< break_lock says that it did
    breaks_any_lock,      ///< break_lock does not look whose lock it is
    break_keeps_change,   ///< what the broken session had staged is committed
    preview_shows_key,    ///< the CAK stands in the preview
    wrong_cak,            ///< truncates the CAK
    withdraw_takes_more,  ///< deletes the whole chain
    never_expires,        ///< the unconfirmed commit stays
    wrong_start,          ///< the start-time is an hour off
    not_idempotent,       ///< initial-config always wants something
    takes_any_session,    ///< does not look whose session it is
    hides_an_interface,   ///< shows MKA of all interfaces but the last
    claims_files          ///< the descriptor provides files, sessions do not
};

/// The descriptor of the model; `lie` holds for everything done afterwards.
const PluginDescriptor& model_device(Lie lie);
/// Empties the device and its clock starts anew.
void reset_model();
/// Moves the model's clock.
void advance_model(std::chrono::seconds time);

}  // namespace qkd::conformance
