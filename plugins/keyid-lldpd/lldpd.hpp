// A conversation with lldpd on this machine: our TLVs on its ports, and those of the neighbours.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"

struct lldpctl_conn_t;

namespace qkd::keyid_lldpd {

/// Subtypes of our organizationally specific TLV (IEEE Std 802.1AB-2016 clause 8.6).
enum class Subtype : std::uint8_t { notice = 1, acknowledgement = 2 };

/// What the information string of such a TLV holds at most (clause 8.6.1.4).
inline constexpr std::size_t longest_information = 507;

/// One connection, for one call: it keeps the call's deadline and cancellation.
class Lldpd {
  public:
    /// unreachable/safe when no daemon answers there, auth/never when its socket may not be used.
    static Result<std::unique_ptr<Lldpd>> open(Context& context, const std::string& socket);
    ~Lldpd();
    Lldpd(const Lldpd&) = delete;
    Lldpd& operator=(const Lldpd&) = delete;

    /// Tells it on a port from now on; lldpd sends what is new at once. config/never when lldpd has no such port.
    Result<void> tell(const std::string& netdev, Subtype subtype, const std::string& text);
    /// Takes away what is told, if `which` says so of it.
    Result<void> untell(const std::string& netdev, Subtype subtype,
                        const std::function<bool(const std::string&)>& which);
    /// What the neighbours of a port tell.
    Result<std::vector<std::string>> heard(const std::string& netdev, Subtype subtype);

    /// From now on changes are noted; this connection is good for wait_for_change() only.
    Result<void> watch();
    /// True when a neighbour changed, false at the deadline.
    Result<bool> wait_for_change();

    /// Used by the library's callbacks. Octets moved, or a negative lldpctl error.
    long put(const std::uint8_t* data, std::size_t size);
    long get(const std::uint8_t* data, std::size_t size);

  private:
    enum class End : std::uint8_t { none, deadline, cancelled, closed };
    Lldpd(Context& context, std::string socket, int fd);
    bool ready(short events);
    Error failure(const std::string& what) const;
    struct Atom;
    Result<std::shared_ptr<Atom>> port(const std::string& netdev);
    Result<void> change(Atom& port, const std::string& netdev, Subtype subtype, const std::string& text,
                        const char* operation);
    Result<std::vector<std::string>> texts(Atom& holder, Subtype subtype);

    Context& context_;
    std::string socket_;
    int fd_;
    End end_ = End::none;
    lldpctl_conn_t* connection_ = nullptr;
    bool changed_ = false;
};

}  // namespace qkd::keyid_lldpd
