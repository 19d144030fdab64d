// Bounds-checked reader of the first bytes of an SSH server.
#include "kexinit.hpp"

#include <algorithm>
#include <string_view>

namespace qkd::net {
namespace {

class Reader {
  public:
    explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

    bool skip(std::size_t count) {
        if (bytes_.size() < count) return false;
        bytes_ = bytes_.subspan(count);
        return true;
    }
    bool number(std::uint32_t& value) {
        if (bytes_.size() < 4) return false;
        value = 0;
        for (int i = 0; i < 4; ++i) value = value << 8U | bytes_[static_cast<std::size_t>(i)];
        return skip(4);
    }
    bool octet(std::uint8_t& value) {
        if (bytes_.empty()) return false;
        value = bytes_[0];
        return skip(1);
    }
    bool names(std::vector<std::string>& list) {
        std::uint32_t size = 0;
        if (!number(size) || size > bytes_.size()) return false;
        std::string_view text(reinterpret_cast<const char*>(bytes_.data()), size);
        while (!text.empty()) {
            const auto comma = std::min(text.find(','), text.size());
            list.emplace_back(text.substr(0, comma));
            text.remove_prefix(std::min(comma + 1, text.size()));
        }
        return skip(size);
    }

  private:
    std::span<const std::uint8_t> bytes_;
};

constexpr std::uint8_t msg_kexinit = 20;

}  // namespace

ServerOffer read_server_offer(std::span<const std::uint8_t> bytes) {
    ServerOffer offer;
    // Other lines may come before the identification string.
    for (;;) {
        const auto end = std::find(bytes.begin(), bytes.end(), static_cast<std::uint8_t>('\n'));
        if (end == bytes.end()) return offer;
        const auto size = static_cast<std::size_t>(end - bytes.begin());
        std::string line(reinterpret_cast<const char*>(bytes.data()), size);
        bytes = bytes.subspan(size + 1);
        if (!line.starts_with("SSH-")) continue;
        if (line.ends_with('\r')) line.pop_back();
        offer.banner = line.substr(0, 255);
        break;
    }
    Reader in(bytes);
    std::uint32_t packet = 0;
    std::uint8_t padding = 0;
    std::uint8_t message = 0;
    std::vector<std::string> server_side;
    if (!in.number(packet) || !in.octet(padding) || !in.octet(message) || message != msg_kexinit || !in.skip(16))
        return offer;
    offer.complete = in.names(offer.kex) && in.names(offer.host_keys) && in.names(offer.ciphers) &&
                     in.names(server_side) && in.names(offer.macs);
    return offer;
}

bool only_rsa(const ServerOffer& offer) {
    return !offer.host_keys.empty() &&
           std::all_of(offer.host_keys.begin(), offer.host_keys.end(),
                       [](const auto& name) { return name.find("rsa") != std::string::npos; });
}

}  // namespace qkd::net
