// SFTP first, then what scp and the router's file RPCs can do.
#include "ssh_files.hpp"

#include <chrono>

namespace qkd::junos {
namespace {

constexpr std::size_t largest_file = 1U << 20U;

bool no_sftp(const Error& error) {
    return error.code == ErrorCode::unsupported;
}

bool says_absent(const std::string& text) {
    return text.find("No such file") != std::string::npos || text.find("no such file") != std::string::npos;
}

}  // namespace

Result<net::SshSession*> SshFiles::transport(Context& context) {
    if (!elsewhere_) return ssh_.get();
    if (!second_ || !second_->alive()) {
        QKD_TRY(second_, elsewhere_(context));
    }
    return second_.get();
}

Result<void> SshFiles::put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) {
    QKD_TRY(auto ssh, transport(context));
    auto done = ssh->sftp_put(context, path, content, mode);
    if (done || !no_sftp(done.error())) return done;
    const auto stamp = std::chrono::system_clock::now().time_since_epoch().count();
    const std::string temporary = path + ".tmp-" + std::to_string(stamp);
    QKD_TRY(ssh->scp_put(context, temporary, content, mode));
    auto renamed = netconf_.ask(context, "renaming " + temporary,
                                R"(the permission "maintenance", or SFTP on the device)", [&](pugi::xml_node rpc) {
                                    auto rename = rpc.append_child("file-rename");
                                    rename.append_child("source").text().set(temporary.c_str());
                                    rename.append_child("destination").text().set(path.c_str());
                                });
    if (renamed) return {};
    (void)remove(context, temporary);
    return std::move(renamed).error();
}

Result<SecretBytes> SshFiles::get(Context& context, const std::string& path) {
    QKD_TRY(auto ssh, transport(context));
    auto content = ssh->sftp_get(context, path, largest_file);
    if (content || !no_sftp(content.error())) return content;
    return ssh->scp_get(context, path, largest_file);
}

Result<std::vector<std::string>> SshFiles::list(Context& context, const std::string& directory) {
    QKD_TRY(auto ssh, transport(context));
    auto names = ssh->sftp_list(context, directory);
    if (names || !no_sftp(names.error())) return names;
    QKD_TRY(auto reply, netconf_.call(context, [&](pugi::xml_node rpc) {
        rpc.append_child("file-list").append_child("path").text().set((directory + "/").c_str());
    }));
    std::vector<std::string> found;
    for (auto node = reply.root().first_child(); node; node = next_in(reply.root(), node)) {
        if (is(node, "file-name")) found.emplace_back(text_of(node));
    }
    const bool absent = says_absent(reply.complaint()) || says_absent(child_text(reply.root(), "output"));
    if (!reply.errors.empty() && !absent)
        return Error::rejected(netconf_.peer() + ": listing " + directory + ": " + reply.complaint(), "");
    return found;
}

Result<void> SshFiles::remove(Context& context, const std::string& path) {
    QKD_TRY(auto ssh, transport(context));
    auto done = ssh->sftp_remove(context, path);
    if (done || !no_sftp(done.error())) return done;
    QKD_TRY(auto reply, netconf_.call(context, [&](pugi::xml_node rpc) {
        rpc.append_child("file-delete").append_child("path").text().set(path.c_str());
    }));
    if (reply.errors.empty() || says_absent(reply.complaint())) return {};
    return Error::rejected(netconf_.peer() + ": removing " + path + ": " + reply.complaint(), "");
}

Result<void> SshFiles::make_directory(Context& context, const std::string& path, unsigned mode) {
    QKD_TRY(auto ssh, transport(context));
    auto done = ssh->sftp_make_directory(context, path, mode);
    if (done || !no_sftp(done.error())) return done;
    QKD_TRY(auto reply, netconf_.call(context, [&](pugi::xml_node rpc) {
        rpc.append_child("file-list").append_child("path").text().set((path + "/").c_str());
    }));
    if (reply.errors.empty() && !says_absent(child_text(reply.root(), "output"))) return {};
    return Error::unsupported(netconf_.peer() + ": without SFTP the directory " + path + " cannot be made",
                              "make it by hand, or set system services ssh sftp-server");
}

}  // namespace qkd::junos
