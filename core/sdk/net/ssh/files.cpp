// Files over an open SshSession: SFTP version 3, and scp where a device has no SFTP.
#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>

#include "impl.hpp"

namespace qkd::net {
namespace {

constexpr std::size_t block = 32768;

// Numbers of the SFTP protocol that libssh2 does not export (draft-ietf-secsh-filexfer-02 section 3).
constexpr std::uint8_t fxp_init = 1;
constexpr std::uint8_t fxp_version = 2;
constexpr std::uint8_t fxp_status = 101;
constexpr std::uint8_t fxp_extended = 200;

std::string temporary_beside(const std::string& path) {
    static std::atomic<unsigned> counter{0};
    const auto now = static_cast<unsigned long long>(std::chrono::system_clock::now().time_since_epoch().count());
    return path + ".tmp-" + std::to_string(now) + "-" + std::to_string(counter.fetch_add(1));
}

Error sftp_error(SshSession::Impl& impl, const std::string& doing) {
    const unsigned long code = impl.sftp != nullptr ? libssh2_sftp_last_error(impl.sftp) : 0;
    if (libssh2_session_last_errno(impl.session) != LIBSSH2_ERROR_SFTP_PROTOCOL) {
        (void)impl.transport_failed(libssh2_session_last_errno(impl.session));
        return impl.error(impl.broken ? ErrorCode::unreachable : ErrorCode::rejected, doing);
    }
    const std::string what = "SFTP with " + impl.peer + ": " + doing + ": ";
    switch (code) {
        case LIBSSH2_FX_NO_SUCH_FILE:
            return {ErrorCode::not_found, Retry::never, what + "no such file or directory",
                    "correct the path, or make it on the device first"};
        case LIBSSH2_FX_PERMISSION_DENIED:
            return {ErrorCode::auth, Retry::never, what + "permission denied",
                    "choose a directory that the user may write"};
        default:
            return {ErrorCode::rejected, Retry::never, what + "SFTP status " + std::to_string(code),
                    "look at the free space of the device's file system and at its log"};
    }
}

// A handle that is closed without waiting when something goes wrong on the way.
class Handle {
  public:
    Handle(SshSession::Impl& impl, LIBSSH2_SFTP_HANDLE* handle) : impl_(impl), handle_(handle) {}
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() {
        if (handle_ != nullptr && !impl_.broken) (void)libssh2_sftp_close_handle(handle_);
    }
    [[nodiscard]] LIBSSH2_SFTP_HANDLE* get() const { return handle_; }
    Result<void> close(Context& context, const std::string& doing) {
        auto rc = impl_.run(context, "closing a file", [&] { return libssh2_sftp_close_handle(handle_); });
        handle_ = nullptr;
        if (!rc) return std::move(rc).error();
        if (*rc != 0) return sftp_error(impl_, doing);
        return {};
    }

