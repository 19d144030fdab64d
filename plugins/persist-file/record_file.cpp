// Records on disk.
#include "record_file.hpp"

#include <fcntl.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkostemp is POSIX
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>

namespace qkd::persist_file {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int schema = 1;
constexpr std::size_t largest_file = 65536;
constexpr std::size_t longest_name = 200;  // the system allows 255; the temporary name is longer
constexpr std::size_t most_own_ckns = 128;
constexpr std::int64_t last_second = 253402300799;  // 9999-12-31T23:59:59Z

Error failed(const fs::path& file, const char* doing, int error) {
    return {ErrorCode::config, Retry::safe,
            file.string() + ": cannot " + doing + ": " + std::generic_category().message(error),
            "look at the owner, the mode and the free space of " + file.parent_path().string()};
}

/// A file descriptor that is closed at the end.
class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const noexcept { return fd_; }

  private:
    int fd_;
};

bool printable(const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool good(const LinkRecord& record) {
    const auto in_range = [](UtcSeconds time) {
        const auto seconds = time.time_since_epoch().count();
        return seconds >= 0 && seconds <= last_second;
    };
    return printable(record.link) && printable(record.key_id) && printable(record.previous_key_id) &&
           printable(record.ckn) && printable(record.rollover) && printable(record.pending_key_id) &&
           printable(record.pending_ckn) && printable(record.fallback_ckn) && record.commit_time.count() >= 0 &&
           record.own_ckns.size() <= most_own_ckns &&
           std::all_of(record.own_ckns.begin(), record.own_ckns.end(), printable) && in_range(record.saved) &&
           (!record.start || in_range(*record.start));
}

Result<void> make_directory(const fs::path& directory) {
    std::error_code error;
    if (fs::is_directory(directory, error)) return {};
    if (const auto parent = directory.parent_path(); !parent.empty() && parent != directory) {
        if (auto made = make_directory(parent); !made) return made;
    }
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return failed(directory, "make the directory", errno);
    return {};
}

Result<void> write_all(int fd, std::string_view content, const fs::path& file) {
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return failed(file, "write", errno);
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::fsync(fd) != 0) return failed(file, "flush to the disk", errno);
    return {};
}

}  // namespace

Result<std::string> file_name(const std::string& link) {
    constexpr char digits[] = "0123456789abcdef";
    std::string name;
    for (const char c : link) {
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-') {
            name += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        name += {'_', digits[byte >> 4U], digits[byte & 15U]};
    }
    if (name.empty() || name.size() > longest_name) {
        return Error{ErrorCode::rejected, Retry::never, "the name of link '" + link + "' makes no file name",
                     "give the link a name of 1 to 64 plain characters"};
    }
    return name + ".json";
}

Result<std::string> encode(const LinkRecord& record) {
    if (!good(record)) {
        return Error{ErrorCode::rejected, Retry::never, "the record of link " + record.link + " cannot be saved",
                     "names, key_IDs and CKNs must be printable ASCII and times between 1970 and 9999"};
    }
    nlohmann::ordered_json object{{"schema", schema},
                                  {"link", record.link},
                                  {"generation", record.generation},
                                  {"key_id", record.key_id},
                                  {"previous_key_id", record.previous_key_id},
                                  {"ckn", record.ckn},
                                  {"rollover", record.rollover},
                                  {"own_ckns", record.own_ckns},
                                  {"pending_key_id", record.pending_key_id},
                                  {"pending_ckn", record.pending_ckn},
                                  {"fallback_ckn", record.fallback_ckn},
                                  {"commit_ms", record.commit_time.count()},
                                  {"start", nullptr},
                                  {"saved", record.saved.time_since_epoch().count()}};
    if (record.start) object["start"] = record.start->time_since_epoch().count();
    std::string text = object.dump(1) + "\n";
    if (text.size() > largest_file) {
        return Error{ErrorCode::rejected, Retry::never, "the record of link " + record.link + " is larger than 64 KiB",
                     "look at the key_IDs of its KME"};
    }
    return text;
}

