// One NETCONF session: hello, the loop over messages, and what of the session outlives a single call.
#include "session.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "clock.hpp"
#include "files.hpp"
#include "rpc.hpp"
#include "xml_out.hpp"

namespace qkd::junossim {

namespace {

constexpr int linger_look_ms = 20;
constexpr const char* base_ns = "urn:ietf:params:xml:ns:netconf:base:1.0";

void pause(long ms) {
    const Millis until = wall_now() + ms;
    while (wall_now() < until && !end_requested()) ::poll(nullptr, 0, static_cast<int>(until - wall_now()));
}

// "23.4R1.10-EVO" -> "23.4R1", the release that the junos: namespace names.
std::string release_of(const std::string& version) {
    const auto r = version.find_first_of("RSX");
    const auto dot = r == std::string::npos ? r : version.find_first_of(".-", r);
    return version.substr(0, dot);
}

}  // namespace

std::string login_user() {
    for (const char* name : {"LOGNAME", "USER"}) {
        if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
    }
    const passwd* entry = ::getpwuid(::getuid());
    return entry != nullptr ? entry->pw_name : "user";
}

Session::Session(std::filesystem::path state, std::optional<std::filesystem::path> faults, int in, int out)
    : state_(std::move(state)),
      faults_(state_, std::move(faults)),
      channel_(in, out),
      pid_(::getpid()),
      user_(login_user()) {}

Session::~Session() {
    try {
        release();
    } catch (const std::exception& e) {
        std::cerr << "junos-sim: " << e.what() << '\n';
    }
}

// What the device does when a session ends, however it ends: its lock and its uncommitted changes go.
void Session::release() {
    if (!alive_) return;
    linger();
    Device device(state_);
    if (device.lock_holder() && device.lock_holder()->pid == pid_) {
        device.discard_candidate();
        device.set_lock(std::nullopt);
    }
    std::filesystem::remove(device.session_file(pid_));
    alive_.reset();
}

// With linger_s: what mgd does behind a connection that died without a word. Until kill-session, or its time is over.
void Session::linger() const {
    const DeviceInfo info = read_device_info(state_);
    if (closing || info.linger <= 0 || end_requested()) return;
    // Whoever waits for the end of these streams must not wait for this process.
    const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nothing, stream);
    ::close(nothing);
    const Millis until = read_lab(info.lab_file).now() + info.linger * 1000;
    while (!end_requested() && read_lab(info.lab_file).now() < until) ::poll(nullptr, 0, linger_look_ms);
}

std::string Session::hello(const DeviceInfo& info) const {
    pugi::xml_document doc;
    auto root = doc.append_child("hello");
    set_attribute(root, rfc_compliant_ ? "xmlns:nc" : "xmlns", base_ns);
    auto list = root.append_child("capabilities");
    const auto offer = [&list](const char* name) { add(list, "capability", name); };
    offer("urn:ietf:params:netconf:base:1.0");
    if (version_1_1_) offer("urn:ietf:params:netconf:base:1.1");
    offer("urn:ietf:params:netconf:capability:candidate:1.0");
    offer("urn:ietf:params:netconf:capability:confirmed-commit:1.0");
    offer("urn:ietf:params:netconf:capability:validate:1.0");
    offer("urn:ietf:params:netconf:capability:url:1.0?scheme=http,ftp,file");
    offer("urn:ietf:params:xml:ns:netconf:base:1.0");
    offer("urn:ietf:params:xml:ns:netconf:capability:candidate:1.0");
    offer("urn:ietf:params:xml:ns:netconf:capability:confirmed-commit:1.0");
    offer("urn:ietf:params:xml:ns:netconf:capability:validate:1.0");
    offer("urn:ietf:params:xml:ns:netconf:capability:url:1.0?protocol=http,ftp,file");
    offer("urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring");
    offer("http://xml.juniper.net/netconf/junos/1.0");
    offer("http://xml.juniper.net/dmi/system/1.0");
    add(root, "session-id", std::to_string(pid_));
    return "<!-- No zombies were killed during the creation of this user interface -->\n<!-- user " + user_ +
           ", class " + info.user_class + " -->\n" + to_text(root, {.indent = 2, .nc_prefix = rfc_compliant_});
}

bool Session::greet() {
    std::string greeting;
    {
        Device device(state_);
        const Node* netconf = device.running().at({"system", "services", "netconf"});
        const auto configured = [netconf](const char* flag) {
            return netconf != nullptr && netconf->find(flag) != nullptr;
        };
        rfc_compliant_ = device.info().rfc_compliant || configured("rfc-compliant");
        version_1_1_ = rfc_compliant_ && (device.info().version_1_1 || configured("version-1.1"));
        release_ = release_of(device.info().version);
        alive_ = std::make_unique<FileLock>(device.session_file(pid_));
        greeting = hello(device.info());
    }
    pugi::xml_document unused;
    for (const char* moment : {"connect", "hello"}) {
        for (const auto& fault : faults_.match(moment)) {
            bool answered = false;
            if (fault.after) channel_.send(greeting);
            if (!act_on(fault, unused.append_child("rpc-reply"), answered)) return false;
            if (!answered) continue;
            std::cerr << fault.message << '\n';  // there is no reply yet that could carry it
            return false;
        }
    }
    return channel_.send(greeting);
}

