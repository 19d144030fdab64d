// keyid-lldp: the notice stands in the interface descriptions of the link, where the neighbour hears it by LLDP. Members
// that are not next to the initiator hear it from the member before them.
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "notice_text.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

using namespace qkd;
using keyid_lldp::join;
using keyid_lldp::split;

Result<LldpAccess*> lldp_of(const TransportEnd& end) {
    LldpAccess* lldp = end.session == nullptr ? nullptr : end.session->lldp();
    if (lldp != nullptr) return lldp;
    return Error{ErrorCode::unsupported, Retry::never,
                 end.device + (end.session == nullptr ? ": no session" : ": this session knows nothing of LLDP"),
                 "keyid-lldp needs a device plugin that provides connect:lldp"};
}

/// Puts the notice behind the operator's own text of these interfaces. First all texts are made and measured, then
/// those that are not there yet are written, each by a commit of its own. `before` keeps what they replace.
Result<void> publish(Context& context, LldpAccess& lldp, const TransportEnd& self,
                     const std::vector<std::string>& interfaces, const KeyIdNotice& notice,
                     std::map<std::string, std::string>& before) {
    struct Text {
        const std::string* interface_name;
        std::string wanted;
    };
    std::vector<Text> changes;
    for (const std::string& name : interfaces) {
        auto present = lldp.description(context, name);
        if (!present) return std::move(present).error();
        auto wanted = join(split(*present).own, notice, self.device + " " + name);
        if (!wanted) return std::move(wanted).error();
        if (*wanted != *present) {
            before.emplace(name, *present);
            changes.push_back({&name, *std::move(wanted)});
        }
    }
    for (const Text& change : changes) {
        if (auto set = lldp.describe(context, *change.interface_name, change.wanted); !set) return set;
    }
    return {};
}

class LldpTransport final : public KeyIdTransport {
  public:
    Result<void> configure(const ConfigView&) override { return {}; }
    Result<void> probe(Context&) override {
        return {};
    }  // there is no session to probe with; the connector's is probed

    Result<void> announce(Context& context, const TransportEnd& self, std::span<const TransportEnd>,
                          const KeyIdNotice& notice) override {
        auto lldp = lldp_of(self);
        if (!lldp) return std::move(lldp).error();
        return publish(context, **lldp, self, self.interfaces, notice, before_);
    }

    Result<KeyIdNotice> receive(Context& context, const TransportEnd& self, const std::string& link,
                                std::uint64_t after) override {
        auto lldp = lldp_of(self);
        if (!lldp) return std::move(lldp).error();
        std::vector<std::optional<KeyIdNotice>> heard;  // one for each interface
        std::optional<KeyIdNotice> newest;
        std::optional<Error> failure;
        std::string account;  // what was heard, for the message when it is not enough
        for (const std::string& name : self.interfaces) {
            account += (account.empty() ? "" : ", ") + name;
            heard.emplace_back();
            auto neighbour = (*lldp)->neighbour(context, name);
            if (!neighbour) {
                account += " hears nobody";
                if (neighbour.error().code != ErrorCode::not_found && !failure) failure = std::move(neighbour).error();
                continue;
            }
            account += " hears " + neighbour->system_name;
            auto notice = split(neighbour->port_description).notice;
            if (!notice || notice->link != link) continue;
            account += " with generation " + std::to_string(notice->generation);
            if (!newest || age(*notice) > age(*newest)) newest = notice;
            heard.back() = std::move(notice);
        }
        if (!newest || newest->generation <= after) {
            if (failure) return *std::move(failure);
            return Error{ErrorCode::not_found, Retry::safe,
                         self.device + ": no notice of link " + link + " above generation " + std::to_string(after) +
                             " (" + account + ")",
                         "LLDP must run on the link's interfaces outside the encryption and send the interface "
                         "description; it has its own interval"};
        }
        std::vector<std::string> unaware;  // interfaces behind which this notice is not known
        for (std::size_t i = 0; i < heard.size(); ++i) {
            if (heard[i] && age(*heard[i]) == age(*newest) && *heard[i] != *newest) {
                return Error{ErrorCode::conflict, Retry::safe,
                             self.device + ": neighbours name different keys for generation " +
                                 std::to_string(newest->generation) + " of link " + link + " (" + account + ")",
                             "remove what follows the last | of the descriptions of this link's interfaces"};
            }
            if (heard[i] != newest) unaware.push_back(self.interfaces[i]);
        }
        if (auto relayed = publish(context, **lldp, self, unaware, *newest, before_); !relayed) {
            return std::move(relayed).error();
        }
        return *std::move(newest);
    }

    // LLDP is one-way, and an answer in the own description would cost another commit. Off-box the engine knows anyway.
    Result<void> acknowledge(Context&, const TransportEnd&, const KeyIdNotice&) override { return {}; }

    Result<void> retract(Context& context, const TransportEnd& self, const std::string& link) override {
        auto lldp = lldp_of(self);
        if (!lldp) return std::move(lldp).error();
        std::optional<Error> failure;
        for (const std::string& name : self.interfaces) {  // all of them, even if one fails
            auto restored = restore(context, **lldp, name, link);
            if (!restored && !failure) failure = std::move(restored).error();
        }
        if (failure) return *std::move(failure);
        return {};
    }

  private:
    static std::pair<std::uint64_t, std::uint64_t> age(const KeyIdNotice& notice) {
        return {notice.generation, notice.sequence};
    }

    Result<void> restore(Context& context, LldpAccess& lldp, const std::string& name, const std::string& link) {
        auto present = lldp.description(context, name);
        if (!present) return std::move(present).error();
        const auto parts = split(*present);
        if (!parts.notice || parts.notice->link != link) return {};
        // What stood there before this rotation, which may be the notice of an earlier one; else the operator's own text.
        const auto before = before_.find(name);
        return lldp.describe(context, name, before != before_.end() ? before->second : parts.own);
    }

    std::map<std::string, std::string> before_;  ///< interface -> description that our notice replaced
};

constexpr std::array stages{StageInfo{StageKind::key_id_transport, "lldp commits", "connect:lldp",
                                      &create_stage<LldpTransport>, &destroy_stage}};
// What another transport's table holds stays in place when one word switches a link from one to the other.
constexpr std::array fields{
    Field{Scope::key_ids, FieldType::string, "directory", false, nullptr, nullptr, "Taken and not used."}};

}  // namespace

QKD_PLUGIN("keyid-lldp", "1.0.0", "qkd-macsec", "Carries key_IDs in interface descriptions, heard by LLDP", "stable",
           stages, fields)
