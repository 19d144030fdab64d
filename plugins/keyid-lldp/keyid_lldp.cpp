// keyid-lldp: the notice stands in the interface descriptions of the link, where the neighbour hears it by LLDP. Members
// that are not next to the initiator hear it from the member before them.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "notice_text.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/net/notice.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

using namespace qkd;
using keyid_lldp::Description;
using keyid_lldp::join;
using keyid_lldp::link_of;
using keyid_lldp::split;

Result<LldpAccess*> lldp_of(const TransportEnd& end) {
    LldpAccess* lldp = end.session == nullptr ? nullptr : end.session->lldp();
    if (lldp != nullptr) return lldp;
    return Error{ErrorCode::unsupported, Retry::never,
                 end.device + (end.session == nullptr ? ": no session" : ": this session knows nothing of LLDP"),
                 "keyid-lldp needs a device plugin that provides connect:lldp"};
}

/// Puts `sealed` behind the operator's own text of these interfaces. First all texts are made and measured, then those
/// that are not there yet are written, each by a commit of its own. `before` keeps what they replace.
Result<void> publish(Context& context, LldpAccess& lldp, const std::string& device,
                     const std::vector<std::string>& interfaces, const std::string& sealed,
                     std::map<std::string, std::string>& before) {
    struct Text {
        const std::string* interface_name;
        std::string wanted;
    };
    std::vector<Text> changes;
    for (const std::string& name : interfaces) {
        auto present = lldp.description(context, name);
        if (!present) return std::move(present).error();
        auto wanted = join(split(*present).own, sealed, device + " " + name);
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

/// What one interface hears.
struct Heard {
    std::string interface_name;
    std::string sealed;                 ///< of a notice about this link
    std::optional<KeyIdNotice> notice;  ///< the same, once verified
};

class LldpTransport final : public KeyIdTransport {
  public:
    Result<void> configure(const ConfigView& config) override {
        config_ = &config;
        return {};
    }
    Result<void> probe(Context&) override {
        return {};
    }  // there is no session to probe with; the connector's is probed

    Result<void> announce(Context& context, const TransportEnd& self, std::span<const TransportEnd>,
                          const KeyIdNotice& notice) override {
        auto lldp = lldp_of(self);
        if (!lldp) return std::move(lldp).error();
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        auto sealed = notice::seal(notice, *secret);
        if (!sealed) return std::move(sealed).error();
        return publish(context, **lldp, self.device, self.interfaces, *sealed, before_);
    }

    Result<KeyIdNotice> receive(Context& context, const TransportEnd& self, const std::string& link,
                                const NoticeFilter& wanted) override {
        auto lldp = lldp_of(self);
        if (!lldp) return std::move(lldp).error();
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        std::string account;
        std::optional<Error> failure;
        const auto heard = listen(context, **lldp, self, link, *secret, account, failure);
        const Heard* newest = nullptr;
        for (const Heard& one : heard) {
            if (one.notice && (newest == nullptr || one.notice->mark() > newest->notice->mark())) newest = &one;
        }
        if (newest == nullptr) {
            if (failure) return *std::move(failure);
            return Error{ErrorCode::not_found, Retry::safe,
                         self.device + ": no notice of link " + link + " (" + account + ")",
                         "LLDP must run on the link's interfaces outside the encryption and send the interface "
                         "description; it has its own interval"};
        }
        if (auto good = notice::judge(*newest->notice, link, wanted,
                                      self.device + ": what " + newest->interface_name + " hears");
            !good) {
            Error& error = good.error();
            if (error.code == ErrorCode::not_found && failure) return *std::move(failure);
            error.what += " (" + account + ")";
            return std::move(error);
        }
        std::vector<std::string> unaware;  // interfaces behind which this notice is not known
        for (const Heard& one : heard) {
            const bool same_age = one.notice && one.notice->mark() == newest->notice->mark();
            if (same_age && *one.notice != *newest->notice) {
                return Error{ErrorCode::conflict, Retry::safe,
                             self.device + ": neighbours name different keys for generation " +
                                 std::to_string(newest->notice->generation) + " of link " + link + " (" + account + ")",
                             "remove what follows the last | of the descriptions of this link's interfaces"};
            }
            if (!same_age) unaware.push_back(one.interface_name);
        }
        if (auto relayed = publish(context, **lldp, self.device, unaware, newest->sealed, before_); !relayed) {
            return std::move(relayed).error();
        }
        return *newest->notice;
    }

    Result<void> acknowledge(Context& context, const TransportEnd& self, const KeyIdNotice& notice) override {
        if (!config_->boolean("acknowledge")) return {};
        auto lldp = lldp_of(self);
        if (!lldp) return std::move(lldp).error();
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        auto sealed = notice::seal(notice::Acknowledgement{notice.link, notice.mark(), self.device}, *secret);
        if (!sealed) return std::move(sealed).error();
        std::string account;
        std::optional<Error> failure;
        for (const Heard& one : listen(context, **lldp, self, notice.link, *secret, account, failure)) {
            // One answer is enough, on an interface where the asker listens.
            if (one.notice == notice)
                return publish(context, **lldp, self.device, {one.interface_name}, *sealed, before_);
        }
        if (failure) return *std::move(failure);
        return Error{ErrorCode::not_found, Retry::safe,
                     self.device + ": no neighbour shows the notice to acknowledge (" + account + ")",
                     "the initiator has taken it back or replaced it"};
    }

    Result<std::vector<std::string>> acknowledgements(Context& context, const TransportEnd& self,
                                                      std::span<const TransportEnd> responders,
                                                      const KeyIdNotice& notice) override {
        if (!config_->boolean("acknowledge")) {
            return Error{ErrorCode::unsupported, Retry::never,
                         config_->name() + ": keyid-lldp carries no acknowledgements as it is configured",
                         "set acknowledge = true in the key_ids table"};
        }
        auto lldp = lldp_of(self);
        if (!lldp) return std::move(lldp).error();
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        std::vector<std::string> devices;
        std::optional<Error> failure;
        for (const std::string& name : self.interfaces) {
            auto neighbour = (*lldp)->neighbour(context, name);
            if (!neighbour) {
                if (neighbour.error().code != ErrorCode::not_found && !failure) failure = std::move(neighbour).error();
                continue;
            }
            const Description parts = split(neighbour->port_description);
            if (!parts.has_acknowledgement() || link_of(parts.sealed) != notice.link) continue;
            auto answer = notice::open_acknowledgement(parts.sealed, *secret, self.device + ": the answer on " + name);
            if (!answer) {
                if (!failure) failure = std::move(answer).error();
                continue;
            }
            const bool known = std::any_of(responders.begin(), responders.end(),
                                           [&](const TransportEnd& one) { return one.device == answer->device; });
            const bool listed = std::find(devices.begin(), devices.end(), answer->device) != devices.end();
            if (answer->mark == notice.mark() && known && !listed) devices.push_back(answer->device);
        }
        if (failure && devices.size() < responders.size()) return *std::move(failure);
        return devices;
    }

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
    /// Every interface with what it hears about `link`. `account` tells it in words, `failure` is the first that is
    /// worse than silence.
    static std::vector<Heard> listen(Context& context, LldpAccess& lldp, const TransportEnd& self,
                                     const std::string& link, const SecretBytes& secret, std::string& account,
                                     std::optional<Error>& failure) {
        std::vector<Heard> all;
        for (const std::string& name : self.interfaces) {
            account += (account.empty() ? "" : ", ") + name;
            Heard& heard = all.emplace_back(Heard{name, {}, {}});
            auto neighbour = lldp.neighbour(context, name);
            if (!neighbour) {
                account += " hears nobody";
                if (neighbour.error().code != ErrorCode::not_found && !failure) failure = std::move(neighbour).error();
                continue;
            }
            account += " hears " + neighbour->system_name;
            Description parts = split(neighbour->port_description);
            if (!parts.has_notice() || link_of(parts.sealed) != link) continue;
            auto notice = notice::open(parts.sealed, secret, self.device + ": what " + name + " hears");
            if (!notice) {
                account += " with something wrong";
                if (!failure) failure = std::move(notice).error();
                continue;
            }
            account += " with generation " + std::to_string(notice->generation);
            heard.sealed = std::move(parts.sealed);
            heard.notice = *std::move(notice);
        }
        return all;
    }

    Result<void> restore(Context& context, LldpAccess& lldp, const std::string& name, const std::string& link) {
        auto present = lldp.description(context, name);
        if (!present) return std::move(present).error();
        const auto parts = split(*present);
        if (parts.sealed.empty() || link_of(parts.sealed) != link) return {};
        // What stood there before this rotation, which may be the notice of an earlier one; else the operator's own text.
        const auto before = before_.find(name);
        return lldp.describe(context, name, before != before_.end() ? before->second : parts.own);
    }

    const ConfigView* config_ = nullptr;
    std::map<std::string, std::string> before_;  ///< interface -> description that our notice replaced
};

constexpr std::array stages{
    stage<KeyIdTransport, LldpTransport>({Capability::writes, Capability::commits}, {Capability::lldp})};
constexpr std::array fields{
    notice::secret_field,
    Field{Scope::key_ids, FieldType::boolean, "acknowledge", false, "false", nullptr,
          "Responders answer in the description of the interface that hears the initiator, by a commit more; needed "
          "on-box."},
    Field{Scope::key_ids, FieldType::string, "directory", false, nullptr, nullptr,
          "Taken and not used, so that one word switches a link from keyid-scp and back."}};

}  // namespace

QKD_PLUGIN("keyid-lldp", "1.0.0", "qkd-macsec", "Carries key_IDs in interface descriptions, heard by LLDP", "stable",
           stages, fields)
