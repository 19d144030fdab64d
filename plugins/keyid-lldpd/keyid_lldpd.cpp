// keyid-lldpd: on Linux, the notice stands in a TLV of its own in what lldpd tells the neighbours, and so does the answer.
#include <algorithm>
#include <array>
#include <functional>
#include <optional>

#include "keyid-common/ports.hpp"
#include "lldpd.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/net/notice.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

using namespace qkd;
using keyid_lldpd::Lldpd;
using keyid_lldpd::longest_information;
using keyid_lldpd::Subtype;

/// The link that a text is about, unverified: enough to know whether it may be taken away.
bool is_about(std::string_view text, const std::string& link) {
    const std::size_t before = text.starts_with("QKD2;") ? 2 : 1;
    for (std::size_t i = 0; i < before; ++i) {
        const auto end = text.find(';');
        if (end == std::string_view::npos) return false;
        text.remove_prefix(end + 1);
    }
    return text.substr(0, text.find(';')) == link;
}

class LldpdTransport final : public KeyIdTransport {
  public:
    Result<void> configure(const ConfigView& config) override {
        config_ = &config;
        return ports_.configure(config);
    }

    Result<void> probe(Context& context) override {
        auto lldpd = Lldpd::open(context, socket());
        if (!lldpd) return std::move(lldpd).error();
        return {};
    }

    Result<void> announce(Context& context, const TransportEnd& self, std::span<const TransportEnd>,
                          const KeyIdNotice& notice) override {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        auto text = sealed(notice, *secret);
        if (!text) return std::move(text).error();
        return tell(context, self, netdevs_of(self), Subtype::notice, *text);
    }

    Result<KeyIdNotice> receive(Context& context, const TransportEnd& self, const std::string& link,
                                const NoticeFilter& wanted) override {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        std::optional<KeyIdNotice> delivered;
        Error refusal{ErrorCode::not_found, Retry::safe, self.device + ": no neighbour tells a notice of link " + link,
                      "lldpd must run at both ends of the link, on the interfaces that ports names"};
        const auto look = [&](Lldpd& lldpd) -> Result<bool> {
            const auto netdevs = netdevs_of(self);
            std::vector<std::vector<std::string>> hears;
            std::string newest;
            std::optional<KeyIdNotice> best;
            for (const std::string& netdev : netdevs) {
                auto texts = lldpd.heard(netdev, Subtype::notice);
                if (!texts) return std::move(texts).error();
                for (const std::string& text : *texts) {
                    if (!is_about(text, link)) continue;
                    auto notice = notice::open(text, *secret, self.device + ": what " + netdev + " hears");
                    if (!notice) {
                        refusal = std::move(notice).error();  // anybody on the wire could send this: wait on
                    } else if (!best || notice->mark() > best->mark()) {
                        best = *std::move(notice);
                        newest = text;
                    }
                }
                hears.push_back(std::move(*texts));
            }
            if (!best) return false;
            std::vector<std::string> unaware;  // where the neighbour does not tell it by itself
            for (std::size_t i = 0; i < hears.size(); ++i) {
                if (std::find(hears[i].begin(), hears[i].end(), newest) == hears[i].end())
                    unaware.push_back(netdevs[i]);
            }
            if (auto good = notice::judge(*best, link, wanted, self.device + ": what a neighbour tells"); !good) {
                refusal = std::move(good).error();
                return refusal.code == ErrorCode::not_found ? Result<bool>(false) : Result<bool>(refusal);
            }
            delivered = std::move(best);
            // Members further down the row hear it from us.
            if (auto told = tell(context, self, unaware, Subtype::notice, newest); !told)
                return std::move(told).error();
            return true;
        };
        if (auto done = watch(context, look); !done) return std::move(done).error();
        if (delivered) return *std::move(delivered);
        return refusal;
    }

    Result<void> acknowledge(Context& context, const TransportEnd& self, const KeyIdNotice& notice) override {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        auto text = notice::seal(notice::Acknowledgement{notice.link, notice.mark(), self.device}, *secret);
        if (!text) return std::move(text).error();
        return tell(context, self, netdevs_of(self), Subtype::acknowledgement, *text);
    }