  private:
    SshSession::Impl& impl_;
    LIBSSH2_SFTP_HANDLE* handle_;
};

unsigned size_of(const std::string& text) {
    return static_cast<unsigned>(text.size());
}

Result<void> unlink_file(SshSession::Impl& impl, Context& context, const std::string& path) {
    auto rc = impl.run(context, "removing a file",
                       [&] { return libssh2_sftp_unlink_ex(impl.sftp, path.data(), size_of(path)); });
    if (!rc) return std::move(rc).error();
    if (*rc == 0) return {};
    Error error = sftp_error(impl, "removing " + path);
    if (error.code == ErrorCode::not_found) return {};
    return error;
}

void put_number(std::vector<std::uint8_t>& out, std::size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        out.push_back(static_cast<std::uint8_t>(value >> static_cast<unsigned>(shift)));
}

void put_text(std::vector<std::uint8_t>& out, const std::string& text) {
    put_number(out, text.size());
    out.insert(out.end(), text.begin(), text.end());
}

std::uint32_t get_number(const std::vector<std::uint8_t>& in, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4 && at + i < in.size(); ++i) value = value << 8U | in[at + i];
    return value;
}

Result<std::vector<std::uint8_t>> read_packet(Context& context, ByteStream& stream) {
    std::vector<std::uint8_t> packet;
    std::size_t wanted = 4;
    while (packet.size() < wanted) {
        std::array<std::uint8_t, 4096> chunk{};
        auto count = stream.read(context, std::span(chunk).first(std::min(chunk.size(), wanted - packet.size())));
        if (!count) return std::move(count).error();
        if (*count == 0) return Error{ErrorCode::protocol, Retry::never, "SFTP ended early", ""};
        packet.insert(packet.end(), chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(*count));
        if (wanted == 4 && packet.size() == 4) {
            const std::uint32_t size = get_number(packet, 0);
            if (size == 0 || size > 262144) return Error{ErrorCode::protocol, Retry::never, "SFTP: packet size", ""};
            wanted = 4 + size;
        }
    }
    return packet;
}

// SFTP 3 cannot rename over a file; OpenSSH's extension can, atomically, and libssh2 1.10 does not offer it. So it is
// spoken on a channel of its own.
Result<void> replace_file(SshSession& session, Context& context, const std::string& from, const std::string& to) {
    auto stream = session.subsystem(context, "sftp");
    if (!stream) return std::move(stream).error();
    std::vector<std::uint8_t> hello;
    put_number(hello, 5);
    hello.push_back(fxp_init);
    put_number(hello, 3);
    if (auto sent = (*stream)->write(context, hello); !sent) return sent;
    auto version = read_packet(context, **stream);
    if (!version) return std::move(version).error();
    if ((*version)[4] != fxp_version) return Error{ErrorCode::protocol, Retry::never, "SFTP: no version", ""};

    std::vector<std::uint8_t> body{fxp_extended};
    put_number(body, 1);
    put_text(body, "posix-rename@openssh.com");
    put_text(body, from);
    put_text(body, to);
    std::vector<std::uint8_t> packet;
    put_number(packet, body.size());
    packet.insert(packet.end(), body.begin(), body.end());
    if (auto sent = (*stream)->write(context, packet); !sent) return sent;
    auto status = read_packet(context, **stream);
    if (!status) return std::move(status).error();
    if (status->size() < 13 || (*status)[4] != fxp_status)
        return Error{ErrorCode::protocol, Retry::never, "SFTP: no status", ""};
    const std::uint32_t code = get_number(*status, 9);
    if (code == LIBSSH2_FX_OK) return {};
    return Error{code == LIBSSH2_FX_OP_UNSUPPORTED ? ErrorCode::unsupported : ErrorCode::rejected, Retry::never,
                 "SFTP: renaming to " + to + ": status " + std::to_string(code),
                 "the device cannot replace a file in one step"};
}

Result<void> check_text(const std::string& path) {
    if (!path.empty() && path.find('\0') == std::string::npos && path.find('\n') == std::string::npos) return {};
    return Error{ErrorCode::config, Retry::never, "not a file name", "name a file on the device"};
}

Result<SecretBytes> too_large(const std::string& path, std::size_t limit) {
    return Error{ErrorCode::rejected, Retry::never, path + " is larger than " + std::to_string(limit) + " octets", ""};
}

}  // namespace

Result<LIBSSH2_SFTP*> SshSession::Impl::open_sftp(Context& context) {
    if (broken) return error(ErrorCode::unreachable, "the session is closed");
    if (sftp != nullptr) return sftp;
    if (!sftp_refused) {
        setting_up = true;
        auto opened = run_pointer(context, "starting SFTP", [&] { return libssh2_sftp_init(session); });
        setting_up = false;
        if (!opened) return opened;
        if (*opened != nullptr) {
            sftp = *opened;
            return sftp;
        }
        if (transport_failed(libssh2_session_last_errno(session)))
            return error(ErrorCode::unreachable, "starting SFTP");
        sftp_refused = true;
    }
    return Error{ErrorCode::unsupported, Retry::never, "SSH with " + peer + ": the device offers no SFTP",
                 "Junos: set system services ssh sftp-server"};
}

