// keyid-memory: hands the notice from the initiator to the responders inside one process. The default off-box.
#include <array>
#include <map>
#include <mutex>

#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

/// The newest notice of every link. All members' objects of a link meet here.
class NoticeBoard {
  public:
    static NoticeBoard& instance() {
        static NoticeBoard board;
        return board;
    }

    void put(const qkd::KeyIdNotice& notice) {
        const std::lock_guard lock(mutex_);
        notices_.insert_or_assign(notice.link, notice);
    }
    std::optional<qkd::KeyIdNotice> newer(const std::string& link, std::uint64_t after) {
        const std::lock_guard lock(mutex_);
        const auto found = notices_.find(link);
        if (found == notices_.end() || found->second.generation <= after) return std::nullopt;
        return found->second;
    }
    void remove(const std::string& link) {
        const std::lock_guard lock(mutex_);
        notices_.erase(link);
    }

  private:
    std::mutex mutex_;
    std::map<std::string, qkd::KeyIdNotice> notices_;
};

class MemoryTransport final : public qkd::KeyIdTransport {
  public:
    qkd::Result<void> configure(const qkd::ConfigView&) override { return {}; }
    qkd::Result<void> probe(qkd::Context&) override { return {}; }  // nothing outside this process is involved

    qkd::Result<void> announce(qkd::Context&, const qkd::TransportEnd&, std::span<const qkd::TransportEnd>,
                               const qkd::KeyIdNotice& notice) override {
        NoticeBoard::instance().put(notice);
        return {};
    }

    qkd::Result<qkd::KeyIdNotice> receive(qkd::Context&, const qkd::TransportEnd& self, const std::string& link,
                                          std::uint64_t after) override {
        if (auto notice = NoticeBoard::instance().newer(link, after)) return *std::move(notice);
        return qkd::Error{
            qkd::ErrorCode::not_found, qkd::Retry::safe,
            self.device + ": no key_ID of link " + link + " above generation " + std::to_string(after),
            "keyid-memory only reaches members that are driven by this very process; on-box use keyid-scp"};
    }

    // The engine that would read the acknowledgement is the one that gives it.
    qkd::Result<void> acknowledge(qkd::Context&, const qkd::TransportEnd&, const qkd::KeyIdNotice&) override {
        return {};
    }

    qkd::Result<void> retract(qkd::Context&, const qkd::TransportEnd&, const std::string& link) override {
        NoticeBoard::instance().remove(link);
        return {};
    }
};

constexpr std::array stages{qkd::StageInfo{qkd::StageKind::key_id_transport, "in-process", "",
                                           &qkd::create_stage<MemoryTransport>, &qkd::destroy_stage}};
// What another transport's table holds stays in place when one word switches a link from one to the other.
constexpr std::array fields{qkd::Field{qkd::Scope::key_ids, qkd::FieldType::string, "directory", false, nullptr,
                                       nullptr, "Taken and not used."}};

}  // namespace

QKD_PLUGIN("keyid-memory", "1.0.0", "qkd-macsec", "Hands key_IDs over in memory; off-box only", "stable", stages,
           fields)