std::string Session::commit_kind(const pugi::xml_node& operation) const {
    const auto name = local_name(operation);
    if (name == "validate") return "check";
    if (name != "commit" && name != "commit-configuration") return {};
    if (child(operation, "check")) return "check";
    if (child(operation, "confirmed")) return "confirmed";
    return Device(state_).pending_until() ? "confirm" : "plain";
}

// Does what the fault says; false when the session ends by it. `answered`: `reply` now holds the fault's own answer.
bool Session::act_on(const Fault& fault, pugi::xml_node reply, bool& answered) {
    if (fault.action == "delay") {
        pause(fault.ms);
        return true;
    }
    if (fault.action == "reboot") Device(state_).reboot();
    if (fault.action == "reboot" || fault.action == "crash") std::_Exit(70);
    if (fault.action == "hang") channel_.drain();
    if (fault.action == "garbage") channel_.send("<rpc-reply <<&nonsense; \xff\xfe></rpc-");
    if (fault.action == "error" || fault.action == "lock-held") {
        while (reply.first_child()) reply.remove_child(reply.first_child());
        const std::string held = "configuration database locked by:\n  admin terminal pts/0 (pid 4711) on since " +
                                 local_text(wall_now(), "UTC") + ", idle 00:00:48\n      exclusive ";
        add_error(reply, {false, "", fault.action == "error" ? fault.message : held, "",
                          fault.action == "error" ? "operation-failed" : "lock-denied"});
        answered = true;
        return true;
    }
    return fault.action == "garbage";
}

bool Session::handle(const std::string& message) {
    pugi::xml_document request;
    const auto parsed = request.load_buffer(message.data(), message.size(), pugi::parse_default & ~pugi::parse_eol);
    const auto rpc = request.document_element();
    pugi::xml_document doc;
    auto reply = doc.append_child("rpc-reply");
    const XmlStyle style{.indent = 0, .nc_prefix = rfc_compliant_};
    const std::string junos_ns = "http://xml.juniper.net/junos/" + release_ + "/junos";
    if (rfc_compliant_) {
        set_attribute(reply, "xmlns:nc", base_ns);
        set_attribute(reply, "xmlns:junos", junos_ns);
    } else {
        set_attribute(reply, "xmlns", base_ns);
        set_attribute(reply, "xmlns:junos", junos_ns);
        set_attribute(reply, "xmlns:nc", base_ns);
    }
    if (parsed && local_name(rpc) == "hello") return true;  // a second hello does no harm
    pugi::xml_node operation;
    for (const auto& n : rpc) {
        if (n.type() == pugi::node_element && !operation) operation = n;
    }
    if (!parsed || local_name(rpc) != "rpc" || !operation) {
        add_error(reply, {false, "", "syntax error, expecting <rpc>", "", "malformed-message"});
        channel_.send(to_text(reply, style));
        return false;
    }
    for (const auto& a : rpc.attributes()) {
        if (std::string_view(a.name()).substr(0, 5) != "xmlns") set_attribute(reply, a.name(), a.value());
    }
    const std::string name(local_name(operation));
    const auto faults = faults_.match(name, commit_kind(operation), static_cast<bool>(child(operation, "synchronize")));
    bool answered = false;
    for (const auto& fault : faults) {
        if (!fault.after && !act_on(fault, reply, answered)) return false;
    }
    if (!answered) call(*this, operation, reply);
    bool garbage = false;
    for (const auto& fault : faults) {
        if (fault.after && !act_on(fault, reply, answered)) return false;
        garbage = garbage || fault.action == "garbage";
    }
    return garbage || channel_.send(to_text(reply, style));
}

int Session::run() {
    end_on_signals();
    if (read_device_info(state_).linger > 0) ::signal(SIGHUP, SIG_IGN);
    make_file_area(state_, user_);  // whoever runs on the device finds its files there
    if (!greet()) return 0;
    bool first = true;
    while (!closing) {
        const auto message = channel_.receive();
        if (!message) break;
        if (trim(*message).empty()) continue;
        if (first && version_1_1_ && message->find("urn:ietf:params:netconf:base:1.1") != std::string::npos) {
            channel_.use_chunks();
        }
        first = false;
        if (!handle(*message)) break;
    }
    release();
    if (closing) {
        const Device device(state_);
        channel_.send_raw("<!-- session end at " + local_text(device.device_now(), device.zone()) + " -->\n");
    }
    return 0;
}

}  // namespace qkd::junossim
