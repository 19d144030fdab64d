// Hello, message numbers, error collection.
#include "netconf_session.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace qkd::junos {
namespace {

constexpr const char* base_1_0 = "urn:ietf:params:netconf:base:1.0";
constexpr const char* base_1_1 = "urn:ietf:params:netconf:base:1.1";
constexpr const char* base_namespace = "urn:ietf:params:xml:ns:netconf:base:1.0";
constexpr std::size_t largest_message = 32U << 20U;
constexpr std::size_t longest_text = 600;
constexpr std::size_t quoted_greeting = 160;

bool is_error_element(pugi::xml_node node) {
    const auto name = local_name(node);
    if (name == "rpc-error") return true;
    // JUNOScript's form; a plain <error> of some other reply is none.
    return (name == "error" || name == "warning") && std::string_view(node.name()).starts_with("xnm:");
}

std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : trim(text)) {
        const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
        if (space && (out.empty() || out.back() == ' ')) continue;
        out += space || std::iscntrl(static_cast<unsigned char>(c)) != 0 ? ' ' : c;
        if (out.size() > longest_text) {
            out += "...";
            break;
        }
    }
    return out;
}

std::string first_of(pugi::xml_node node, std::initializer_list<const char*> names) {
    for (const char* name : names) {
        const auto text = text_of(descendant(node, name));
        if (!text.empty()) return mask(one_line(text));
    }
    return {};
}

}  // namespace

std::string mask(std::string_view text) {
    std::string out;
    std::size_t i = 0;
    while (i < text.size()) {
        if (text.substr(i).starts_with("$9$") || text.substr(i).starts_with("$8$")) {
            while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) == 0 && text[i] != '"' &&
                   text[i] != '\'' && text[i] != ';')
                ++i;
            out += "/* SECRET-DATA */";
            continue;
        }
        std::size_t run = i;
        while (run < text.size() && std::isxdigit(static_cast<unsigned char>(text[run])) != 0) ++run;
        if (run - i >= 24) {
            out += "<" + std::to_string(run - i) + " hex digits>";
            i = run;
        } else if (run > i) {
            out += text.substr(i, run - i);
            i = run;
        } else {
            out += text[i++];
        }
    }
    return out;
}

void collect_errors(pugi::xml_node root, Reply& into) {
    for (auto node = root.first_child(); node; node = next_in(root, node)) {
        if (node.type() != pugi::node_element || !is_error_element(node)) continue;
        RpcError error;
        error.tag = first_of(node, {"error-tag"});
        error.path = first_of(node, {"error-path", "edit-path"});
        error.message = first_of(node, {"error-message", "message"});
        error.element = first_of(node, {"bad-element", "statement", "token"});
        const bool warning = local_name(node) == "warning" || text_of(child(node, "error-severity")) == "warning";
        if (warning) {
            into.warnings.push_back(error.message);
        } else {
            into.errors.push_back(std::move(error));
        }
    }
}

std::string Reply::complaint() const {
    std::string out;
    for (const auto& error : errors) {
        if (!out.empty()) out += "; ";
        out += error.message.empty() ? "error without a message" : error.message;
        if (!error.path.empty()) out += " at " + error.path;
        if (!error.element.empty()) out += " (" + error.element + ")";
    }
    return out;
}

NetconfSession::NetconfSession(std::unique_ptr<net::ByteStream> stream, std::string peer)
    : stream_(std::move(stream)), peer_(std::move(peer)), reader_(largest_message) {}

Error NetconfSession::broken_error(Error error) {
    broken_ = true;
    error.what = peer_ + ": " + mask(error.what);
    return error;
}

Result<void> NetconfSession::send(Context& context, const pugi::xml_document& tree) {
    auto sent = stream_->write(context, frame(to_text(tree), framing_).reveal());
    if (!sent) return broken_error(std::move(sent).error());
    return {};
}

Result<SecretBytes> NetconfSession::receive(Context& context) {
    SecretBytes buffer = SecretBytes::zeros(65536);
    for (;;) {
        auto message = reader_.next();
        if (!message) return broken_error(std::move(message).error());
        if (*message) return std::move(**message);
        auto count = stream_->read(context, buffer.writable());
        if (!count) {
            Error error = std::move(count).error();
            // Nothing is lost by an interrupted wait.
            if (error.code != ErrorCode::timeout && error.code != ErrorCode::cancelled) return broken_error(error);
            error.what = peer_ + ": " + error.what;
            return error;
        }
        if (*count == 0)
            return broken_error(
                Error::unreachable("the device closed the session",
                                   "try again; Junos limits sessions by system services netconf ssh connection-limit "
                                   "and rate-limit")
                    .retryable());
        reader_.feed(buffer.reveal().first(*count));
    }
}

