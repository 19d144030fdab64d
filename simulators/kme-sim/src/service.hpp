// A KME without its sockets: requests in, answers out. Behind each KME there are three doors to the one key pool:
// ETSI GS QKD 014 V1.1.1 (etsi014.cpp), SKIP (skip.cpp) and the outline API (outline.cpp).
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "config.hpp"
#include "faults.hpp"
#include "pool.hpp"

namespace qkd::kme_sim {

struct Request {
    std::string kme;           ///< the KME that was asked
    std::string caller;        ///< common name of the client certificate
    std::string method;        ///< GET, POST, …
    std::string target;        ///< as in the request line: path and query, still escaped
    std::string content_type;  ///< empty if there was none
    std::string body;
};

struct Response {
    enum class Delivery {
        send,
        drop,  ///< end the connection instead
        hang   ///< say nothing for `delay` (0: until the caller gives up), then end the connection
    };
    int status = 200;
    std::string body{};  ///< empty = none
    std::string content_type = "application/json";
    std::string allow{};  ///< of 405: the methods there are
    std::chrono::milliseconds delay{0};
    Delivery delivery = Delivery::send;
};

/// Serves all KMEs of the process. Thread-safe.
class Service {
  public:
    Service(const Config& config, KeyPool& pool, FaultScript& faults);

    Response answer(const Request& request);

  private:
    std::map<std::string, Limits> limits_;      ///< by KME
    std::map<std::string, std::string> homes_;  ///< KME of each SAE
    const PoolSettings pool_settings_;
    KeyPool& pool_;
    FaultScript& faults_;
};

}  // namespace qkd::kme_sim
