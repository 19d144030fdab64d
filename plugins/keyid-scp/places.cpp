// File names, and SFTP to the peers.
#include "places.hpp"

#include <charconv>
#include <utility>

#include "qkd/sdk/net/notice.hpp"

namespace qkd::keyid_scp {
namespace {

constexpr std::string_view notice_suffix = ".notice";
constexpr std::string_view acknowledgement_suffix = ".ack";

std::string safe(const std::string& name) {
    constexpr char digits[] = "0123456789abcdef";
    std::string safe_name;
    for (const char c : name) {
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-') {
            safe_name += c;
            continue;
        }
        const auto octet = static_cast<unsigned char>(c);
        safe_name += {'_', digits[octet >> 4U], digits[octet & 15U]};
    }
    return safe_name;
}

}  // namespace

std::string notice_name(const std::string& link) {
    return safe(link) + std::string(notice_suffix);
}

std::string acknowledgement_name(const std::string& link, const std::string& device) {
    return safe(link) + "." + safe(device) + std::string(acknowledgement_suffix);
}

bool belongs_to(std::string_view file_name, const std::string& link) {
    if (file_name == notice_name(link)) return true;
    const std::string prefix = safe(link) + ".";
    if (!file_name.starts_with(prefix)) return false;
    file_name.remove_prefix(prefix.size());
    if (!file_name.ends_with(acknowledgement_suffix)) return false;
    // A dot stands between link and device only: this is not the file of another link whose name begins alike.
    const auto dot = file_name.find('.');
    return dot > 0 && dot + acknowledgement_suffix.size() == file_name.size();
}

template <class T>
Result<T> SshFiles::named(Result<T> result) const {
    if (result) return result;
    Error& error = result.error();
    if (error.what.find(device_) == std::string::npos) error.what.insert(0, device_ + ": ");
    if (error.code == ErrorCode::unsupported)
        error.hint = "turn SFTP on there (Junos: set system services ssh sftp-server)";
    return result;
}

Result<void> SshFiles::put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) {
    return named(session_->sftp_put(context, path, content, mode));
}
Result<SecretBytes> SshFiles::get(Context& context, const std::string& path) {
    return named(session_->sftp_get(context, path, notice::longest_text));
}
Result<std::vector<std::string>> SshFiles::list(Context& context, const std::string& directory) {
    return named(session_->sftp_list(context, directory));
}
Result<void> SshFiles::remove(Context& context, const std::string& path) {
    return named(session_->sftp_remove(context, path));
}
Result<void> SshFiles::make_directory(Context& context, const std::string& path, unsigned mode) {
    return named(session_->sftp_make_directory(context, path, mode));
}

std::optional<std::pair<std::string, std::uint16_t>> parse_address(std::string_view text) {
    std::uint16_t port = 22;
    std::string_view host = text;
    std::string_view rest;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        host = text.substr(1, end - 1);
        rest = text.substr(end + 1);
    } else if (const auto colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
        host = text.substr(0, colon);
        rest = text.substr(colon);
    }  // else a name, or an IPv6 address without a port
    if (!rest.empty()) {
        const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), port);
        if (rest.front() != ':' || error != std::errc() || end != rest.data() + rest.size() || port == 0)
            return std::nullopt;
    }
    if (host.empty() || host.find_first_of(" \t[]") != std::string_view::npos) return std::nullopt;
    return std::pair{std::string(host), port};
}

Result<void> Peers::configure(const ConfigView& config) {
    config_ = &config;
    const auto refuse = [&](std::string what, std::string hint) {
        return Error{ErrorCode::config, Retry::never, config.name() + ": " + std::move(what), std::move(hint)};
    };
    for (const std::string& peer : config.list("peers")) {
        const auto border = peer.find('=');
        const auto address =
            border == std::string::npos ? std::nullopt : parse_address(std::string_view(peer).substr(border + 1));
        if (!address || border == 0) {
            return refuse("'" + peer + "' in peers is no DEVICE=HOST or DEVICE=HOST:PORT",
                          R"(write peers = ["mx1=192.0.2.11", "mx2=[2001:db8::12]:22"])");
        }
        net::SshTarget target;
        target.host = address->first;
        target.port = address->second;
        target.known_hosts = config.path("known_hosts");
        if (!targets_.emplace(peer.substr(0, border), std::move(target)).second) {
            return refuse("peers names " + peer.substr(0, border) + " twice", "name each device once");
        }
    }
    if (targets_.empty()) return {};
    for (const char* needed : {"user", "ssh_key", "known_hosts"}) {
        if (!config.has(needed)) {
            return refuse(std::string("peers are given, but not ") + needed,
                          "peers need user, ssh_key and known_hosts");
        }
    }
    return {};
}

Result<FileAccess*> Peers::files(Context& context, const std::string& device) {
    if (const auto found = open_.find(device); found != open_.end()) {
        if (found->second.alive()) return &found->second;
        open_.erase(found);
    }
    const auto target = targets_.find(device);
    if (target == targets_.end()) {
        return Error{ErrorCode::unsupported, Retry::never,
                     device + ": there is no session with it, and it is not among the peers of the key_ids table",
                     "add \"" + device + "=HOST\" to peers, with user, ssh_key and known_hosts"};
    }
    auto key = config_->secret("ssh_key", context);
    if (!key) return std::move(key).error();
    auto session = net::SshSession::connect(context, target->second);
    if (!session) return std::move(session).error();
    if (auto in = (*session)->login_key(context, config_->string("user"), *key); !in) return std::move(in).error();
    return &open_
                .emplace(std::piecewise_construct, std::forward_as_tuple(device),
                         std::forward_as_tuple(std::move(*session), device))
                .first->second;
}

}  // namespace qkd::keyid_scp
