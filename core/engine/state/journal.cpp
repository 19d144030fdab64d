// Journal files: framing, sealing, durability.
#include "engine/state/journal.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "engine/secrets/seal.hpp"

namespace qkd::engine {
namespace {

constexpr std::array<std::uint8_t, 5> magic{'Q', 'K', 'D', 'J', 1};
constexpr std::uint32_t longest_record = 1U << 20U;
constexpr std::uint64_t longest_file = 16ULL << 20U;

Error failed(const std::filesystem::path& file, const char* what, int number) {
    return {ErrorCode::config, Retry::safe,
            "cannot " + std::string(what) + " the journal " + file.string() + ": " + std::strerror(number),
            number == ENOSPC || number == EDQUOT
                ? "make room on the file system of the state directory; nothing is begun without the journal"
                : "make the state directory writable for the user that runs qkd-macsec"};
}

bool put(int fd, std::span<const std::uint8_t> octets, std::uint64_t at) {
    while (!octets.empty()) {
        const ssize_t written = ::pwrite(fd, octets.data(), octets.size(), static_cast<off_t>(at));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        octets = octets.subspan(static_cast<std::size_t>(written));
        at += static_cast<std::uint64_t>(written);
    }
    return true;
}

Result<void> flush_directory(const std::filesystem::path& file) {
    const int fd = ::open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return failed(file, "open the folder of", errno);
    const bool flushed = ::fsync(fd) == 0;
    const int number = errno;
    ::close(fd);
    if (!flushed) return failed(file, "flush the folder of", number);
    return {};
}

}  // namespace

std::string file_stem(const std::string& link) {
    constexpr char digits[] = "0123456789abcdef";
    std::string name;
    for (const char c : link) {
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-') {
            name += c;
            continue;
        }
        const auto octet = static_cast<unsigned char>(c);
        name += {'_', digits[octet >> 4U], digits[octet & 15U]};
    }
    return name;
}

