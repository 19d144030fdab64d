// keyid-scp: the notice is a file on a device, and so is every acknowledgement.
#include <algorithm>
#include <array>

#include "places.hpp"
#include "qkd/sdk/key_id_transport.hpp"
#include "qkd/sdk/net/notice.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

using namespace qkd;
using keyid_scp::acknowledgement_name;
using keyid_scp::notice_name;

constexpr unsigned file_mode = 0600;
constexpr unsigned directory_mode = 0700;
constexpr std::size_t longest_file_name = 240;  // 255 on every usual file system, less a suffix for the temporary file

class ScpTransport final : public KeyIdTransport {
  public:
    Result<void> configure(const ConfigView& config) override {
        config_ = &config;
        pull_ = config.string("direction") == "pull";
        directory_ = config.string("directory");
        while (directory_.size() > 1 && directory_.ends_with('/')) directory_.pop_back();
        const auto control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
        if (directory_.empty() || std::any_of(directory_.begin(), directory_.end(), control)) {
            return Error{ErrorCode::config, Retry::never,
                         config.name() + ": directory is empty or has control characters",
                         "name a directory on the devices, such as /var/tmp/qkd-macsec"};
        }
        return peers_.configure(config);
    }

    Result<void> probe(Context&) override {
        return {};
    }  // there is no session to probe with; the connector's is probed

    Result<void> announce(Context& context, const TransportEnd& self, std::span<const TransportEnd> responders,
                          const KeyIdNotice& notice) override {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        auto text = notice::seal(notice, *secret);
        if (!text) return std::move(text).error();
        if (auto fits = file_name_fits(notice_name(notice.link)); !fits) return fits;
        const auto holders = pull_ ? std::span(&self, 1) : responders;
        std::vector<FileAccess*> places;  // all of them first: nothing is sent to one when another is out of reach
        for (const TransportEnd& holder : holders) {
            auto files = files_of(context, holder);
            if (!files) return std::move(files).error();
            places.push_back(*files);
        }
        const SecretBytes content{std::string_view(*text)};
        for (FileAccess* files : places) {
            if (auto put = put_file(context, *files, notice_name(notice.link), content); !put) return put;
        }
        return {};
    }

    Result<KeyIdNotice> receive(Context& context, const TransportEnd& self, const std::string& link,
                                const NoticeFilter& wanted) override {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        if (pull_ && wanted.sender.empty()) {
            return Error{ErrorCode::unsupported, Retry::never, self.device + ": nobody says whose notice to pull",
                         R"(use direction = "push")"};
        }
        const std::string& holder = pull_ ? wanted.sender : self.device;
        auto files = pull_ ? peers_.files(context, holder) : files_of(context, self);
        if (!files) return std::move(files).error();
        const std::string file = path(notice_name(link));
        const std::string place = holder + ":" + file;
        auto content = (*files)->get(context, file);
        if (!content && content.error().code == ErrorCode::not_found) {
            return Error{ErrorCode::not_found, Retry::safe, place + " is not there: no notice of link " + link + " yet",
                         "the initiator has not sent one yet, or sends it to another directory"};
        }
        if (!content) return std::move(content).error();
        auto notice = notice::open(content->reveal_text(), *secret, place);
        if (!notice) return notice;
        if (auto good = notice::judge(*notice, link, wanted, place); !good) return std::move(good).error();
        return notice;
    }

    Result<void> acknowledge(Context& context, const TransportEnd& self, const KeyIdNotice& notice) override {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        auto text = notice::seal(notice::Acknowledgement{notice.link, notice.mark(), self.device}, *secret);
        if (!text) return std::move(text).error();
        const std::string name = acknowledgement_name(notice.link, self.device);
        if (auto fits = file_name_fits(name); !fits) return fits;
        auto files = files_of(context, self);
        if (!files) return std::move(files).error();
        return put_file(context, **files, name, SecretBytes(std::string_view(*text)));
    }

