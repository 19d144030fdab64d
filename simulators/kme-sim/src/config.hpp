// The configuration file of kme-sim: which KMEs there are, who may ask them, and what their key pools hold.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "qkd/sdk/result.hpp"

namespace qkd::kme_sim {

/// What one KME announces and enforces; the words of the Status object, ETSI GS QKD 014 V1.1.1 clause 6.1.
struct Limits {
    std::int64_t key_size = 256;             ///< bits, when a request names no size; a multiple of 8
    std::int64_t min_key_size = 64;          ///< bits
    std::int64_t max_key_size = 1024;        ///< bits
    std::int64_t max_key_per_request = 128;  ///< keys
    std::int64_t max_sae_id_count = 16;      ///< additional slave SAEs; 0 = no multicast
    int empty_status = 503;                  ///< answer when the pool holds too few keys: 503 or 400
};

/// The keys an SAE pair can draw on. One pool per unordered pair, shared by the KMEs of both ends.
struct PoolSettings {
    std::int64_t max_key_count = 100000;
    std::int64_t initial_key_count = 100000;
    double refill_per_second = 100;  ///< keys that arrive per second until max_key_count
    bool one_shot = true;  ///< a key goes once to each entitled slave; false: as often as asked, until the ttl
    std::chrono::milliseconds ttl{0};  ///< age at which an unfetched (or retained) key is forgotten; 0 = never
};

struct KmeSettings {
    std::string name{};              ///< the KME ID
    std::string host = "127.0.0.1";  ///< address to listen on
    int port = 0;                    ///< 0 = any free port
    std::string cert{};              ///< PEM chain
    std::string key{};               ///< PEM private key
    Limits limits{};
};

struct SaeSettings {
    std::string name{};  ///< the SAE ID: common name of the client certificate
    std::string kme{};   ///< the only KME that serves it
};

struct Config {
    std::string ca{};      ///< PEM: who signs the client certificates of the SAEs
    std::string audit{};   ///< JSON lines of every key issued and fetched, with the keys; empty = none
    std::string faults{};  ///< scripted faults; empty = none
    PoolSettings pool;
    std::vector<KmeSettings> kmes;
    std::vector<SaeSettings> saes;
};

/// Reads and checks the whole file; relative paths are relative to it. The error lists every finding as line: what.
Result<Config> load_config(const std::string& path);

}  // namespace qkd::kme_sim
