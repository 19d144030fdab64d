// A plugin that knows nothing but the installed SDK.
#include <array>

#include "qkd/sdk/net/http.hpp"
#include "qkd/sdk/net/ssh.hpp"
#include "qkd/sdk/persist.hpp"
#include "qkd/sdk/plugin.hpp"

namespace {

class Outside final : public qkd::Persist {
  public:
    qkd::Result<void> configure(const qkd::ConfigView&) override { return {}; }
    qkd::Result<void> probe(qkd::Context&) override { return {}; }
    qkd::Result<std::optional<qkd::LinkRecord>> load(qkd::Context&, const std::string&) override {
        return std::optional<qkd::LinkRecord>{};
    }
    qkd::Result<void> save(qkd::Context&, const qkd::LinkRecord&) override {
        return qkd::Error{qkd::ErrorCode::unsupported, qkd::Retry::never, "nothing is kept", "use persist-file"};
    }
};

constexpr std::array stages{qkd::stage<qkd::Persist, Outside>()};
constexpr std::array<qkd::Field, 0> fields{};

}  // namespace

QKD_PLUGIN("persist-outside", "0.1.0", "somebody else", "Forgets", "test only", stages, fields)