    Result<std::vector<std::string>> acknowledgements(Context& context, const TransportEnd&,
                                                      std::span<const TransportEnd> responders,
                                                      const KeyIdNotice& notice) override {
        auto secret = notice::link_secret(*config_, context);
        if (!secret) return std::move(secret).error();
        std::vector<std::string> devices;
        for (const TransportEnd& responder : responders) {
            auto files = files_of(context, responder);
            if (!files) return std::move(files).error();
            const std::string file = path(acknowledgement_name(notice.link, responder.device));
            auto content = (*files)->get(context, file);
            if (!content && content.error().code == ErrorCode::not_found) continue;
            if (!content) return std::move(content).error();
            const std::string place = responder.device + ":" + file;
            auto answer = notice::open_acknowledgement(content->reveal_text(), *secret, place);
            if (!answer) return std::move(answer).error();
            if (answer->link != notice.link || answer->device != responder.device) {
                return Error{ErrorCode::rejected, Retry::never,
                             place + " is by " + answer->device + " about link " + answer->link,
                             "somebody moved it there; remove it"};
            }
            if (answer->mark == notice.mark()) devices.push_back(responder.device);
        }
        return devices;
    }

    Result<void> retract(Context& context, const TransportEnd& self, const std::string& link) override {
        auto files = files_of(context, self);
        if (!files) return std::move(files).error();
        auto names = (*files)->list(context, directory_);
        if (!names) return std::move(names).error();
        for (const std::string& name : *names) {
            if (!keyid_scp::belongs_to(name, link)) continue;
            if (auto removed = (*files)->remove(context, path(name)); !removed) return removed;
        }
        return {};
    }

  private:
    /// By the session that the engine lends; where it lends none, by one of our own.
    Result<FileAccess*> files_of(Context& context, const TransportEnd& end) {
        if (end.session == nullptr) return peers_.files(context, end.device);
        if (FileAccess* files = end.session->files(); files != nullptr) return files;
        return Error{ErrorCode::unsupported, Retry::never, end.device + ": this session cannot transfer files",
                     "keyid-scp needs a device plugin that provides connect:files"};
    }

    [[nodiscard]] std::string path(const std::string& name) const {
        return directory_.ends_with('/') ? directory_ + name : directory_ + "/" + name;
    }

    static Result<void> file_name_fits(const std::string& name) {
        if (name.size() <= longest_file_name) return {};
        return Error{
            ErrorCode::rejected, Retry::never, "the file name " + name + " would be too long",
            "shorten the link's or the device's name, or use fewer characters other than letters, digits and -"};
    }

    Result<void> put_file(Context& context, FileAccess& files, const std::string& name, const SecretBytes& content) {
        if (auto made = files.make_directory(context, directory_, directory_mode); !made) return made;
        return files.put(context, path(name), content, file_mode);
    }

    const ConfigView* config_ = nullptr;
    std::string directory_;
    bool pull_ = false;
    keyid_scp::Peers peers_;
};

constexpr std::array stages{stage<KeyIdTransport, ScpTransport>({Capability::writes}, {Capability::files})};
constexpr std::array fields{
    Field{Scope::key_ids, FieldType::string, "directory", false, "/var/tmp/qkd-macsec", nullptr,
          "Directory on the devices that holds the notices; made 0700 when absent. A relative path counts from the "
          "login user's home directory."},
    Field{Scope::key_ids, FieldType::one_of, "direction", false, "push", "push|pull",
          "push: the initiator writes the notice on every responder's device. pull: on its own, and responders read it "
          "there."},
    notice::secret_field,
    Field{Scope::key_ids, FieldType::string_list, "peers", false, nullptr, nullptr,
          "On-box: the members' devices as \"DEVICE=HOST\" or \"DEVICE=HOST:PORT\", for SSH to those that this process "
          "has no session with."},
    Field{Scope::key_ids, FieldType::string, "user", false, nullptr, nullptr, "Login user at the peers."},
    Field{Scope::key_ids, FieldType::secret, "ssh_key", false, nullptr, nullptr,
          "Private key for the peers, OpenSSH or PEM form, without passphrase."},
    Field{Scope::key_ids, FieldType::path, "known_hosts", false, nullptr, nullptr,
          "OpenSSH known_hosts file with the host keys of the peers."}};

}  // namespace

QKD_PLUGIN("keyid-scp", "1.0.0", "qkd-macsec", "Carries key_IDs as files over the devices' SSH", "stable", stages,
           fields)