Result<void> SshSession::sftp_put(Context& context, const std::string& path, const SecretBytes& content,
                                  unsigned mode) {
    if (auto good = check_text(path); !good) return good;
    auto sftp = impl_->open_sftp(context);
    if (!sftp) return std::move(sftp).error();
    const std::string temporary = temporary_beside(path);
    auto opened = impl_->run_pointer(context, "creating a file", [&] {
        return libssh2_sftp_open_ex(*sftp, temporary.data(), size_of(temporary),
                                    LIBSSH2_FXF_WRITE | LIBSSH2_FXF_CREAT | LIBSSH2_FXF_EXCL,
                                    static_cast<long>(mode & 07777U), LIBSSH2_SFTP_OPENFILE);
    });
    if (!opened) return std::move(opened).error();
    if (*opened == nullptr) return sftp_error(*impl_, "creating " + temporary);
    const auto write_and_rename = [&]() -> Result<void> {
        Handle file(*impl_, *opened);
        auto rest = content.reveal();
        while (!rest.empty()) {
            auto rc = impl_->run(context, "writing a file", [&] {
                return libssh2_sftp_write(file.get(), reinterpret_cast<const char*>(rest.data()),
                                          std::min(rest.size(), block));
            });
            if (!rc) return std::move(rc).error();
            if (*rc < 0) return sftp_error(*impl_, "writing " + temporary);
            rest = rest.subspan(static_cast<std::size_t>(*rc));
        }
        if (auto closed = file.close(context, "writing " + temporary); !closed) return closed;
        return replace_file(*this, context, temporary, path);
    };
    auto done = write_and_rename();
    if (!done && !impl_->broken) (void)unlink_file(*impl_, context, temporary);
    return done;
}

Result<SecretBytes> SshSession::sftp_get(Context& context, const std::string& path, std::size_t limit) {
    if (auto good = check_text(path); !good) return std::move(good).error();
    auto sftp = impl_->open_sftp(context);
    if (!sftp) return std::move(sftp).error();
    auto opened = impl_->run_pointer(context, "opening a file", [&] {
        return libssh2_sftp_open_ex(*sftp, path.data(), size_of(path), LIBSSH2_FXF_READ, 0, LIBSSH2_SFTP_OPENFILE);
    });
    if (!opened) return std::move(opened).error();
    if (*opened == nullptr) return sftp_error(*impl_, "reading " + path);
    Handle file(*impl_, *opened);
    SecretBytes content;
    SecretBytes chunk = SecretBytes::zeros(block);
    for (;;) {
        auto rc = impl_->run(context, "reading a file", [&] {
            return libssh2_sftp_read(file.get(), reinterpret_cast<char*>(chunk.writable().data()), chunk.size());
        });
        if (!rc) return std::move(rc).error();
        if (*rc < 0) return sftp_error(*impl_, "reading " + path);
        if (*rc == 0) break;
        content.append(chunk.reveal().first(static_cast<std::size_t>(*rc)));
        if (content.size() > limit) return too_large(path, limit);
    }
    (void)file.close(context, "reading " + path);
    return content;
}

Result<std::vector<std::string>> SshSession::sftp_list(Context& context, const std::string& directory) {
    if (auto good = check_text(directory); !good) return std::move(good).error();
    auto sftp = impl_->open_sftp(context);
    if (!sftp) return std::move(sftp).error();
    auto opened = impl_->run_pointer(context, "opening a directory", [&] {
        return libssh2_sftp_open_ex(*sftp, directory.data(), size_of(directory), 0, 0, LIBSSH2_SFTP_OPENDIR);
    });
    if (!opened) return std::move(opened).error();
    std::vector<std::string> names;
    if (*opened == nullptr) {
        Error error = sftp_error(*impl_, "listing " + directory);
        if (error.code == ErrorCode::not_found) return names;
        return error;
    }
    Handle handle(*impl_, *opened);
    std::array<char, 4096> name{};
    for (;;) {
        LIBSSH2_SFTP_ATTRIBUTES attributes{};
        auto rc = impl_->run(context, "listing a directory", [&] {
            return libssh2_sftp_readdir_ex(handle.get(), name.data(), name.size(), nullptr, 0, &attributes);
        });
        if (!rc) return std::move(rc).error();
        if (*rc < 0) return sftp_error(*impl_, "listing " + directory);
        if (*rc == 0) break;
        std::string entry(name.data(), static_cast<std::size_t>(*rc));
        if (entry != "." && entry != "..") names.push_back(std::move(entry));
    }
    (void)handle.close(context, "listing " + directory);
    return names;
}

Result<void> SshSession::sftp_remove(Context& context, const std::string& path) {
    if (auto good = check_text(path); !good) return good;
    auto sftp = impl_->open_sftp(context);
    if (!sftp) return std::move(sftp).error();
    return unlink_file(*impl_, context, path);
}

