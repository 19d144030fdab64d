// keyid-88b7: notices and answers as Ethernet frames of the OUI Extended EtherType, straight over the link.
#include <array>

#include "keyid-common/ports.hpp"
#include "qkd/sdk/net/notice.hpp"
#include "qkd/sdk/plugin.hpp"
#include "station.hpp"

namespace {

using namespace qkd;
using keyid_88b7::PacketSocket;
using keyid_88b7::Station;

class FrameTransport final : public KeyIdTransport {
  public:
    Result<void> configure(const ConfigView& config) override {
        config_ = &config;
        destination_ = config.string("destination") == "broadcast" ? keyid_88b7::broadcast : keyid_88b7::nearest_bridge;
        return ports_.configure(config);
    }

    /// May this program open packet sockets? Which interfaces are the link's is not known here.
    Result<void> probe(Context& context) override {
        if (auto secret = notice::link_secret(*config_, context); !secret) return std::move(secret).error();
        auto socket = PacketSocket::open("lo", keyid_88b7::broadcast);
        if (!socket) return std::move(socket).error();
        return {};
    }

    Result<void> announce(Context& context, const TransportEnd& self, std::span<const TransportEnd> responders,
                          const KeyIdNotice& notice) override {
        auto station = station_of(context, self, notice.link);
        if (!station) return std::move(station).error();
        // Members that this process drives too have to listen before something is sent.
        for (const TransportEnd& responder : responders) {
            if (responder.session == nullptr) continue;
            if (auto open = (*station)->open(responder.device, netdevs_of(responder), destination_); !open) return open;
        }
        if (auto sent = (*station)->announce(self.device, notice, names_of(responders), true); !sent) return sent;
        return (*station)->work_until(context, [&] {
            return (*station)->arrived_everywhere(self.device) || (*station)->tries_are_over(self.device);
        });
    }

    Result<KeyIdNotice> receive(Context& context, const TransportEnd& self, const std::string& link,
                                const NoticeFilter& wanted) override {
        auto station = station_of(context, self, link);
        if (!station) return std::move(station).error();
        const std::string place = self.device + ": the frame";
        std::optional<KeyIdNotice> notice;
        std::optional<Error> refusal;
        const auto judge = [&] {
            notice = (*station)->inbox(self.device);
            if (!notice) return false;
            auto good = notice::judge(*notice, link, wanted, place);
            if (good) return true;
            refusal = std::move(good).error();
            return refusal->code != ErrorCode::not_found;  // old or expired: a newer one may come
        };
        if (auto worked = (*station)->work_until(context, judge); !worked) return std::move(worked).error();
        if (notice && notice::judge(*notice, link, wanted, place)) return *std::move(notice);
        Error error =
            refusal ? *std::move(refusal)
                    : Error{ErrorCode::not_found, Retry::safe, self.device + ": no frame with a notice of link " + link,
                            "the initiator does not send, or its frames do not get here: both ends must name the "
                            "interfaces of the same wire and have the same secret"};
        error.what += (*station)->dropped().account();
        return error;
    }

    Result<void> acknowledge(Context& context, const TransportEnd& self, const KeyIdNotice& notice) override {
        auto station = station_of(context, self, notice.link);
        if (!station) return std::move(station).error();
        if (auto sent = (*station)->acknowledge(self.device, notice); !sent) return sent;
        // Whether or not the initiator is there now: it asks again as long as it waits.
        return (*station)->work_until(context, [&] {
            return (*station)->answer_was_heard(self.device) || (*station)->answer_tries_are_over(self.device);
        });
    }

    Result<std::vector<std::string>> acknowledgements(Context& context, const TransportEnd& self,
                                                      std::span<const TransportEnd> responders,
                                                      const KeyIdNotice& notice) override {
        auto station = station_of(context, self, notice.link);
        if (!station) return std::move(station).error();
        const auto names = names_of(responders);
        const auto answered = [&] {
            auto devices = (*station)->acknowledged_by(self.device);
            std::erase_if(devices, [&](const std::string& device) {
                return std::find(names.begin(), names.end(), device) == names.end();
            });
            return devices;
        };
        if (auto sent = (*station)->announce(self.device, notice, names, false); !sent) return std::move(sent).error();
        auto worked = (*station)->work_until(context, [&] { return answered().size() == names.size(); });
        if (!worked) return std::move(worked).error();
        return answered();
    }

    Result<void> retract(Context& context, const TransportEnd& self, const std::string& link) override {
        auto station = station_of(context, self, link);
        if (!station) return std::move(station).error();
        (*station)->retract(self.device);
        return {};
    }

  private:
    Result<Station*> station_of(Context& context, const TransportEnd& self, const std::string& link) {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        if (secret->empty()) {
            return Error{ErrorCode::config, Retry::never, config_->name() + ": frames cannot travel without a secret",
                         "give the key_ids table a secret, the same for all members"};
        }
        station_ = Station::of(link, *secret);
        if (auto open = station_->open(self.device, netdevs_of(self), destination_); !open)
            return std::move(open).error();
        return station_.get();
    }

    [[nodiscard]] std::vector<std::string> netdevs_of(const TransportEnd& end) const {
        std::vector<std::string> netdevs;
        for (const std::string& name : end.interfaces) netdevs.push_back(ports_.netdev(end.device, name));
        return netdevs;
    }

    static std::vector<std::string> names_of(std::span<const TransportEnd> ends) {
        std::vector<std::string> names;
        for (const TransportEnd& end : ends) names.push_back(end.device);
        return names;
    }

    const ConfigView* config_ = nullptr;
    keyid_common::Ports ports_;
    keyid_88b7::Mac destination_{};
    std::shared_ptr<Station> station_;  ///< kept between calls: what was heard lives in it
};

constexpr std::array stages{stage<KeyIdTransport, FrameTransport>({Capability::watches, Capability::authenticated})};
constexpr std::array fields{
    Field{Scope::key_ids, FieldType::secret, "secret", true, nullptr, nullptr,
          "Shared by the members of the link, authenticates every frame; 16 octets or more, 32 random ones are best "
          "(openssl rand -hex 32)."},
    keyid_common::ports_field,
    Field{Scope::key_ids, FieldType::one_of, "destination", false, "nearest-bridge", "nearest-bridge|broadcast",
          "nearest-bridge (01-80-C2-00-00-0E) reaches the neighbour on the wire and no further; broadcast also crosses "
          "switches."},
    Field{Scope::key_ids, FieldType::string, "directory", false, nullptr, nullptr,
          "Taken and not used, so that one word switches a link from keyid-scp and back."}};

}  // namespace

QKD_PLUGIN("keyid-88b7", "1.0.0", "qkd-macsec", "Carries key_IDs in Ethernet frames over the link itself", "stable",
           stages, fields)