std::vector<std::string> journalled_links(const std::filesystem::path& state) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(state / "journal", ignored)) {
        if (entry.path().extension() == ".journal") names.push_back(entry.path().stem().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

Journal::Journal(const std::filesystem::path& state, const std::string& link, const SecretBytes& key)
    : file_(state / "journal" / (file_stem(link) + ".journal")), link_(link), key_(key) {}

Journal::~Journal() {
    if (fd_ >= 0) ::close(fd_);
}

std::string Journal::purpose(std::size_t number) const {
    return "qkd-macsec journal " + link_ + " " + std::to_string(number);
}

Result<std::optional<JournalEntry>> Journal::load() {
    std::optional<JournalEntry> last;
    fd_ = ::open(file_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd_ < 0) {
        if (errno == ENOENT || errno == ENOTDIR) return last;
        return failed(file_, "open", errno);
    }
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return failed(file_, "read", errno);
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (size > longest_file) {
        return Error{ErrorCode::config, Retry::never, "the journal " + file_.string() + " is too large to be one",
                     "see who wrote it; move it away once no device has an unconfirmed commit"};
    }
    std::vector<std::uint8_t> octets(size);
    for (std::uint64_t have = 0; have < size;) {
        const ssize_t got = ::pread(fd_, octets.data() + have, octets.size() - have, static_cast<off_t>(have));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return failed(file_, "read", got < 0 ? errno : EIO);
        have += static_cast<std::uint64_t>(got);
    }
    if (size < magic.size() || !std::equal(magic.begin(), magic.end(), octets.begin())) {
        // Torn in its very first octets: nothing was begun yet. Anything else there is none of ours.
        const auto common = std::min<std::size_t>(octets.size(), magic.size());
        if (size < magic.size() && std::equal(octets.begin(), octets.end(), magic.begin(),
                                              magic.begin() + static_cast<std::ptrdiff_t>(common))) {
            return last;
        }
        const auto head = octets.begin() + static_cast<std::ptrdiff_t>(common);
        if (std::all_of(octets.begin(), head, [](std::uint8_t o) { return o == 0; })) return last;  // erased
        return Error{ErrorCode::config, Retry::never, file_.string() + " is no journal of this program",
                     "see who wrote it and move it away"};
    }
    std::uint64_t at = magic.size();
    while (size - at >= 4) {
        std::uint32_t length = 0;
        for (std::size_t i = 0; i < 4; ++i) length = length << 8U | octets[at + i];
        if (length == 0 || length > longest_record || length > size - at - 4) break;
        const auto opened = unseal(key_, std::span(octets).subspan(at + 4, length), purpose(records_));
        auto entry = opened ? decode_entry(*opened) : std::nullopt;
        if (!entry) {
            if (records_ == 0) {
                return Error{
                    ErrorCode::config, Retry::never,
                    "the journal " + file_.string() + " does not open under the seal_key of the pipeline",
                    "give the seal_key back that was in use before; if that one is lost for good, wait until "
                    "no device has an unconfirmed commit, then move the file away: its key is lost, nothing else"};
            }
            break;  // a torn write whose length got to the disk before its octets
        }
        last = std::move(entry);
        at += 4 + length;
        ++records_;
    }
    size_ = records_ == 0 ? 0 : at;
    return last;
}

Result<void> Journal::create() {
    const auto folder = file_.parent_path();
    const bool made = ::mkdir(folder.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) return failed(file_, "make the folder of", errno);
    if (made) {
        if (auto r = flush_directory(folder); !r) return r;
    }
    fd_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd_ < 0) return failed(file_, "make", errno);
    return flush_directory(file_);
}

Result<void> Journal::write(const JournalEntry& entry) {
    if (fd_ < 0) {
        if (auto r = create(); !r) return r;
    }
    auto sealed = seal(key_, encode(entry), purpose(records_));
    if (!sealed) return std::move(sealed).error();
    std::vector<std::uint8_t> octets;
    if (records_ == 0) {
        octets.assign(magic.begin(), magic.end());
        size_ = 0;
    }
    const auto length = static_cast<std::uint32_t>(sealed->size());
    for (unsigned shift = 24;; shift -= 8) {
        octets.push_back(static_cast<std::uint8_t>(length >> shift));
        if (shift == 0) break;
    }
    octets.insert(octets.end(), sealed->begin(), sealed->end());
    // What a torn record left behind goes first: its rest must not look like a record behind ours.
    if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0) return failed(file_, "cut", errno);
    if (!put(fd_, octets, size_)) return failed(file_, "write", errno);
    if (::fdatasync(fd_) != 0) return failed(file_, "flush", errno);
    size_ += octets.size();
    ++records_;
    return {};
}

Result<void> Journal::erase() {
    if (fd_ < 0) {
        fd_ = ::open(file_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd_ < 0) {
            if (errno == ENOENT || errno == ENOTDIR) return {};
            return failed(file_, "open", errno);
        }
    }
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return failed(file_, "read", errno);
    const std::vector<std::uint8_t> nothing(static_cast<std::size_t>(info.st_size), 0);
    // First the beginning: whatever of the rest gets to the disk before a power failure, the file counts as erased.
    const auto head = std::min(nothing.size(), magic.size());
    if (!put(fd_, std::span(nothing).first(head), 0) || ::fdatasync(fd_) != 0) return failed(file_, "overwrite", errno);
    // Overwriting is a courtesy to disks that write in place; what counts is that the records are sealed.
    if (!put(fd_, nothing, 0) || ::fdatasync(fd_) != 0) return failed(file_, "overwrite", errno);
    ::close(fd_);
    fd_ = -1;
    records_ = 0;
    size_ = 0;
    if (::unlink(file_.c_str()) != 0 && errno != ENOENT) return failed(file_, "remove", errno);
    return flush_directory(file_);
}

}  // namespace qkd::engine
