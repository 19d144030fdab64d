// Writes and reads the audit file.
#include "audit.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace qkd::kme_sim {
namespace {

using Json = nlohmann::json;

/// In the order of AuditEvent::Kind.
constexpr const char* names[] = {"issued", "fetched", "refused", "shared", "deleted"};

Error file_error(const std::string& path, const std::string& what) {
    return Error{.code = ErrorCode::config, .what = "audit file " + path + ": " + what, .hint = "name another file"};
}

bool parse(const std::string& line, AuditEvent& event) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) return false;
    try {
        const std::string kind = json.at("event");
        const auto* const name = std::find(std::begin(names), std::end(names), kind);
        if (name == std::end(names)) return false;
        event.kind = static_cast<AuditEvent::Kind>(name - std::begin(names));
        event.time = TimePoint(std::chrono::milliseconds(json.at("unix_ms").get<std::int64_t>()));
        event.kme = json.at("kme");
        event.caller = json.at("caller");
        event.key_id = json.at("key_ID");
        event.master = json.value("master", "");
        event.slaves = json.value("slaves", std::vector<std::string>{});
        auto key = from_hex(json.value("key", ""));
        if (!key) return false;
        event.key = std::move(*key);
    } catch (const Json::exception&) {
        return false;
    }
    return true;
}

}  // namespace

const char* to_string(AuditEvent::Kind kind) {
    return names[static_cast<int>(kind)];
}

Result<std::unique_ptr<AuditFile>> AuditFile::open(const std::string& path) {
    if (path.empty()) return std::unique_ptr<AuditFile>(new AuditFile(-1));
    const int descriptor = ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) return file_error(path, std::strerror(errno));
    if (::fchmod(descriptor, 0600) != 0) {
        const std::string why = std::strerror(errno);
        ::close(descriptor);
        return file_error(path, why);
    }
    // A crash may have cut the last line short; what follows must not be glued to it.
    const off_t size = ::lseek(descriptor, 0, SEEK_END);
    char last = '\n';
    if (size > 0 && ::pread(descriptor, &last, 1, size - 1) == 1 && last != '\n') {
        if (::write(descriptor, "\n", 1) != 1) last = '\n';
    }
    return std::unique_ptr<AuditFile>(new AuditFile(descriptor));
}

AuditFile::~AuditFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void AuditFile::record(const AuditEvent& event) {
    if (descriptor_ < 0) return;
    Json json = {{"time", to_rfc3339(event.time)}, {"unix_ms", event.time.time_since_epoch().count()},
                 {"event", to_string(event.kind)}, {"kme", event.kme},
                 {"caller", event.caller},         {"key_ID", event.key_id}};
    if (!event.key.empty()) json["key"] = to_hex(event.key);
    if (!event.master.empty()) json["master"] = event.master;
    if (!event.slaves.empty()) json["slaves"] = event.slaves;
    if (!event.reason.empty()) json["reason"] = event.reason;
    const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    if (::write(descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        std::fprintf(stderr, "kme-sim: the audit file cannot be written: %s\n", std::strerror(errno));
    }
}

Result<std::vector<AuditEvent>> read_audit(const std::string& path) {
    std::vector<AuditEvent> events;
    if (path.empty()) return events;
    std::ifstream in(path);
    if (!in) {
        if (errno == ENOENT) return events;
        return file_error(path, std::strerror(errno));
    }
    std::string line;
    while (std::getline(in, line)) {
        AuditEvent event;
        if (parse(line, event)) events.push_back(std::move(event));
    }
    return events;
}

}  // namespace qkd::kme_sim
