// A key-source plugin that is sound unless a macro breaks it.
#include <stdlib.h>  // setenv

#include <array>
#include <stdexcept>

#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/plugin.hpp"

#ifndef FIXTURE_ABI_MAJOR
#define FIXTURE_ABI_MAJOR QKD_ABI_MAJOR
#endif
#ifndef FIXTURE_ABI_MINOR
#define FIXTURE_ABI_MINOR QKD_ABI_MINOR
#endif
#ifndef FIXTURE_MAGIC
#define FIXTURE_MAGIC qkd::plugin_magic
#endif
#ifndef FIXTURE_SYMBOL
#define FIXTURE_SYMBOL qkd_plugin
#endif
#ifndef FIXTURE_FINGERPRINT
#define FIXTURE_FINGERPRINT QKD_FINGERPRINT
#endif
#ifndef FIXTURE_CREATE
#define FIXTURE_CREATE makes_source
#endif

#ifdef FIXTURE_UNRESOLVED
extern "C" int nobody_defines_this();
#endif

namespace {

/// Runs inside dlopen: the trace tells whether any code of this file was let in.
[[gnu::constructor]] void leave_a_trace() {
    setenv("QKD_FIXTURE_RAN", FIXTURE_NAME, 1);
}

class Source : public qkd::KeySource {
  public:
    qkd::Result<void> configure(const qkd::ConfigView& /*config*/) override { return {}; }
    qkd::Result<void> probe(qkd::Context& /*context*/) override { return {}; }
    qkd::Result<qkd::SourceStatus> status(qkd::Context& /*context*/, const std::string& /*peer*/) override {
#ifdef FIXTURE_UNRESOLVED
        if (nobody_defines_this() != 0) return qkd::SourceStatus{};
#endif
        return qkd::SourceStatus{FIXTURE_NAME, {}, {}, {}, {}};
    }
    qkd::Result<std::vector<qkd::Key>> mint(qkd::Context& /*context*/, const qkd::MintRequest& /*request*/) override {
        return std::vector<qkd::Key>();
    }
    qkd::Result<std::vector<qkd::Key>> fetch(qkd::Context& /*context*/, const qkd::FetchRequest& /*request*/) override {
        return std::vector<qkd::Key>();
    }
};

class Thrower final : public Source {
  public:
    qkd::Result<void> configure(const qkd::ConfigView& /*config*/) override {
        throw std::runtime_error("the password is hunter2");
    }
};

using Create = qkd::Stage* (*)();
[[maybe_unused]] constexpr Create makes_source = []() -> qkd::Stage* { return new Source; };
[[maybe_unused]] constexpr Create makes_thrower = []() -> qkd::Stage* { return new Thrower; };
[[maybe_unused]] constexpr Create makes_nothing = []() -> qkd::Stage* { return nullptr; };
[[maybe_unused]] constexpr Create throws_std = []() -> qkd::Stage* { throw std::logic_error("no"); };
[[maybe_unused]] constexpr Create throws_int = []() -> qkd::Stage* { throw 42; };

constexpr std::array stages = {
    qkd::StageInfo{qkd::StageKind::key_source, {}, {}, FIXTURE_CREATE, [](qkd::Stage* made) { delete made; }},
};

}  // namespace

extern "C" __attribute__((visibility("default"))) constinit const qkd::PluginDescriptor FIXTURE_SYMBOL = {
    FIXTURE_MAGIC, FIXTURE_ABI_MAJOR, FIXTURE_ABI_MINOR, FIXTURE_FINGERPRINT, FIXTURE_NAME, "1.0.0", "qkd-macsec",
    "For tests",   "test only",       stages.data(),     stages.size(),       nullptr,      0};