Result<std::unique_ptr<NetconfSession>> NetconfSession::open(Context& context, std::unique_ptr<net::ByteStream> stream,
                                                             std::string peer) {
    std::unique_ptr<NetconfSession> session(new NetconfSession(std::move(stream), std::move(peer)));
    const auto hello = new_tree();
    auto root = hello->append_child("hello");
    root.append_attribute("xmlns") = base_namespace;
    auto list = root.append_child("capabilities");
    list.append_child("capability").text().set(base_1_0);
    list.append_child("capability").text().set(base_1_1);
    auto sent = session->send(context, *hello);
    // One that takes no hello may have said why.
    auto message = session->receive(context);
    if (!sent || !message) {
        Error error = sent ? std::move(message).error() : std::move(sent).error();
        const auto said = session->reader_.unread();
        if (!said.empty())
            error.what += "; instead of a NETCONF hello it said: " + mask(one_line(said.substr(0, quoted_greeting)));
        return error;
    }
    auto parsed = XmlDocument::parse(std::move(*message));
    if (!parsed) return session->broken_error(std::move(parsed).error());
    if (!is(parsed->root(), "hello"))
        return session->broken_error(
            Error::protocol("the device does not say a NETCONF hello",
                            "check that the port, or the command, is the one of the NETCONF service"));
    session->session_id_ = text_of(child(parsed->root(), "session-id"));
    const auto offered = child(parsed->root(), "capabilities");
    for (auto one = offered.first_child(); one; one = one.next_sibling()) {
        if (is(one, "capability")) session->capabilities_.emplace_back(text_of(one));
    }
    const auto& all = session->capabilities_;
    const auto has = [&](const char* name) { return std::find(all.begin(), all.end(), name) != all.end(); };
    if (has(base_1_1)) {
        session->framing_ = Framing::chunked;
        session->reader_.use(Framing::chunked);
    } else if (!has(base_1_0)) {
        return session->broken_error(Error::protocol("the device offers neither NETCONF base:1.0 nor base:1.1", ""));
    }
    return session;
}

Result<Reply> NetconfSession::call(Context& context, const Build& build) {
    if (!alive()) return Error::unreachable(peer_ + ": the session is closed", "open a new session").retryable();
    const std::string id = std::to_string(next_id_++);
    const auto tree = new_tree();
    auto rpc = tree->append_child("nc:rpc");
    rpc.append_attribute("xmlns:nc") = base_namespace;
    rpc.append_attribute("message-id") = id.c_str();
    build(rpc);
    QKD_TRY(send(context, *tree));
    for (;;) {
        QKD_TRY(auto message, receive(context));
        // Where the reply cannot be parsed, its opening tag may still say whose it is.
        const bool late = [&] {
            const auto text = message.reveal_text();
            const auto at = text.find("message-id=\"");
            if (at == std::string_view::npos) return false;
            const auto value = text.substr(at + 12, std::min<std::size_t>(24, text.size() - at - 12));
            return value.substr(0, value.find('"')) != id;
        }();
        if (late) continue;
        auto parsed = XmlDocument::parse(std::move(message));
        if (!parsed) {
            Error error = std::move(parsed).error();
            error.what = peer_ + ": the reply is " + error.what;
            return error;
        }
        if (!is(parsed->root(), "rpc-reply")) {
            // Notifications and comments may stand between replies.
            if (is(parsed->root(), "notification") || !parsed->root()) continue;
            return Error::protocol(peer_ + ": not an rpc-reply", "");
        }
        Reply reply{std::move(*parsed), {}, {}};
        collect_errors(reply.root(), reply);
        return reply;
    }
}

Result<Reply> NetconfSession::ask(Context& context, const std::string& what, const char* permission,
                                  const Build& build) {
    auto reply = call(context, build);
    if (!reply) {
        Error error = std::move(reply).error();
        error.what = what + ": " + error.what;
        return error;
    }
    if (reply->errors.empty()) return reply;
    return refusal(what, permission, *reply);
}

Error NetconfSession::refusal(const std::string& what, const char* permission, const Reply& reply) const {
    const std::string text = reply.complaint();
    const bool denied =
        text.find("ermission denied") != std::string::npos || reply.errors.front().tag == "access-denied";
    const std::string refused = peer_ + ": " + what + ": " + text;
    if (!denied) return Error::rejected(refused, "");
    return Error::auth(refused, std::string("the user's login class needs ") + permission +
                                    "; the plugin's README has the whole class");
}

Result<void> NetconfSession::close(Context& context) {
    if (!alive()) {
        stream_->close();
        return {};
    }
    auto reply = call(context, [](pugi::xml_node rpc) { rpc.append_child("close-session"); });
    broken_ = true;
    stream_->close();
    // The device may close before its answer is through; the session is over either way.
    if (!reply && reply.error().code != ErrorCode::unreachable) return std::move(reply).error();
    return {};
}

}  // namespace qkd::junos
