// The parts of a device's configuration that matter here, flat: one entry per statement, in the words of set lines.
#pragma once

#include <string>
#include <vector>

#include "edits.hpp"
#include "junos_time.hpp"
#include "qkd/sdk/macsec.hpp"
#include "xml.hpp"

namespace qkd::junos {

/// One statement as configured. An inactive one begins with the word "inactive:", so that it is never taken for real.
struct Entry {
    std::vector<std::string> words;  ///< without the leaf's value
    std::string value;               ///< of a leaf; empty for a secret
    bool secret = false;
    SecretBytes hidden;  ///< clear text of a secret; empty when the device does not show it
};

class ConfigModel {
  public:
    ConfigModel() = default;
    /// `configuration` is the element of that name, or a null node (nothing configured).
    explicit ConfigModel(pugi::xml_node configuration);

    [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }
    /// The value of a leaf; empty when it is not there.
    [[nodiscard]] std::string value(const std::vector<std::string>& words) const;
    [[nodiscard]] const Entry* leaf(const std::vector<std::string>& words) const;
    /// Something is configured there or below.
    [[nodiscard]] bool has(const std::vector<std::string>& words) const;
    /// The distinct words that follow `words`, in the order of the configuration; inactive ones as well if asked for.
    [[nodiscard]] std::vector<std::string> below(const std::vector<std::string>& words, bool inactive = false) const;

    /// True when the statement would change nothing. A secret not known yet always changes something.
    [[nodiscard]] bool satisfies(const Statement& statement, const DeviceZone& zone) const;

  private:
    void collect(pugi::xml_node node, std::vector<std::string>& words, const std::string& parent, std::size_t depth,
                 bool inactive);
    std::vector<Entry> entries_;
};

/// The keys of a member and how its interfaces are bound (MemberState without pending, comments and MKA).
void fill_state(const ConfigModel& model, const DeviceZone& zone, const MemberTarget& target, MemberState& state);

/// Slot of the chain key with this CKN; empty when there is none.
std::string find_slot(const ConfigModel& model, const std::string& key_chain, const std::string& ckn);

/// The statements that make `change` of what is configured now: exactly what differs, nothing that is there already.
/// With `preview`, unknown names, keys and times stand as placeholders; without, they are an error.
Result<std::vector<Statement>> plan_change(const ConfigModel& now, const DeviceZone& zone, const MemberTarget& target,
                                           const MemberChange& change, bool preview);

/// What a member needs apart from keys and does not have yet.
struct InitialOptions {
    struct Mapping {
        std::string name;
        std::string address;
    };
    /// What runs this program on the router itself, by [edit event-options].
    struct Event {
        std::string script;  ///< file in /var/db/scripts/event; empty = nothing is written
        std::string user;
        std::chrono::seconds interval{600};
        std::string start;  ///< "2026-01-02.03:04:05" in the router's zone; empty = at once
    };
    bool kme_macro = true;
    bool host_mapping = true;
    std::vector<Mapping> mappings{};  ///< besides the KME's
    Event event{};
};
std::vector<Statement> plan_initial(const ConfigModel& now, const DeviceZone& zone, const MemberTarget& target,
                                    const InitialOptions& options);

/// Compares the candidate with what `statements` must have made of `before`. Empty when it is exactly that, else the
/// set-line words of the first difference (no secret).
std::string find_deviation(const ConfigModel& before, const ConfigModel& candidate, const DeviceZone& zone,
                           const std::vector<Statement>& statements);

/// The first change in a "compare" text (as from show | compare) that is none of `statements`; empty when all are.
std::string find_foreign_change(std::string_view diff, const std::vector<Statement>& statements);

}  // namespace qkd::junos
