// What the tests of kme-etsi014 share: certificates for KMEs and SAEs, and plugin objects that use them.
#pragma once

#include <string>

#include "pki.hpp"
#include "qkd/sdk/key_source.hpp"
#include "support/plugin_object.hpp"
#include "support/temp_dir.hpp"

extern "C" const qkd::PluginDescriptor qkd_plugin_v1;

namespace qkd::etsi014::testing {

using Source = support::PluginObject<KeySource>;

struct Bench {
    support::TempDir dir;
    support::Pki pki{dir.path()};
    support::Identity kme = pki.issue("kme", "IP:127.0.0.1");
    support::Identity sae = pki.issue("sae-a");

    [[nodiscard]] support::Values values(const std::string& url, const support::Identity& who) const {
        return {{"url", url}, {"ca", pki.ca()}, {"cert", who.cert}, {"key", "file:" + who.key.string()}};
    }
    [[nodiscard]] Source source(const std::string& url, support::Values extra = {}) const {
        extra.merge(values(url, sae));
        extra.merge(support::Values{{"low_stock", "0"}});  // so that the requests are those of the call alone
        return {qkd_plugin_v1, StageKind::key_source, extra};
    }
};

}  // namespace qkd::etsi014::testing
