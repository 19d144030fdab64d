// keyid-memory: hands the notice from the initiator to the responders inside one process. The default off-box.
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/net/notice.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

using namespace qkd;

/// The newest notice of every link, and who acknowledged it. All members' objects of a link meet here.
class NoticeBoard {
  public:
    static NoticeBoard& instance() {
        static NoticeBoard board;
        return board;
    }

    void put(const KeyIdNotice& notice) {
        const std::lock_guard lock(mutex_);
        Entry& entry = entries_[notice.link];
        if (entry.notice != notice) entry = {notice, {}};
    }
    std::optional<KeyIdNotice> get(const std::string& link) {
        const std::lock_guard lock(mutex_);
        const auto found = entries_.find(link);
        if (found == entries_.end()) return std::nullopt;
        return found->second.notice;
    }
    void acknowledge(const KeyIdNotice& notice, const std::string& device) {
        const std::lock_guard lock(mutex_);
        const auto found = entries_.find(notice.link);
        if (found != entries_.end() && found->second.notice == notice) found->second.acknowledged.insert(device);
    }
    std::set<std::string> acknowledgements(const KeyIdNotice& notice) {
        const std::lock_guard lock(mutex_);
        const auto found = entries_.find(notice.link);
        if (found == entries_.end() || found->second.notice != notice) return {};
        return found->second.acknowledged;
    }
    void remove(const std::string& link) {
        const std::lock_guard lock(mutex_);
        entries_.erase(link);
    }

  private:
    struct Entry {
        KeyIdNotice notice;
        std::set<std::string> acknowledged;
    };
    std::mutex mutex_;
    std::map<std::string, Entry> entries_;
};

class MemoryTransport final : public KeyIdTransport {
  public:
    Result<void> configure(const ConfigView&) override { return {}; }
    Result<void> probe(Context&) override { return {}; }  // nothing outside this process is involved

    Result<void> announce(Context&, const TransportEnd&, std::span<const TransportEnd>,
                          const KeyIdNotice& notice) override {
        if (auto sealed = notice::seal(notice, {}); !sealed)
            return std::move(sealed).error();  // limits are the same everywhere
        NoticeBoard::instance().put(notice);
        return {};
    }

    Result<KeyIdNotice> receive(Context&, const TransportEnd& self, const std::string& link,
                                const NoticeFilter& wanted) override {
        auto notice = NoticeBoard::instance().get(link);
        if (!notice) {
            return Error{
                ErrorCode::not_found, Retry::safe, self.device + ": no notice of link " + link,
                "keyid-memory only reaches members that are driven by this very process; on-box use keyid-scp"};
        }
        if (auto good = notice::judge(*notice, link, wanted, self.device + ": the notice"); !good)
            return std::move(good).error();
        return *std::move(notice);
    }

    Result<void> acknowledge(Context&, const TransportEnd& self, const KeyIdNotice& notice) override {
        NoticeBoard::instance().acknowledge(notice, self.device);
        return {};
    }

    Result<std::vector<std::string>> acknowledgements(Context&, const TransportEnd&,
                                                      std::span<const TransportEnd> responders,
                                                      const KeyIdNotice& notice) override {
        const auto all = NoticeBoard::instance().acknowledgements(notice);
        std::vector<std::string> devices;
        for (const TransportEnd& responder : responders) {
            if (all.contains(responder.device)) devices.push_back(responder.device);
        }
        return devices;
    }

    Result<void> retract(Context&, const TransportEnd&, const std::string& link) override {
        NoticeBoard::instance().remove(link);
        return {};
    }
};

constexpr std::array stages{stage<KeyIdTransport, MemoryTransport>({Capability::in_process})};
// What another transport's table holds stays in place when one word switches a link from one to the other.
constexpr std::array fields{Field{Scope::key_ids, FieldType::string, "directory", false, nullptr, nullptr,
                                  "Taken and not used, so that one word switches a link from keyid-scp and back."},
                            Field{Scope::key_ids, FieldType::secret, "secret", false, nullptr, nullptr,
                                  "Taken and not used, so that one word switches a link from keyid-scp and back."}};

}  // namespace

QKD_PLUGIN("keyid-memory", "1.0.0", "qkd-macsec", "Hands key_IDs over in memory; off-box only", "stable", stages,
           fields)
