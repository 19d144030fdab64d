// The state in a directory: a lock, sealed journals, an audit log.
#include <utility>

#include "engine/secrets/references.hpp"
#include "engine/state/audit.hpp"
#include "engine/state/journal.hpp"
#include "engine/state/lock.hpp"
#include "engine/state/store.hpp"

namespace qkd::engine {
namespace {

class FileStore final : public Store {
  public:
    FileStore(std::filesystem::path directory, StateLock lock, SecretBytes seal_key, std::unique_ptr<Audit> audit)
        : directory_(std::move(directory)),
          lock_(std::move(lock)),
          seal_key_(std::move(seal_key)),
          audit_(std::move(audit)) {}

    std::unique_ptr<LinkJournal> journal(const std::string& link) override {
        return std::make_unique<Journal>(directory_, link, seal_key_);
    }
    AuditLog& audit() override { return *audit_; }

  private:
    std::filesystem::path directory_;
    StateLock lock_;
    SecretBytes seal_key_;
    std::unique_ptr<Audit> audit_;
};

}  // namespace

Result<std::unique_ptr<Store>> open_store(const StateSpec& spec, const std::string& run_id, Context& context) {
    auto lock = StateLock::take(spec.directory);
    if (!lock) return std::move(lock).error();
    auto key = load_seal_key({spec.seal_key, spec.directory}, true, context);
    if (!key) return std::move(key).error();
    auto audit = Audit::open(spec.directory, run_id);
    if (!audit) return std::move(audit).error();
    return std::unique_ptr<Store>(
        std::make_unique<FileStore>(spec.directory, std::move(*lock), std::move(*key), std::move(*audit)));
}

}  // namespace qkd::engine
