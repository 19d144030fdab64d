// kme-mock: keys without a KME. Key and key_ID depend on a seed only, so both ends agree without talking to anybody.
// For tests and for trying pipelines out: whoever knows the seed knows every key.
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "fault_script.hpp"
#include "qkd/sdk/encoding.hpp"
#include "qkd/sdk/key_source.hpp"
#include "qkd/sdk/plugin.hpp"

namespace qkd::mock {
namespace {

using Block = std::array<std::uint8_t, 32>;

Block hmac(const std::string& seed, const std::string& text) {
    Block out{};
    HMAC(EVP_sha256(), seed.data(), static_cast<int>(seed.size()), reinterpret_cast<const unsigned char*>(text.data()),
         text.size(), out.data(), nullptr);
    return out;
}

/// HMAC-SHA256(seed, key_ID), and for what is longer HMAC-SHA256(seed, key_ID "#1"), "#2" ... behind it.
SecretBytes key_of(const std::string& seed, const std::string& id, std::size_t octets) {
    SecretBytes key;
    for (unsigned part = 0; key.size() < octets; ++part) {
        Block block = hmac(seed, part == 0 ? id : id + "#" + std::to_string(part));
        key.append(std::span(block));
        wipe(block.data(), block.size());
    }
    key.resize(octets);
    return key;
}

/// A version 4 UUID (RFC 9562 section 5.4) whose second half answers to the first under this seed: so an ID that was
/// never minted is known without keeping a list.
std::string uuid(const std::string& seed, const std::array<std::uint8_t, 8>& random) {
    std::array<std::uint8_t, 16> octets{};
    std::copy(random.begin(), random.end(), octets.begin());
    octets[6] = static_cast<std::uint8_t>((octets[6] & 0x0fU) | 0x40U);
    const Block tag = hmac(seed, "key_ID " + std::string(octets.begin(), octets.begin() + 8));
    std::copy_n(tag.begin(), 8, octets.begin() + 8);
    octets[8] = static_cast<std::uint8_t>((octets[8] & 0x3fU) | 0x80U);
    std::string text(hex_encode(SecretBytes(octets)).reveal_text());
    for (const std::size_t dash : {8U, 13U, 18U, 23U}) text.insert(dash, "-");
    return text;
}

std::string new_id(const std::string& seed) {
    std::array<std::uint8_t, 8> random{};
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) return {};
    return uuid(seed, random);
}

bool minted_with(const std::string& seed, const std::string& id) {
    std::string digits = id;
    std::erase(digits, '-');
    const auto octets = hex_decode(digits);
    if (!octets || octets->size() != 16) return false;
    std::array<std::uint8_t, 8> random{};
    std::copy_n(octets->reveal().begin(), 8, random.begin());
    return uuid(seed, random) == id;
}

/// What a one-shot KME remembers, for all objects of this process.
class Ledger {
  public:
    void add(const std::string& id, std::size_t fetches) {
        const std::lock_guard lock(mutex_);
        left_[id] = fetches;
    }
    /// All or nothing.
    bool take(const std::vector<std::string>& ids) {
        const std::lock_guard lock(mutex_);
        if (!std::all_of(ids.begin(), ids.end(), [this](const auto& id) { return left_.contains(id); })) return false;
        for (const auto& id : ids) {
            if (--left_[id] == 0) left_.erase(id);
        }
        return true;
    }

  private:
    std::mutex mutex_;
    std::map<std::string, std::size_t> left_;
};

Ledger& ledger() {
    static Ledger the_ledger;
    return the_ledger;
}

/// Lets `delay` pass; an error when the call's time is over or it is interrupted before.
Result<void> pass(Context& context, std::chrono::milliseconds delay) {
    constexpr std::chrono::milliseconds slice{50};  // a stop without a descriptor is seen this late
    const auto until = Context::Clock::now() + delay;
    for (;;) {
        if (context.stop_requested()) {
            return Error::cancelled("mock KME: interrupted", "run again when ready").retryable();
        }
        if (context.remaining().count() == 0) {
            return Error::timeout("mock KME: no answer in time", "shorten the delay in `fail`").retryable();
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Context::Clock::now());
        if (left.count() <= 0) return {};
        pollfd cancel{context.cancel_fd(), POLLIN, 0};
        (void)::poll(&cancel, 1, static_cast<int>(std::min({left, slice, context.remaining()}).count()));
    }
}

class Mock final : public KeySource {
  public:
    Result<void> configure(const ConfigView& config) override {
        seed_ = config.string("seed");
        once_ = config.boolean("once");
        if (seed_.empty()) return Error::config(config.name() + ": seed is empty", "give any text");
        QKD_TRY(script_, FaultScript::parse(config.string("fail")));
        return {};
    }
    Result<void> probe(Context&) override { return {}; }

    Result<SourceStatus> status(Context& context, const std::string& peer_sae) override {
        if (peer_sae.empty()) return misuse("status of no SAE");
        bool lost = false;
        QKD_TRY(play(context, Call::status, lost));
        if (lost) return lost_answer(false);
        return SourceStatus{"kme-mock", "kme-mock", std::nullopt, std::nullopt, std::nullopt};
    }