std::optional<LinkRecord> decode(std::string_view text, const std::string& link) {
    const json object = json::parse(text, nullptr, false);
    if (!object.is_object() || object.size() != 14 || object.value("schema", json()) != json(schema)) {
        return std::nullopt;
    }
    bool good_so_far = true;
    const auto member = [&](const char* key) -> const json& {
        static const json none;
        const auto found = object.find(key);
        if (found != object.end()) return *found;
        good_so_far = false;
        return none;
    };
    const auto text_of = [&](const json& value) {
        if (!value.is_string()) good_so_far = false;
        return value.is_string() ? value.get<std::string>() : std::string();
    };
    const auto number_of = [&](const json& value) {
        if (!value.is_number_unsigned()) good_so_far = false;
        return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
    };
    const auto time_of = [&](const json& value) {
        const std::uint64_t seconds = number_of(value);
        if (seconds > static_cast<std::uint64_t>(last_second)) good_so_far = false;
        return UtcSeconds{std::chrono::seconds{good_so_far ? seconds : 0}};
    };
    LinkRecord record;
    record.link = text_of(member("link"));
    record.generation = number_of(member("generation"));
    record.key_id = text_of(member("key_id"));
    record.previous_key_id = text_of(member("previous_key_id"));
    record.ckn = text_of(member("ckn"));
    record.rollover = text_of(member("rollover"));
    record.pending_key_id = text_of(member("pending_key_id"));
    record.pending_ckn = text_of(member("pending_ckn"));
    record.fallback_ckn = text_of(member("fallback_ckn"));
    record.commit_time = std::chrono::milliseconds{number_of(member("commit_ms")) & 0xffffffffU};
    if (const json& ckns = member("own_ckns"); ckns.is_array()) {
        for (const json& ckn : ckns) record.own_ckns.push_back(text_of(ckn));
    } else {
        good_so_far = false;
    }
    if (const json& start = member("start"); !start.is_null()) record.start = time_of(start);
    record.saved = time_of(member("saved"));
    if (!good_so_far || record.link != link || !good(record)) return std::nullopt;
    return record;
}

Result<std::optional<std::string>> read(const fs::path& file) {
    // Without O_NONBLOCK a FIFO of that name would stop us for ever.
    const Descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (in.get() < 0 && errno == ENOENT) return std::optional<std::string>();
    if (in.get() < 0) return failed(file, "open", errno);
    struct stat status {};
    if (::fstat(in.get(), &status) != 0) return failed(file, "look at", errno);
    if (!S_ISREG(status.st_mode)) return failed(file, "read something that is no regular file", EINVAL);
    std::string content(largest_file + 1, '\0');
    std::size_t size = 0;
    while (size < content.size()) {
        const ssize_t got = ::read(in.get(), content.data() + size, content.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failed(file, "read", errno);
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    content.resize(size);
    if (size > largest_file) return failed(file, "read more than 64 KiB", EFBIG);
    return std::optional(std::move(content));
}

Result<void> replace(const fs::path& file, std::string_view content) {
    const fs::path directory = file.parent_path();
    if (auto made = make_directory(directory); !made) return made;
    const Descriptor folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0) return failed(directory, "open", errno);

    std::string temporary = (directory / ("." + file.filename().string() + ".XXXXXX")).string();
    const Descriptor out(::mkostemp(temporary.data(), O_CLOEXEC));  // 0600 by definition
    if (out.get() < 0) return failed(temporary, "create", errno);
    auto done = write_all(out.get(), content, temporary);
    if (done && ::rename(temporary.c_str(), file.c_str()) != 0) done = failed(file, "replace", errno);
    if (!done) {
        (void)::unlink(temporary.c_str());
        return done;
    }
    if (::fsync(folder.get()) != 0) return failed(directory, "flush to the disk", errno);
    return {};
}

}  // namespace qkd::persist_file
