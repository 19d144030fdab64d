// Audit lines and their chain.
#include "engine/state/audit.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/base/output_file.hpp"
#include "engine/base/rfc3339.hpp"

namespace qkd::engine {
namespace {

/// In front of the first line.
const std::string no_line(64, '0');
constexpr off_t longest_line = 65536;

std::string sha256_hex(std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
    constexpr char digits[] = "0123456789abcdef";
    std::string hex;
    for (unsigned i = 0; i < size; ++i) hex += {digits[digest[i] >> 4U], digits[digest[i] & 15U]};
    return hex;
}

Error failed(const std::filesystem::path& file, const char* what) {
    return {ErrorCode::config, Retry::safe,
            "cannot " + std::string(what) + " the audit log " + file.string() + ": " + std::strerror(errno),
            "make room and make the state directory writable for the user that runs qkd-macsec"};
}

std::string user_at_host() {
    std::array<char, 4096> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    std::string who = std::to_string(::getuid());
    if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
        who = found->pw_name;
    }
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) == 0) who += std::string("@") + host.data();
    return who;
}

/// The last line without its end; "" when there is none. A line that was torn by a crash or a full disk counts as one.
Result<std::string> last_line(const std::filesystem::path& file, int fd, bool& torn) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return failed(file, "read");
    const off_t from = std::max<off_t>(0, info.st_size - longest_line);
    std::string tail(static_cast<std::size_t>(info.st_size - from), '\0');
    for (std::size_t have = 0; have < tail.size();) {
        const ssize_t got = ::pread(fd, tail.data() + have, tail.size() - have, from + static_cast<off_t>(have));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return failed(file, "read");
        have += static_cast<std::size_t>(got);
    }
    if (tail.empty()) return tail;
    torn = tail.back() != '\n';
    if (!torn) tail.pop_back();
    if (const auto end = tail.rfind('\n'); end != std::string::npos) tail.erase(0, end + 1);
    return tail;
}

}  // namespace

Audit::Audit(std::filesystem::path file, int fd, std::string previous, std::string run_id)
    : file_(std::move(file)),
      fd_(fd),
      previous_(std::move(previous)),
      run_id_(std::move(run_id)),
      who_(user_at_host()) {}

Audit::~Audit() {
    ::close(fd_);
}

Result<std::unique_ptr<Audit>> Audit::open(const std::filesystem::path& state, std::string run_id) {
    const auto file = state / "audit.jsonl";
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return failed(file, "open");
    bool torn = false;
    auto last = last_line(file, fd, torn);
    if (!last || (torn && !write_all(fd, "\n"))) {
        Error error = last ? failed(file, "write") : std::move(last).error();
        ::close(fd);
        return error;
    }
    return std::unique_ptr<Audit>(new Audit(file, fd, last->empty() ? no_line : sha256_hex(*last), std::move(run_id)));
}

Result<void> Audit::append(const AuditLine& line) {
    using nlohmann::ordered_json;
    const auto text = [](const std::string& value) { return value.empty() ? ordered_json() : ordered_json(value); };
    const std::lock_guard lock(mutex_);
    const ordered_json object{
        {"at", rfc3339(std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()))},
        {"who", who_},
        {"run_id", run_id_},
        {"link", line.link},
        {"event", line.event},
        {"key_id", text(line.key_id)},
        {"ckn", text(line.ckn)},
        {"device", text(line.device)},
        {"outcome", text(line.outcome)},
        {"previous", previous_}};
    const std::string out = object.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    struct stat before {};
    if (::fstat(fd_, &before) != 0) return failed(file_, "read");
    if (!write_all(fd_, out + "\n") || ::fdatasync(fd_) != 0) {
        Error error = failed(file_, "write");
        // Half a line must not stand in front of the next one.
        [[maybe_unused]] const int cut = ::ftruncate(fd_, before.st_size);
        return error;
    }
    previous_ = sha256_hex(out);
    return {};
}

Result<std::size_t> verify_audit(const std::filesystem::path& file) {
    std::ifstream in(file);
    if (!in) return failed(file, "read");
    std::string previous = no_line;
    std::size_t count = 0;
    for (std::string line; std::getline(in, line);) {
        ++count;
        const auto object = nlohmann::json::parse(line, nullptr, false);
        // A line torn by a crash is no JSON; the chain goes on from its text.
        if (object.is_object() && object.value("previous", "") != previous) {
            return Error{ErrorCode::conflict, Retry::never,
                         file.string() + ":" + std::to_string(count) + ": this line does not follow the one before it",
                         "a line was changed, dropped or added; compare with a copy"};
        }
        previous = sha256_hex(line);
    }
    return count;
}

}  // namespace qkd::engine
