// Reads the TOML configuration of kme-sim and refuses what it does not know.
#include "config.hpp"

#include <toml++/toml.h>
#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <set>
#include <string_view>

namespace qkd::kme_sim {
namespace {

/// Collects findings, so that one run shows all of them.
class Reader {
  public:
    explicit Reader(std::filesystem::path folder) : folder_(std::move(folder)) {}

    void complain(const toml::source_region& where, const std::string& what) {
        findings_ += "\n  line " + std::to_string(where.begin.line) + ": " + what;
    }

    void only(const toml::table& table, std::initializer_list<std::string_view> allowed) {
        for (const auto& [key, node] : table) {
            if (std::find(allowed.begin(), allowed.end(), key.str()) == allowed.end()) {
                std::string names;
                for (std::string_view name : allowed) names += (names.empty() ? "" : ", ") + std::string(name);
                complain(node.source(), "unknown key '" + std::string(key.str()) + "'; allowed: " + names);
            }
        }
    }

    void text(const toml::table& table, std::string_view key, std::string& out, bool required = false) {
        const toml::node* node = table.get(key);
        if (node == nullptr) {
            if (required) complain(table.source(), "'" + std::string(key) + "' is missing");
        } else if (auto value = node->value_exact<std::string>(); value && !(required && value->empty())) {
            out = *value;
        } else {
            complain(node->source(), "'" + std::string(key) + "' must be a text");
        }
    }

    void path(const toml::table& table, std::string_view key, std::string& out, bool required = false) {
        std::string value;
        text(table, key, value, required);
        if (!value.empty()) out = (folder_ / value).lexically_normal().string();
    }

    void number(const toml::table& table, std::string_view key, std::int64_t low, std::int64_t high,
                std::int64_t& out) {
        const toml::node* node = table.get(key);
        if (node == nullptr) return;
        if (auto value = node->value_exact<std::int64_t>(); value && *value >= low && *value <= high) {
            out = *value;
        } else {
            complain(node->source(), "'" + std::string(key) + "' must be a whole number from " + std::to_string(low) +
                                         " to " + std::to_string(high));
        }
    }

    void small_number(const toml::table& table, std::string_view key, int low, int high, int& out) {
        std::int64_t value = out;
        number(table, key, low, high, value);
        out = static_cast<int>(value);
    }

    void limits(const toml::table& table, Limits& out) {
        number(table, "key_size", 8, 1 << 20, out.key_size);
        number(table, "min_key_size", 8, 1 << 20, out.min_key_size);
        number(table, "max_key_size", 8, 1 << 20, out.max_key_size);
        number(table, "max_key_per_request", 1, 100000, out.max_key_per_request);
        number(table, "max_SAE_ID_count", 0, 10000, out.max_sae_id_count);
        small_number(table, "empty_status", 400, 503, out.empty_status);
        if (out.empty_status != 400 && out.empty_status != 503) {
            complain(table.source(), "'empty_status' must be 400 or 503");
        }
        if (out.key_size % 8 != 0 || out.key_size < out.min_key_size || out.key_size > out.max_key_size) {
            complain(table.source(), "'key_size' must be a multiple of 8 between min_key_size and max_key_size");
        }
    }

    void pool(const toml::table& table, PoolSettings& out) {
        number(table, "max_key_count", 1, 1000000000, out.max_key_count);
        out.initial_key_count = out.max_key_count;
        number(table, "initial_key_count", 0, out.max_key_count, out.initial_key_count);
        if (const toml::node* node = table.get("refill_per_second")) {
            auto value = node->is_number() ? node->value<double>() : std::nullopt;
            if (value && *value >= 0 && *value <= 1e9) {
                out.refill_per_second = *value;
            } else {
                complain(node->source(), "'refill_per_second' must be a number from 0 to 1e9");
            }
        }
        std::string keep = "one-shot";
        text(table, "keys", keep);
        if (keep != "one-shot" && keep != "retained") {
            complain(table.source(), "'keys' must be \"one-shot\" or \"retained\"");
        }
        out.one_shot = keep == "one-shot";
        std::int64_t seconds = 0;
        number(table, "ttl_seconds", 0, 1000000000, seconds);
        out.ttl = std::chrono::seconds(seconds);
        if (!out.one_shot && seconds == 0) complain(table.source(), "retained keys need 'ttl_seconds'");
    }

