// keyid-scp: the initiator's notice becomes a file on every responder's device, and each responder reads its own.
#include <algorithm>
#include <array>

#include "notice_file.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

using namespace qkd;
using keyid_scp::file_name;
using keyid_scp::parse_file_name;

constexpr unsigned file_mode = 0600;
constexpr unsigned directory_mode = 0700;

Result<FileAccess*> files_of(const TransportEnd& end) {
    FileAccess* files = end.session == nullptr ? nullptr : end.session->files();
    if (files != nullptr) return files;
    return Error{ErrorCode::unsupported, Retry::never,
                 end.device + (end.session == nullptr ? ": no session, so no file can be put there"
                                                      : ": this session cannot transfer files"),
                 "keyid-scp needs a device plugin that provides connect:files"};
}

class ScpTransport final : public KeyIdTransport {
  public:
    Result<void> configure(const ConfigView& config) override {
        directory_ = config.string("directory");
        while (directory_.size() > 1 && directory_.ends_with('/')) directory_.pop_back();
        const auto control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
        if (directory_.empty() || std::any_of(directory_.begin(), directory_.end(), control)) {
            return Error{ErrorCode::config, Retry::never,
                         config.name() + ": directory is empty or has control characters",
                         "name a directory on the devices, such as /var/tmp/qkd-macsec"};
        }
        return {};
    }

    Result<void> probe(Context&) override {
        return {};
    }  // there is no session to probe with; the connector's is probed

    Result<void> announce(Context& context, const TransportEnd&, std::span<const TransportEnd> responders,
                          const KeyIdNotice& notice) override {
        auto text = keyid_scp::encode(notice);
        if (!text) return std::move(text).error();
        for (const TransportEnd& responder : responders) {
            if (auto files = files_of(responder); !files) return std::move(files).error();
        }
        const SecretBytes content{std::string_view(*text)};
        const std::string name = file_name(notice.link, notice.generation);
        for (const TransportEnd& responder : responders) {
            FileAccess& files = *responder.session->files();
            if (auto made = files.make_directory(context, directory_, directory_mode); !made) return made;
            // Everything else of this link goes first, newer ones too: they are leftovers of a lost state, and the
            // responder takes the newest it finds.
            const auto stale = [](const keyid_scp::FileName&) { return true; };
            if (auto removed = remove(context, files, notice.link, stale, name); !removed) return removed;
            if (auto put = files.put(context, path(name), content, file_mode); !put) return put;
        }
        return {};
    }

    Result<KeyIdNotice> receive(Context& context, const TransportEnd& self, const std::string& link,
                                std::uint64_t after) override {
        auto files = files_of(self);
        if (!files) return std::move(files).error();
        auto names = (*files)->list(context, directory_);
        if (!names) return std::move(names).error();
        std::uint64_t newest = 0;
        for (const std::string& name : *names) {
            const auto parsed = parse_file_name(name, link);
            if (parsed && !parsed->acknowledgement) newest = std::max(newest, parsed->generation);
        }
        const Error nothing{ErrorCode::not_found, Retry::safe,
                            self.device + ": no notice of link " + link + " above generation " + std::to_string(after) +
                                " in " + directory_,
                            "the initiator has not sent one yet, or sends it to another directory"};
        if (newest <= after) return nothing;
        const std::string file = path(file_name(link, newest));
        auto content = (*files)->get(context, file);
        if (!content && content.error().code == ErrorCode::not_found) return nothing;  // withdrawn since the listing
        if (!content) return std::move(content).error();
        return keyid_scp::decode(content->reveal_text(), link, newest, self.device + ":" + file);
    }

    Result<void> acknowledge(Context& context, const TransportEnd& self, const KeyIdNotice& notice) override {
        auto files = files_of(self);
        if (!files) return std::move(files).error();
        const std::string name = file_name(notice.link, notice.generation);
        const std::string text = keyid_scp::acknowledgement(notice, self.device);
        auto put = (*files)->put(context, path(name) + ".ack", SecretBytes(std::string_view(text)), file_mode);
        if (!put) return put;
        const auto older = [&](const keyid_scp::FileName& file) { return file.generation < notice.generation; };
        return remove(context, **files, notice.link, older, "");
    }

    Result<void> retract(Context& context, const TransportEnd& self, const std::string& link) override {
        auto files = files_of(self);
        if (!files) return std::move(files).error();
        return remove(
            context, **files, link, [](const keyid_scp::FileName&) { return true; }, "");
    }

  private:
    [[nodiscard]] std::string path(const std::string& name) const {
        return directory_.ends_with('/') ? directory_ + name : directory_ + "/" + name;
    }

    /// Removes the link's files that `unwanted` names, except `kept`.
    template <class Predicate>
    Result<void> remove(Context& context, FileAccess& files, const std::string& link, Predicate unwanted,
                        const std::string& kept) {
        auto names = files.list(context, directory_);
        if (!names) return std::move(names).error();
        for (const std::string& name : *names) {
            const auto parsed = parse_file_name(name, link);
            if (!parsed || name == kept || !unwanted(*parsed)) continue;
            if (auto removed = files.remove(context, path(name)); !removed) return removed;
        }
        return {};
    }

    std::string directory_;
};

constexpr std::array stages{
    StageInfo{StageKind::key_id_transport, "files", "connect:files", &create_stage<ScpTransport>, &destroy_stage}};
constexpr std::array fields{Field{Scope::key_ids, FieldType::string, "directory", false, "/var/tmp/qkd-macsec", nullptr,
                                  "Directory on the devices that holds the notices; made 0700 when absent. A relative "
                                  "path counts from the login user's home directory."}};

}  // namespace

QKD_PLUGIN("keyid-scp", "1.0.0", "qkd-macsec", "Carries key_IDs as files over the devices' SSH", "stable", stages,
           fields)
