// Laws for connect: sessions open and close, offer what they claim, and never hang.
#include <algorithm>
#include <array>

#include "kit/patience.hpp"
#include "kit/trial.hpp"
#include "qkd/sdk/device.hpp"

namespace qkd::conformance {
namespace {

constexpr StageKind kind = StageKind::connect;

struct Opened {
    explicit Opened(Trial& trial) : connector(trial.make<Connector>()) {
        Trial::needs(trial.subject().target.has_value(), "there is no device behind this configuration");
        session = trial.must(connector->open(trial.context()), "open");
    }
    support::PluginObject<Connector> connector;
    std::unique_ptr<DeviceSession> session;
};

void open_and_close(Trial& trial) {
    Opened opened(trial);
    trial.expect(opened.session->alive(), "a new session is not alive");
    trial.expect(!opened.session->facts().host_name.empty(), "facts hold no host name");
    const auto second = trial.must(opened.connector->open(trial.context()), "a second session at the same time");
    trial.either(opened.session->close(trial.context()), "close");
    trial.expect(!opened.session->alive(), "a closed session is alive");
    trial.expect(second->alive(), "closing one session ends another");
}

void offers(Trial& trial) {
    Opened opened(trial);
    const CapabilitySet provides = support::find_stage(trial.plugin(), kind)->provides;
    const auto agree = [&](Capability capability, bool there) {
        const bool claimed = provides.has(capability);
        trial.expect(claimed == there, to_string(capability) + std::string(claimed ? " is claimed and not offered"
                                                                                   : " is offered and not claimed"));
    };
    agree(Capability::files, opened.session->files() != nullptr);
    agree(Capability::lldp, opened.session->lldp() != nullptr);
    agree(Capability::clock, opened.session->clock() != nullptr);
}

void files(Trial& trial) {
    Opened opened(trial);
    FileAccess* files = opened.session->files();
    Trial::needs(files != nullptr, "no files");
    const std::string folder = "/var/tmp/qkd-conformance";
    trial.expect(trial.must(files->list(trial.context(), folder + "/absent"), "list of an absent directory").empty(),
                 "an absent directory is not empty");
    trial.must(files->make_directory(trial.context(), folder, 0700), "make_directory");
    trial.must(files->make_directory(trial.context(), folder, 0700), "make_directory again");
    const std::array contents{std::string(), std::string("one"), std::string("\0\xff\r\n", 4),
                              std::string(100000, 'x')};
    for (const char* name : {"plain", "it's $HOME; a b"}) {
        const std::string path = folder + "/" + name;
        for (const std::string& content : contents) {
            trial.must(files->put(trial.context(), path, SecretBytes(std::string_view(content)), 0600), "put");
            const auto got = trial.must(files->get(trial.context(), path), "get");
            trial.expect(got.reveal_text() == content, "another content comes back than was put");
        }
        const auto names = trial.must(files->list(trial.context(), folder), "list");
        trial.expect(std::count(names.begin(), names.end(), name) == 1, "list does not show the file once");
        trial.must(files->remove(trial.context(), path), "remove");
        trial.must(files->remove(trial.context(), path), "remove of what is not there");
        (void)trial.must_fail(files->get(trial.context(), path), "get of what is not there", {ErrorCode::not_found});
    }
    trial.expect(trial.must(files->list(trial.context(), folder), "list").empty(), "temporary files are left behind");
}

void clock(Trial& trial) {
    Opened opened(trial);
    Trial::needs(opened.session->clock() != nullptr, "no clock");
    const auto first = trial.must(opened.session->clock()->read(trial.context()), "read");
    const auto second = trial.must(opened.session->clock()->read(trial.context()), "read");
    trial.expect(first.resolution.count() > 0, "the resolution is not positive");
    trial.expect(second.now + second.resolution > first.now, "time runs backwards");
    trial.expect(first.utc_offset > std::chrono::hours{-24} && first.utc_offset < std::chrono::hours{24},
                 "the offset from UTC cannot be");
}

void deadline(Trial& trial) {
    honours_deadline<Connector>(trial, "open",
                                [](Connector& connector, Context& context) { return connector.open(context); });
}

void stop(Trial& trial) {
    honours_stop<Connector>(trial, "open",
                            [](Connector& connector, Context& context) { return connector.open(context); });
}

}  // namespace

const std::vector<Law>& connect_laws() {
    static const std::vector<Law> laws{
        {"connect.open", "sessions open and close independently", open_and_close},
        {"connect.offers", "a session offers exactly what the descriptor provides", offers},
        {"connect.files", "files come back as they were put, names are taken literally, nothing is left behind", files},
        {"connect.clock", "the clock moves forward and states its resolution", clock},
        {"connect.deadline", "open comes back within 200 ms of its deadline", deadline},
        {"connect.stop", "open comes back within 200 ms of an interruption", stop}};
    return laws;
}

}  // namespace qkd::conformance
