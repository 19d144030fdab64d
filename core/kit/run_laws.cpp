// Runs the laws and tells how it went.
#include <poll.h>

#include <algorithm>
#include <sstream>

#include "kit/trial.hpp"
#include "qkd/sdk/encoding.hpp"

namespace qkd::conformance {
namespace {

using Steady = std::chrono::steady_clock;

/// However slow the machine: longer than that is no accident, or the law could be held by anybody on a busy one.
constexpr std::chrono::seconds most_forgiven{2};

/// How late this machine wakes up, now: what must be forgiven.
Steady::duration lateness() {
    Steady::duration worst{0};
    for (int i = 0; i < 3; ++i) {
        const auto until = Steady::now() + std::chrono::milliseconds{5};
        (void)::poll(nullptr, 0, 5);
        worst = std::max(worst, Steady::now() - until);
    }
    return worst;
}

struct Try {
    Verdict verdict = Verdict::held;
    std::string detail;
    bool late = false;
};

Try try_once(const Subject& subject, Expectation& expected, const Law& law) {
    Try one;
    Trial trial(subject, expected);
    std::vector<std::string> complaints;
    try {
        law.run(trial);
    } catch (const NotTried& reason) {
        one.verdict = Verdict::not_tried;
        one.detail = reason.what();
    } catch (const Broken& complaint) {
        complaints.emplace_back(complaint.what());
    } catch (const std::exception& thrown) {
        complaints.push_back(std::string("an exception: ") + thrown.what());
    } catch (...) {
        complaints.emplace_back("an exception that is no std::exception");
    }
    for (auto& complaint : trial.finish()) complaints.push_back(std::move(complaint));
    one.late = trial.was_late();
    if (complaints.empty()) return one;
    one.verdict = Verdict::broken;
    one.detail.clear();
    for (const auto& complaint : complaints) one.detail += (one.detail.empty() ? "" : "; ") + complaint;
    return one;
}

/// A machine that is busy elsewhere may be late by accident; a plugin that does not look at its deadline is late each
/// time. The verdict as a digit, then the detail.
std::string try_law(const Subject& subject, Expectation& expected, const Law& law) {
    constexpr int most_tries = 3;
    Try last = try_once(subject, expected, law);
    for (int tries = 1; last.late && tries < most_tries; ++tries) last = try_once(subject, expected, law);
    return static_cast<char>('0' + static_cast<int>(last.verdict)) + last.detail;
}

Outcome judge(const Subject& subject, const Law& law) {
    const auto begin = Steady::now();
    Expectation expected;
    const ChildEnd end = in_child([&] { return try_law(subject, expected, law); }, expected, subject.patience);
    Outcome outcome{law.name, law.demands, Verdict::broken, "the plugin " + end.flaw, 0};
    if (end.flaw.empty() && end.text.empty()) outcome.detail = "the plugin ended the process";
    if (end.flaw.empty() && !end.text.empty()) {
        outcome.verdict = static_cast<Verdict>(end.text.front() - '0');
        outcome.detail = end.text.substr(1);
    }
    outcome.ms = std::chrono::duration<double, std::milli>(Steady::now() - begin).count();
    return outcome;
}

const std::vector<Law>& laws_of(StageKind kind) {
    switch (kind) {
        case StageKind::connect: return connect_laws();
        case StageKind::certs: return certs_laws();
        case StageKind::initial_config: return initial_config_laws();
        case StageKind::key_source: return key_source_laws();
        case StageKind::key_id_transport: return transport_laws();
        case StageKind::commit: return commit_laws();
        case StageKind::persist: return persist_laws();
    }
    return common_laws();
}

std::string lower(std::string_view text) {
    std::string copy(text);
    std::transform(copy.begin(), copy.end(), copy.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return copy;
}

}  // namespace

const char* to_string(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::held: return "held";
        case Verdict::broken: return "BROKEN";
        case Verdict::not_tried: return "not tried";
    }
    return "?";
}

support::TestContext& Trial::context(std::chrono::milliseconds budget) {
    auto& context = contexts_.emplace_back(budget);
    expected_.busy_until(context.deadline());
    return context;
}

void Trial::guard_secret(const SecretBytes& secret) {
    if (secret.size() < 8) return;  // would be found anywhere
    secrets_.push_back(hex_encode(secret));
    secrets_.push_back(base64_encode(secret));
}

void Trial::note(const Error& error, const std::string& call) {
    expect(!error.what.empty(), call + ": its error says nothing");
    // Whoever interrupted needs no advice.
    expect(!error.hint.empty() || error.code == ErrorCode::cancelled, call + ": its error has no hint: " + error.what);
    texts_.push_back(error.what);
    texts_.push_back(error.hint);
}

void Trial::late(Steady::duration by, const std::string& what) {
    const auto grace = std::min<Steady::duration>(std::chrono::milliseconds{200} + 20 * lateness(), most_forgiven);
    const auto ms = [](Steady::duration time) {
        return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
    };
    late_ = late_ || by > grace;
    expect(by <= grace, what + " came back " + ms(by) + " ms late; " + ms(grace) + " ms are allowed on this machine");
}

std::vector<std::string> Trial::finish() {
    for (const auto& context : contexts_) texts_.insert(texts_.end(), context.lines().begin(), context.lines().end());
    for (const auto& text : texts_) {
        const std::string folded = lower(text);
        for (const auto& secret : secrets_) {
            const bool seen = text.find(secret.reveal_text()) != std::string::npos ||
                              folded.find(secret.reveal_text()) != std::string::npos;
            if (seen) {
                complaints_.emplace_back("a log line, event or error shows a key");
                return std::move(complaints_);
            }
        }
    }
    return std::move(complaints_);
}

std::vector<Outcome> run_laws(const Subject& subject) {
    std::vector<Outcome> outcomes;
    for (const Law& law : common_laws()) outcomes.push_back(judge(subject, law));
    for (std::size_t i = 0; i < subject.plugin->stage_count; ++i) {
        for (const Law& law : laws_of(subject.plugin->stages[i].kind)) outcomes.push_back(judge(subject, law));
    }
    return outcomes;
}

bool kept(const std::vector<Outcome>& outcomes) noexcept {
    return std::none_of(outcomes.begin(), outcomes.end(),
                        [](const Outcome& outcome) { return outcome.verdict == Verdict::broken; });
}

std::string to_text(const std::vector<Outcome>& outcomes) {
    std::ostringstream out;
    for (const Outcome& outcome : outcomes) {
        out << to_string(outcome.verdict) << std::string(outcome.verdict == Verdict::not_tried ? 1 : 4, ' ')
            << outcome.law << ": ";
        out << (outcome.verdict == Verdict::held ? outcome.demands : outcome.detail) << '\n';
    }
    return out.str();
}

}  // namespace qkd::conformance