    /// Calls `each` for every table of the array of tables `key`, which must be there.
    template <class Each>
    void tables(const toml::table& root, std::string_view key, Each each) {
        const toml::array* array = root[key].as_array();
        if (array == nullptr || array->empty()) {
            complain(root.source(), "at least one [[" + std::string(key) + "]] is needed");
            return;
        }
        for (const toml::node& node : *array) {
            if (const toml::table* table = node.as_table()) {
                each(*table);
            } else {
                complain(node.source(), "'" + std::string(key) + "' must be tables: [[" + std::string(key) + "]]");
            }
        }
    }

    [[nodiscard]] const std::string& findings() const { return findings_; }

  private:
    std::filesystem::path folder_;
    std::string findings_;
};

Error bad(const std::string& path, const std::string& findings) {
    return Error{.code = ErrorCode::config, .what = path + ":" + findings, .hint = "see kme-sim --help"};
}

}  // namespace

Result<Config> load_config(const std::string& path) {
    toml::table root;
    try {
        root = toml::parse_file(path);
    } catch (const toml::parse_error& error) {
        return bad(path,
                   " line " + std::to_string(error.source().begin.line) + ": " + std::string(error.description()));
    }
    Config config;
    Reader read(std::filesystem::absolute(path).parent_path());
    read.only(root, {"ca", "audit", "faults", "limits", "pool", "kme", "sae"});
    read.path(root, "ca", config.ca, true);
    read.path(root, "audit", config.audit);
    read.path(root, "faults", config.faults);

    Limits limits;
    if (const toml::table* table = root["limits"].as_table()) {
        read.only(*table, {"key_size", "min_key_size", "max_key_size", "max_key_per_request", "max_SAE_ID_count",
                           "empty_status"});
        read.limits(*table, limits);
    }
    if (const toml::table* table = root["pool"].as_table()) {
        read.only(*table, {"max_key_count", "initial_key_count", "refill_per_second", "keys", "ttl_seconds"});
        read.pool(*table, config.pool);
    }

    std::set<std::string> kme_names;
    read.tables(root, "kme", [&](const toml::table& table) {
        KmeSettings kme;
        kme.limits = limits;
        read.only(table, {"name", "host", "port", "cert", "key", "key_size", "min_key_size", "max_key_size",
                          "max_key_per_request", "max_SAE_ID_count", "empty_status"});
        read.text(table, "name", kme.name, true);
        read.text(table, "host", kme.host);
        read.small_number(table, "port", 0, 65535, kme.port);
        read.path(table, "cert", kme.cert, true);
        read.path(table, "key", kme.key, true);
        read.limits(table, kme.limits);
        if (!kme_names.insert(kme.name).second) read.complain(table.source(), "KME '" + kme.name + "' is there twice");
        config.kmes.push_back(std::move(kme));
    });

    std::set<std::string> sae_names;
    read.tables(root, "sae", [&](const toml::table& table) {
        SaeSettings sae;
        read.only(table, {"name", "kme"});
        read.text(table, "name", sae.name, true);
        read.text(table, "kme", sae.kme, true);
        if (!sae_names.insert(sae.name).second) read.complain(table.source(), "SAE '" + sae.name + "' is there twice");
        if (!kme_names.contains(sae.kme)) read.complain(table.source(), "there is no KME '" + sae.kme + "'");
        config.saes.push_back(std::move(sae));
    });

    if (!read.findings().empty()) return bad(path, read.findings());
    return config;
}

}  // namespace qkd::kme_sim