    Result<std::vector<std::string>> acknowledgements(Context& context, const TransportEnd& self,
                                                      std::span<const TransportEnd> responders,
                                                      const KeyIdNotice& notice) override {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        std::vector<std::string> devices;
        const auto look = [&](Lldpd& lldpd) -> Result<bool> {
            devices.clear();
            for (const std::string& netdev : netdevs_of(self)) {
                auto texts = lldpd.heard(netdev, Subtype::acknowledgement);
                if (!texts) return std::move(texts).error();
                for (const std::string& text : *texts) {
                    const auto answer =
                        notice::open_acknowledgement(text, *secret, self.device + ": the answer on " + netdev);
                    if (!answer || answer->link != notice.link || answer->mark != notice.mark()) continue;
                    const bool known = std::any_of(responders.begin(), responders.end(), [&](const TransportEnd& one) {
                        return one.device == answer->device;
                    });
                    const bool listed = std::find(devices.begin(), devices.end(), answer->device) != devices.end();
                    if (known && !listed) devices.push_back(answer->device);
                }
            }
            return devices.size() == responders.size();
        };
        if (auto done = watch(context, look); !done) return std::move(done).error();
        return devices;
    }

    Result<void> retract(Context& context, const TransportEnd& self, const std::string& link) override {
        auto lldpd = Lldpd::open(context, socket());
        if (!lldpd) return std::move(lldpd).error();
        for (const std::string& netdev : netdevs_of(self)) {
            for (const Subtype subtype : {Subtype::notice, Subtype::acknowledgement}) {
                auto removed =
                    (*lldpd)->untell(netdev, subtype, [&](const std::string& text) { return is_about(text, link); });
                if (!removed) return removed;
            }
        }
        return {};
    }

  private:
    [[nodiscard]] std::string socket() const { return config_->path("socket").string(); }

    static Result<std::string> sealed(const KeyIdNotice& notice, const SecretBytes& secret) {
        auto text = notice::seal(notice, secret);
        if (!text || text->size() <= longest_information) return text;
        return Error{ErrorCode::rejected, Retry::never,
                     "notice of link " + notice.link + " has " + std::to_string(text->size()) +
                         " octets, an LLDP TLV carries 507",
                     "mint fewer keys at once, or use another transport such as keyid-scp"};
    }

    Result<void> tell(Context& context, const TransportEnd& self, const std::vector<std::string>& netdevs,
                      Subtype subtype, const std::string& text) {
        auto lldpd = Lldpd::open(context, socket());
        if (!lldpd) return named(std::move(lldpd).error(), self);
        for (const std::string& netdev : netdevs) {
            if (auto told = (*lldpd)->tell(netdev, subtype, text); !told) return named(std::move(told).error(), self);
        }
        return {};
    }

    static Error named(Error error, const TransportEnd& self) {
        error.what.insert(0, self.device + ": ");
        return error;
    }

    /// Asks `look` at once and after every change of a neighbour, until it says true or the deadline passes.
    Result<void> watch(Context& context, const std::function<Result<bool>(Lldpd&)>& look) {
        auto changes = Lldpd::open(context, socket());
        if (!changes) return std::move(changes).error();
        // First the subscription, then the look: nothing falls between the two.
        if (auto subscribed = (*changes)->watch(); !subscribed) return subscribed;
        auto lldpd = Lldpd::open(context, socket());
        if (!lldpd) return std::move(lldpd).error();
        for (bool looked = false;; looked = true) {
            auto done = look(**lldpd);
            // The deadline fell into a later look, which is silence; in the first one it is a daemon that hangs.
            if (!done && looked && done.error().code == ErrorCode::timeout) return {};
            if (!done) return std::move(done).error();
            if (*done) return {};
            auto changed = (*changes)->wait_for_change();
            if (!changed) return std::move(changed).error();
            if (!*changed) return {};
        }
    }

    [[nodiscard]] std::vector<std::string> netdevs_of(const TransportEnd& end) const {
        std::vector<std::string> netdevs;
        for (const std::string& name : end.interfaces) netdevs.push_back(ports_.netdev(end.device, name));
        return netdevs;
    }

    const ConfigView* config_ = nullptr;
    keyid_common::Ports ports_;
};

constexpr std::array stages{stage<KeyIdTransport, LldpdTransport>({Capability::one_end, Capability::watches})};
constexpr std::array fields{
    notice::secret_field, keyid_common::ports_field,
    Field{Scope::key_ids, FieldType::path, "socket", false, "/run/lldpd.socket", nullptr, "Control socket of lldpd."},
    Field{Scope::key_ids, FieldType::string, "directory", false, nullptr, nullptr,
          "Taken and not used, so that one word switches a link from keyid-scp and back."}};

}  // namespace

QKD_PLUGIN("keyid-lldpd", "1.0.0", "qkd-macsec", "Carries key_IDs in LLDP TLVs of lldpd on Linux", "stable", stages,
           fields)
