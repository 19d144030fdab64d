// What a law works with: objects of the plugin, contexts, and ways to say what it saw.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "kit/laws.hpp"
#include "kit/own_process.hpp"
#include "kit/support/plugin_object.hpp"
#include "kit/support/test_context.hpp"

namespace qkd::conformance {

/// Ends a law that cannot be tried with this subject.
struct NotTried : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// Ends a law at once, as broken.
struct Broken : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// One law's try.
class Trial {
  public:
    Trial(const Subject& subject, Expectation& expected) : subject_(subject), expected_(expected) {}

    [[nodiscard]] const Subject& subject() const noexcept { return subject_; }
    [[nodiscard]] const PluginDescriptor& plugin() const noexcept { return *subject_.plugin; }

    /// Notes what is wrong and goes on.
    void expect(bool good, const std::string& otherwise) {
        if (!good) complaints_.push_back(otherwise);
    }
    /// Notes what is wrong and ends the law.
    static void require(bool good, const std::string& otherwise) {
        if (!good) throw Broken(otherwise);
    }
    static void needs(bool there, const std::string& missing) {
        if (!there) throw NotTried(missing);
    }

    /// The value, or the end of the law.
    template <class T>
    T must(Result<T> result, const std::string& call) {
        if (!result) {
            note(result.error(), call);
            throw Broken(call + " failed: " + result.error().what);
        }
        return std::move(result).value();
    }
    void must(const Result<void>& result, const std::string& call) {
        if (result) return;
        note(result.error(), call);
        throw Broken(call + " failed: " + result.error().what);
    }
    /// An error with one of these codes, else a complaint. Returns it when there is one.
    template <class T>
    std::optional<Error> must_fail(const Result<T>& result, const std::string& call, std::vector<ErrorCode> codes) {
        if (result) {
            expect(false, call + " claims success");
            return std::nullopt;
        }
        note(result.error(), call);
        bool known = codes.empty();
        std::string wanted;
        for (const ErrorCode code : codes) {
            known = known || code == result.error().code;
            wanted += (wanted.empty() ? "" : " or ") + std::string(to_string(code));
        }
        expect(known, call + " failed with " + to_string(result.error().code) + " instead of " + wanted + ": " +
                          result.error().what);
        return result.error();
    }
    /// Either is fine; an error must be a good one.
    template <class T>
    void either(const Result<T>& result, const std::string& call) {
        if (!result) note(result.error(), call);
    }

    /// A context whose log is searched for secrets when the law is over.
    support::TestContext& context(std::chrono::milliseconds budget = std::chrono::seconds{20});
    /// A configured object, as the engine makes it.
    template <class T>
    support::PluginObject<T> make(End end = End::initiator) {
        return {plugin(), subject_.config(T::kind, end)};
    }
    support::PluginObject<Stage> make(StageKind kind) {
        return {plugin(), kind, subject_.config(kind, End::initiator)};
    }
    /// From now on this may stand in no log, event or error, in hex or base64.
    void guard_secret(const SecretBytes& secret);
    /// The same for a text, as it is.
    void guard_text(std::string_view text) { secrets_.emplace_back(text); }

    /// Complains when `by` is more than 200 ms and what this machine needs to wake up.
    void late(std::chrono::steady_clock::duration by, const std::string& what);
    [[nodiscard]] bool was_late() const noexcept { return late_; }

    /// Everything that is wrong, secrets in texts included.
    std::vector<std::string> finish();

  private:
    void note(const Error& error, const std::string& call);

    const Subject& subject_;
    Expectation& expected_;
    std::vector<std::string> complaints_;
    std::vector<std::string> texts_;
    std::vector<SecretBytes> secrets_;  ///< as they would be written
    std::deque<support::TestContext> contexts_;
    bool late_ = false;
};

/// A law.
struct Law {
    const char* name;
    const char* demands;
    void (*run)(Trial&);
};

// The laws by stage kind, one file each.
const std::vector<Law>& common_laws();
const std::vector<Law>& connect_laws();
const std::vector<Law>& certs_laws();
const std::vector<Law>& initial_config_laws();
const std::vector<Law>& key_source_laws();
const std::vector<Law>& transport_laws();
const std::vector<Law>& commit_laws();
const std::vector<Law>& persist_laws();

}  // namespace qkd::conformance
