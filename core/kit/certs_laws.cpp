// Laws for certs: idempotent, private, and planned without touching anything.
#include <sys/stat.h>

#include "kit/support/fake_network.hpp"
#include "kit/support/temp_dir.hpp"
#include "kit/trial.hpp"
#include "qkd/sdk/certs.hpp"

namespace qkd::conformance {
namespace {

constexpr StageKind kind = StageKind::certs;

struct Rig {
    explicit Rig(Trial& t) : certs(t.make<CertStage>()), session(network.session("r1")) {
        Trial::needs(!t.subject().scratch.empty(), "no scratch directory");
        subject.sae = t.subject().initiator_sae;
        subject.device = "r1";
    }
    support::FakeNetwork network;
    support::PluginObject<CertStage> certs;
    std::unique_ptr<DeviceSession> session;
    CertSubject subject;
};

void idempotent(Trial& trial) {
    Rig rig(trial);
    (void)trial.must(rig.certs->ensure(trial.context(), rig.subject, *rig.session), "ensure");
    const auto files = support::files_below(trial.subject().scratch);
    const auto devices = rig.network.state();
    const auto again = trial.must(rig.certs->ensure(trial.context(), rig.subject, *rig.session), "ensure again");
    trial.expect(again == Change::unchanged, "ensure claims a change although everything is there");
    trial.expect(support::files_below(trial.subject().scratch) == files, "ensure rewrites files that are valid");
    trial.expect(rig.network.state() == devices, "ensure rewrites files on the device that are valid");
    const auto planned = trial.must(rig.certs->plan(trial.context(), rig.subject, *rig.session), "plan");
    trial.expect(planned.empty(), "plan wants something although everything is there: " + planned);
}

void no_trial(Trial& trial) {
    Rig rig(trial);
    (void)trial.must(rig.certs->ensure(trial.context(), rig.subject, *rig.session), "ensure");
    const auto files = support::files_below(trial.subject().scratch);
    const auto devices = rig.network.state();
    rig.subject.provable = true;
    for (const bool accepted : {true, false}) {
        const auto done = rig.certs->conclude(trial.context(), rig.subject, *rig.session, accepted);
        trial.expect(done.ok(), "conclude without a trial fails");
        trial.expect(support::files_below(trial.subject().scratch) == files, "conclude without a trial changes files");
        trial.expect(rig.network.state() == devices, "conclude without a trial changes the device");
    }
}

void plan_only_looks(Trial& trial) {
    Rig rig(trial);
    rig.subject.sae = "conformance-new-sae";
    const auto files = support::files_below(trial.subject().scratch);
    const auto devices = rig.network.state();
    trial.either(rig.certs->plan(trial.context(), rig.subject, *rig.session), "plan");
    trial.expect(support::files_below(trial.subject().scratch) == files, "plan writes files");
    trial.expect(rig.network.state() == devices, "plan writes on the device");
}

void private_keys(Trial& trial) {
    Rig rig(trial);
    (void)trial.must(rig.certs->ensure(trial.context(), rig.subject, *rig.session), "ensure");
    const auto is_key = [](const std::string& text) { return text.find("PRIVATE KEY-----") != std::string::npos; };
    for (const auto& [name, content] : support::files_below(trial.subject().scratch)) {
        if (!is_key(content)) continue;
        struct stat status {};
        const std::string path = (trial.subject().scratch / name).string();
        trial.expect(::stat(path.c_str(), &status) == 0 && (status.st_mode & 0077U) == 0, name + " is open to others");
        const auto body = content.find('\n') + 1;
        trial.guard_text(std::string_view(content).substr(body, 64));
    }
    for (const auto& [path, file] : rig.network.device("r1").files) {
        trial.expect(!is_key(file.content) || (file.mode & 0077U) == 0, path + " on the device is open to others");
    }
}

void without_time(Trial& trial) {
    Rig rig(trial);
    auto& context = trial.context(std::chrono::milliseconds{0});
    trial.either(rig.certs->ensure(context, rig.subject, *rig.session), "ensure without time");
    trial.late(std::chrono::steady_clock::now() - context.deadline(), "ensure without time");
}

}  // namespace

const std::vector<Law>& certs_laws() {
    static const std::vector<Law> laws{
        {"certs.idempotent", "what is valid is left alone, and plan then wants nothing", idempotent},
        {"certs.trial", "without a new certificate on trial conclude changes nothing", no_trial},
        {"certs.plan", "plan only looks", plan_only_looks},
        {"certs.private", "private keys are readable by their owner only, here and on the device", private_keys},
        {"certs.deadline", "ensure comes back within 200 ms of its deadline", without_time}};
    return laws;
}

}  // namespace qkd::conformance
