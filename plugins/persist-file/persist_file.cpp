// persist-file: what is remembered of a link (key_IDs, generation, CKNs, times; never keys) in one JSON file per link.
#include <unistd.h>

#include <array>

#include "qkd/sdk/plugin.hpp"
#include "record_file.hpp"

namespace {

using namespace qkd;

class FilePersist final : public Persist {
  public:
    Result<void> configure(const ConfigView& config) override {
        directory_ = config.path("directory");
        if (directory_.is_absolute()) return {};
        return Error{ErrorCode::config, Retry::never, config.name() + ": directory is not an absolute path",
                     "leave it out, or name a directory on this machine"};
    }

    Result<void> probe(Context&) override {
        // The nearest directory that exists must be writable; making the rest is save()'s business.
        auto existing = directory_;
        std::error_code error;
        while (existing.has_relative_path() && !std::filesystem::exists(existing, error)) {
            existing = existing.parent_path();
        }
        if (::access(existing.c_str(), W_OK | X_OK) == 0) return {};
        return Error{ErrorCode::config, Retry::never, existing.string() + ": not writable by this user",
                     "give the user that runs qkd-macsec the directory " + directory_.string()};
    }

    Result<std::optional<LinkRecord>> load(Context&, const std::string& link) override {
        auto file = path(link);
        if (!file) return std::move(file).error();
        auto text = persist_file::read(*file);
        if (!text) return std::move(text).error();
        if (!*text) return std::optional<LinkRecord>();
        auto record = persist_file::decode(**text, link);
        if (record) return record;
        return Error{ErrorCode::config, Retry::never, file->string() + ": damaged record of link " + link,
                     "move the file away; the next run reads the devices and remembers anew"};
    }

    Result<void> save(Context&, const LinkRecord& record) override {
        auto file = path(record.link);
        if (!file) return std::move(file).error();
        auto text = persist_file::encode(record);
        if (!text) return std::move(text).error();
        return persist_file::replace(*file, *text);
    }

  private:
    [[nodiscard]] Result<std::filesystem::path> path(const std::string& link) const {
        auto name = persist_file::file_name(link);
        if (!name) return std::move(name).error();
        return directory_ / *name;
    }

    std::filesystem::path directory_;
};

constexpr std::array stages{stage<Persist, FilePersist>({Capability::durable})};
constexpr std::array fields{Field{Scope::persist, FieldType::path, "directory", false, "{state}/ids", nullptr,
                                  "Directory on this machine for one JSON file per link; made 0700 when absent."}};

}  // namespace

QKD_PLUGIN("persist-file", "1.0.0", "qkd-macsec", "Remembers key_IDs and generations in files", "stable", stages,
           fields)