    Result<std::vector<Key>> mint(Context& context, const MintRequest& request) override {
        if (request.peer_sae.empty() || request.count == 0 || request.count > most_keys) return misuse("mint");
        if (!good_size(request.bits)) return misuse("keys of " + std::to_string(request.bits) + " bits");
        bool lost = false;
        QKD_TRY(play(context, Call::mint, lost));
        std::vector<Key> keys;
        for (unsigned i = 0; i < request.count; ++i) {
            Key key;
            key.id = new_id(seed_);
            if (key.id.empty()) return Error::internal("no random numbers", "check the system").retryable();
            key.bytes = key_of(seed_, key.id, request.bits / 8);
            if (once_) ledger().add(key.id, 1 + request.additional_saes.size());
            keys.push_back(std::move(key));
        }
        if (lost) return lost_answer(true);
        return keys;
    }

    Result<std::vector<Key>> fetch(Context& context, const FetchRequest& request) override {
        const std::set<std::string> distinct(request.ids.begin(), request.ids.end());
        if (request.peer_sae.empty() || distinct.empty() || distinct.size() != request.ids.size())
            return misuse("fetch");
        if (!good_size(request.bits)) return misuse("keys of " + std::to_string(request.bits) + " bits");
        bool lost = false;
        QKD_TRY(play(context, Call::fetch, lost));
        const bool known = std::all_of(request.ids.begin(), request.ids.end(), [this](const std::string& id) {
            return minted_with(seed_, id) && !fetched_.contains(id);
        });
        if (!known || (once_ && !ledger().take(request.ids))) {
            return Error::not_found("mock KME: one or more of the keys are not there",
                                    "do both ends use the same seed, and was the key fetched before?")
                .retryable();
        }
        if (once_) fetched_.insert(request.ids.begin(), request.ids.end());
        if (lost) return lost_answer(true);
        std::vector<Key> keys;
        for (const auto& id : request.ids) keys.push_back({id, key_of(seed_, id, request.bits / 8)});
        return keys;
    }

  private:
    static constexpr unsigned most_keys = 1024;
    static constexpr unsigned most_bits = 65536;

    static bool good_size(unsigned bits) { return bits != 0 && bits % 8 == 0 && bits <= most_bits; }
    static Error misuse(const std::string& what) {
        return Error::rejected("mock KME: refused: " + what,
                               "1 to 1024 keys of 8 to 65536 bits, whole octets, distinct key_IDs, a named SAE");
    }
    static Error lost_answer(bool consumed) {
        auto lost = Error::unreachable("mock KME: the answer was lost", "as `fail` demands");
        return consumed ? std::move(lost).maybe_consuming() : std::move(lost).retryable();
    }

    Result<void> play(Context& context, Call call, bool& lost) {
        const Fault fault = script_.next(call);
        QKD_TRY(pass(context, fault.delay));
        lost = fault.lost;
        if (!fault.code) return {};
        const bool later =
            *fault.code != ErrorCode::auth && *fault.code != ErrorCode::protocol && *fault.code != ErrorCode::rejected;
        return Error{*fault.code, later ? Retry::safe : Retry::never,
                     std::string("mock KME: ") + to_string(*fault.code) + ", as its script says", "change `fail`"};
    }

    std::string seed_;
    bool once_ = false;
    FaultScript script_;
    std::set<std::string> fetched_;  ///< by this end, when `once`
};

constexpr std::array stages{stage<KeySource, Mock>({Capability::multicast})};
constexpr const char* not_used =
    "Taken and not used, so that one word switches the table of a real KME to the mock and back.";
constexpr std::array fields{
    Field{Scope::kme, FieldType::string, "seed", false, "qkd-macsec-lab", nullptr,
          "All keys come from this text, equal at both ends; it is no secret, for tests only."},
    Field{Scope::kme, FieldType::string, "fail", false, "", nullptr,
          "Faults, such as \"mint:exhausted:2,fetch:not_found:1,mint:delay=500ms\"; counted for each SAE."},
    Field{Scope::kme, FieldType::boolean, "once", false, "false", nullptr,
          "Each SAE gets a key once, and only keys minted by this process."},
    Field{Scope::kme, FieldType::url, "url", false, nullptr, "http|https", not_used},
    Field{Scope::kme, FieldType::string_list, "standby_urls", false, nullptr, nullptr, not_used},
    Field{Scope::kme, FieldType::path, "ca", false, nullptr, nullptr, not_used},
    Field{Scope::kme, FieldType::path, "cert", false, nullptr, nullptr, not_used},
    Field{Scope::kme, FieldType::secret, "key", false, nullptr, nullptr, not_used},
};

}  // namespace
}  // namespace qkd::mock

using qkd::mock::fields;
using qkd::mock::stages;
QKD_PLUGIN("kme-mock", "1.0.0", "qkd-macsec", "Keys without a KME, from a seed", "test only", stages, fields)
