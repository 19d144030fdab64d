// What "show security mka sessions" says, in each of the forms in which Junos says it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "qkd/sdk/macsec.hpp"
#include "xml.hpp"

namespace qkd::junos {

/// One key on one interface as a device lists it.
struct MkaEntry {
    std::string interface_name;
    std::string ckn;     ///< canonical
    std::string type;    ///< "primary", "preceding", "fallback"; empty when not said
    std::string status;  ///< "live", "active", "in-progress"; empty when not said
    std::string state;   ///< "Secured - Primary"; empty when not said
    bool live_peer = false;
};

/// Text of the levels summary, brief and detail. `understood` is false when it is none of them.
std::vector<MkaEntry> read_mka_text(std::string_view text, bool& understood);
/// An mka-session-information reply as XML, any level.
std::vector<MkaEntry> read_mka_xml(pugi::xml_node root, bool& understood);

/// The state of each of `interfaces`, in their order, from what is live. An interface without a live key is down.
std::vector<InterfaceMka> judge_mka(const std::vector<MkaEntry>& entries, const std::vector<std::string>& interfaces);

}  // namespace qkd::junos
