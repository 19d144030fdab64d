// One KME on the network: HTTPS with mandatory client certificates in front of a Service.
#pragma once

#include <memory>
#include <string>

#include "config.hpp"
#include "qkd/sdk/result.hpp"
#include "service.hpp"

namespace qkd::kme_sim {

/// Listens from start() to its destruction, with threads of its own.
class KmeServer {
  public:
    /// `ca`: PEM file of who signs client certificates. `service` must outlive the server.
    static Result<std::unique_ptr<KmeServer>> start(const KmeSettings& settings, const std::string& ca,
                                                    Service& service);
    KmeServer(const KmeServer&) = delete;
    KmeServer& operator=(const KmeServer&) = delete;
    ~KmeServer();

    [[nodiscard]] const std::string& name() const;
    [[nodiscard]] int port() const;
    /// Accepts nothing any more and ends every connection, hanging ones too.
    void stop();

  private:
    class Impl;
    explicit KmeServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace qkd::kme_sim
