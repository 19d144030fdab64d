// Feeds everything that reads a device's bytes with rubbish: framing, XML, errors, configuration, MKA, commit history,
// $9$, times, diffs, known_hosts, SSH offers; mutate.cpp has the main.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "commit_log.hpp"
#include "config_model.hpp"
#include "junos_secret.hpp"
#include "kexinit.hpp"
#include "known_hosts.hpp"
#include "mka_reply.hpp"
#include "mutate.hpp"
#include "netconf_session.hpp"

namespace {

using namespace qkd;
using namespace qkd::junos;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "fuzz_netconf: %s\n", what);
    std::abort();
}

constexpr std::size_t limit = 4096;

// The same stream, whole and octet by octet, must give the same messages.
std::vector<std::string> messages(std::span<const std::uint8_t> data, Framing framing, bool whole) {
    FrameReader reader(limit);
    reader.use(framing);
    std::vector<std::string> out;
    const std::size_t step = whole ? std::max<std::size_t>(data.size(), 1) : 1;
    for (std::size_t at = 0; at < data.size(); at += step) {
        reader.feed(data.subspan(at, std::min(step, data.size() - at)));
        for (;;) {
            auto next = reader.next();
            if (!next) {
                out.emplace_back("!");
                return out;
            }
            if (!*next) break;
            if ((*next)->size() > limit) fail("a message above the limit");
            out.emplace_back((*next)->reveal_text());
        }
    }
    return out;
}

void read_document(std::span<const std::uint8_t> data) {
    auto document = XmlDocument::parse(SecretBytes(data));
    if (!document) return;
    Reply reply{std::move(*document), {}, {}};
    collect_errors(reply.root(), reply);
    for (const char c : reply.complaint()) {
        if (static_cast<unsigned char>(c) < ' ') fail("a complaint with a control character");
    }
    (void)read_commit_log(reply.root());
    bool understood = false;
    const auto mka = judge_mka(read_mka_xml(reply.root(), understood), {"et-0/0/9"});
    if (mka.size() != 1) fail("not one state for one interface");
    const ConfigModel model(descendant(reply.root(), "configuration"));
    MemberTarget target;
    target.connectivity_association = "CA_1";
    target.key_chain = "QKD_CA_1";
    target.interfaces = {"et-0/0/9"};
    MemberState state;
    fill_state(model, DeviceZone(), target, state);
    const auto plan = plan_initial(model, DeviceZone(), target, {});
    if (!find_deviation(model, model, DeviceZone(), {}).empty()) fail("a configuration that differs from itself");
    const auto tree = new_tree();
    append_configuration(tree->append_child("load"), plan);
    if (!XmlDocument::parse(to_text(*tree))) fail("a change that is no XML");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span<const std::uint8_t> bytes(data, size);
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto framing : {Framing::end_of_message, Framing::chunked}) {
        const auto whole = messages(bytes, framing, true);
        if (whole != messages(bytes, framing, false) && std::find(whole.begin(), whole.end(), "!") == whole.end())
            fail("cutting a stream changes its messages");
    }
    read_document(bytes);
    bool understood = false;
    (void)judge_mka(read_mka_text(text, understood), {"et-0/0/9"});
    (void)reveal_configured(text);
    (void)DeviceZone().read_start_time(text);
    (void)read_local_time(text);
    (void)find_foreign_change(text, {});
    (void)net::find_known_host(text, "r1.example", 830);
    (void)net::read_server_offer(bytes);
    const std::string masked = mask(text);
    std::size_t run = 0;
    for (const char c : masked) {
        run = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ? run + 1 : 0;
        if (run >= 24) fail("a long hex string came through the mask");
    }
    return 0;
}

qkd::fuzz::Food qkd::fuzz::food() {
    return {
        {"<rpc-reply message-id=\"1\"><rpc-error><error-severity>error</error-severity><error-message>no "
         "5a5a5a5a5a5a5a5a5a5a5a5a5a5a</error-message></rpc-error></rpc-reply>]]>]]>\n<a/>]]>]]>",
         "\n#12\n<rpc-reply/>\n\n#3\nabc\n##\n\n#1\nx\n##\n",
         "<rpc-reply><configuration><security><authentication-key-chains><key-chain><name>QKD_CA_1</name><key><name>0"
         "</name><key-name>ab</key-name><secret>$9$LbHX-wg4Z</secret><start-time>2026-1-2.03:04:05 +0000</start-time>"
         "</key></key-chain></authentication-key-chains><macsec><connectivity-association><name>CA_1</name>"
         "<cipher-suite>gcm-aes-256</cipher-suite></connectivity-association></macsec></security></configuration>"
         "</rpc-reply>",
         "<rpc-reply><commit-information><commit-history><sequence-number>0</sequence-number><user>u</user><log>x</log>"
         "<commit-confirmed>rollback pending</commit-confirmed></commit-history></commit-information></rpc-reply>",
         "<r><mka-session-information><interface-name>et-0/0/9</interface-name><cak-name>AA</cak-name><cak-type>primary"
         "</cak-type><cak-status>live</cak-status></mka-session-information></r>",
         "Interface    Member-ID                  Type        Status        Tx        Rx        CAK Name\n"
         "et-0/0/9     0102030405060708090A0B0C   primary     live          43        39        AA01\n",
         "  Interface name: et-0/0/9\n     Interface State: Secured - Primary\n     CAK name: AA01\n     CAK type: "
         "primary\n",
         "[edit security macsec]\n-  interfaces et-0/0/9 {\n+      description \"a { b\";\n   }\n",
         "[r1.example]:830 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIiMGmvSSwE/PfvMdIt6kZ1PGFJY2VULZ3XsUZXB3BFQ x\n"
         "@revoked *.example,!r1.example ssh-rsa AAAA\n|1|AAAA|BBBB ssh-ed25519 AAAA\n",
         "$9$LbHX-wg4Z", "2026-10-6.04:58:34 -0700",
         std::string("SSH-2.0-x\r\n\0\0\1\0\5\24aaaaaaaaaaaaaaaa\0\0\0\3abc\0\0\0\7rsa,dss", 49)},
        {"<",    ">", "</",     "]]>]]>", "\n#", "\n##\n", "&lt;", "\"",   "<name>", "$9$", "{",
         "};\n", "+", "[edit ", ":",      "|1|", "!",      "*",    "\xff", "<!--",   "-0",  "99999999999999999999",
         "\t",   " "}};
}