Result<void> SshSession::sftp_make_directory(Context& context, const std::string& path, unsigned mode) {
    if (auto good = check_text(path); !good) return good;
    auto sftp = impl_->open_sftp(context);
    if (!sftp) return std::move(sftp).error();
    auto made = impl_->run(context, "making a directory", [&] {
        return libssh2_sftp_mkdir_ex(*sftp, path.data(), size_of(path), static_cast<long>(mode & 07777U));
    });
    if (!made) return std::move(made).error();
    if (*made == 0) return {};
    Error error = sftp_error(*impl_, "making the directory " + path);
    if (impl_->broken) return error;
    LIBSSH2_SFTP_ATTRIBUTES attributes{};
    auto stat = impl_->run(context, "looking at a directory", [&] {
        return libssh2_sftp_stat_ex(*sftp, path.data(), size_of(path), LIBSSH2_SFTP_STAT, &attributes);
    });
    if (!stat) return std::move(stat).error();
    if (*stat != 0 || (attributes.flags & LIBSSH2_SFTP_ATTR_PERMISSIONS) == 0 ||
        !LIBSSH2_SFTP_S_ISDIR(attributes.permissions)) {
        return error;
    }
    if ((attributes.permissions & S_IWOTH) != 0 && (attributes.permissions & S_ISVTX) == 0) {
        return Error{ErrorCode::auth, Retry::never,
                     "SFTP with " + impl_->peer + ": everybody may write into the directory " + path,
                     "take that away with chmod 0700, or name another directory"};
    }
    return {};
}

Result<void> SshSession::scp_put(Context& context, const std::string& path, const SecretBytes& content, unsigned mode) {
    if (auto good = check_text(path); !good) return good;
    if (impl_->broken) return impl_->error(ErrorCode::unreachable, "the session is closed");
    auto opened = impl_->run_pointer(context, "starting scp", [&] {
        return libssh2_scp_send64(impl_->session, path.c_str(), static_cast<int>(mode & 0777U),
                                  static_cast<libssh2_int64_t>(content.size()), 0, 0);
    });
    if (!opened) return std::move(opened).error();
    if (*opened == nullptr) {
        (void)impl_->transport_failed(libssh2_session_last_errno(impl_->session));
        return impl_->error(impl_->broken ? ErrorCode::unreachable : ErrorCode::rejected, "scp to " + path);
    }
    LIBSSH2_CHANNEL* channel = *opened;
    auto stream = make_stream(impl_, channel);
    if (auto sent = stream->write(context, content.reveal()); !sent) return sent;
    // The end of the file is a zero octet; the far end answers with another once the file is complete.
    const std::array<std::uint8_t, 1> zero{0};
    if (auto sent = stream->write(context, zero); !sent) return sent;
    std::array<std::uint8_t, 256> answer{};
    auto count = stream->read(context, answer);
    if (!count) return std::move(count).error();
    if (*count == 0 || answer[0] != 0) {
        const std::string text(reinterpret_cast<const char*>(answer.data()) + 1, *count > 1 ? *count - 1 : 0);
        return Error{ErrorCode::rejected, Retry::never,
                     "SSH with " + impl_->peer + ": scp to " + path + " was refused: " + text, ""};
    }
    return {};
}

Result<SecretBytes> SshSession::scp_get(Context& context, const std::string& path, std::size_t limit) {
    if (auto good = check_text(path); !good) return std::move(good).error();
    if (impl_->broken) return impl_->error(ErrorCode::unreachable, "the session is closed");
    libssh2_struct_stat attributes{};
    auto opened = impl_->run_pointer(context, "starting scp",
                                     [&] { return libssh2_scp_recv2(impl_->session, path.c_str(), &attributes); });
    if (!opened) return std::move(opened).error();
    if (*opened == nullptr) {
        if (impl_->transport_failed(libssh2_session_last_errno(impl_->session)))
            return impl_->error(ErrorCode::unreachable, "scp from " + path);
        return Error{ErrorCode::not_found, Retry::never, "SSH with " + impl_->peer + ": scp cannot read " + path, ""};
    }
    auto stream = make_stream(impl_, *opened);
    if (attributes.st_size < 0 || static_cast<std::size_t>(attributes.st_size) > limit) return too_large(path, limit);
    SecretBytes content = SecretBytes::zeros(static_cast<std::size_t>(attributes.st_size));
    std::size_t have = 0;
    while (have < content.size()) {
        auto count = stream->read(context, content.writable().subspan(have));
        if (!count) return std::move(count).error();
        if (*count == 0)
            return Error{ErrorCode::protocol, Retry::safe,
                         "SSH with " + impl_->peer + ": scp of " + path + " ended early", ""};
        have += *count;
    }
    return content;
}

}  // namespace qkd::net
