// A NETCONF session (RFC 6241) as Junos speaks it: hello, numbered requests, replies with errors and warnings told
// apart.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "netconf_framing.hpp"
#include "qkd/sdk/context.hpp"
#include "qkd/sdk/net/byte_stream.hpp"
#include "xml.hpp"

namespace qkd::junos {

/// One rpc-error or xnm:error of severity error. Texts are masked: whatever could be a key is blanked.
struct RpcError {
    std::string tag;
    std::string path;
    std::string message;
    std::string element;
};

struct Reply {
    XmlDocument document;
    std::vector<RpcError> errors;
    std::vector<std::string> warnings;

    [[nodiscard]] pugi::xml_node root() const { return document.root(); }
    /// All error messages in a line.
    [[nodiscard]] std::string complaint() const;
};

/// Errors and warnings of a reply, wherever in it they stand: Junos puts them below rpc-reply, below
/// load-configuration-results and below each routing engine.
void collect_errors(pugi::xml_node root, Reply& into);

/// Blanks what could be a key in a device's text: long hex, $8$ and $9$ strings.
std::string mask(std::string_view text);

class NetconfSession {
  public:
    /// Fills the <rpc> element with the operation.
    using Build = std::function<void(pugi::xml_node)>;

    /// Exchanges hellos. `peer` names the device in messages.
    static Result<std::unique_ptr<NetconfSession>> open(Context& context, std::unique_ptr<net::ByteStream> stream,
                                                        std::string peer);

    /// One request and its reply. rpc-errors are part of the Reply, not a failure of this call. When the wait for the
    /// reply is interrupted (timeout, cancelled) the session stays in step: the late reply is dropped when it comes.
    /// A reply that is not well-formed is a `protocol` error and leaves the session in step as well.
    Result<Reply> call(Context& context, const Build& build);
    /// call(), and any rpc-error makes it a `rejected` Error that begins with `what`.
    /// `permission`: what the login class needs for it, for the hint when the device denies it.
    Result<Reply> ask(Context& context, const std::string& what, const char* permission, const Build& build);
    /// The device's no: auth with the permission that is missing, or rejected.
    [[nodiscard]] Error refusal(const std::string& what, const char* permission, const Reply& reply) const;

    /// close-session, then the end of the stream. The session is of no use afterwards.
    Result<void> close(Context& context);
    /// Ends the stream without a word. The device then discards what this session had not committed, and its lock.
    void drop() noexcept {
        broken_ = true;
        stream_->close();
    }
    [[nodiscard]] bool alive() const noexcept { return !broken_ && stream_->alive(); }
    [[nodiscard]] const std::string& peer() const noexcept { return peer_; }
    /// As the device's hello says; empty when it says none.
    [[nodiscard]] const std::string& session_id() const noexcept { return session_id_; }
    [[nodiscard]] const std::vector<std::string>& capabilities() const noexcept { return capabilities_; }

  private:
    NetconfSession(std::unique_ptr<net::ByteStream> stream, std::string peer);
    Result<SecretBytes> receive(Context& context);
    Result<void> send(Context& context, const pugi::xml_document& tree);
    Error broken_error(Error error);

    std::unique_ptr<net::ByteStream> stream_;
    std::string peer_;
    FrameReader reader_;
    Framing framing_ = Framing::end_of_message;
    std::vector<std::string> capabilities_;
    std::string session_id_;
    unsigned long next_id_ = 1;
    bool broken_ = false;
};

}  // namespace qkd::junos
