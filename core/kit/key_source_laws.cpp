// Laws for key sources: what is minted at one end can be fetched at the other, exactly, and nothing else.
#include <algorithm>
#include <set>

#include "kit/patience.hpp"
#include "kit/trial.hpp"
#include "qkd/sdk/key_source.hpp"

namespace qkd::conformance {
namespace {

constexpr StageKind kind = StageKind::key_source;

/// Both ends of an SAE pair.
struct Pair {
    explicit Pair(Trial& t)
        : trial(t), initiator(t.make<KeySource>(End::initiator)), responder(t.make<KeySource>(End::responder)) {
        Trial::needs(t.subject().keys_available, "there is no KME behind this configuration");
    }

    std::vector<Key> mint(unsigned count, unsigned bits) {
        auto keys =
            trial.must(initiator->mint(trial.context(), {trial.subject().responder_sae, {}, count, bits}), "mint");
        for (const Key& key : keys) trial.guard_secret(key.bytes);
        Trial::require(keys.size() == count,
                       "asked for " + std::to_string(count) + " keys, got " + std::to_string(keys.size()));
        return keys;
    }
    Result<std::vector<Key>> fetch(const std::vector<std::string>& ids, unsigned bits) {
        auto keys = responder->fetch(trial.context(), {trial.subject().initiator_sae, ids, bits});
        if (keys) {
            for (const Key& key : *keys) trial.guard_secret(key.bytes);
        }
        return keys;
    }

    Trial& trial;
    support::PluginObject<KeySource> initiator;
    support::PluginObject<KeySource> responder;
};

/// As many keys at once as the source can give, 3 at most.
unsigned some(Pair& pair) {
    const auto status = pair.initiator->status(pair.trial.context(), pair.trial.subject().responder_sae);
    if (!status || !status->max_keys_per_request) return 3;
    return static_cast<unsigned>(std::clamp<std::uint64_t>(*status->max_keys_per_request, 1, 3));
}

void exact(Trial& trial) {
    Pair pair(trial);
    const auto keys = pair.mint(some(pair), 256);
    for (const Key& key : keys) {
        trial.expect(key.bytes.size() == 32, "a key of 256 bits has " + std::to_string(key.bytes.size()) + " octets");
        trial.expect(!key.id.empty(), "a key without key_ID");
    }
}

void distinct(Trial& trial) {
    Pair pair(trial);
    std::vector<Key> keys = pair.mint(some(pair), 256);
    for (Key& key : pair.mint(1, 256)) keys.push_back(std::move(key));
    for (std::size_t i = 0; i < keys.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            trial.expect(keys[i].id != keys[k].id, "two keys share the key_ID " + keys[i].id);
            trial.expect(!keys[i].bytes.same_as(keys[k].bytes), "two keys are equal");
        }
    }
}

void same_at_both_ends(Trial& trial) {
    Pair pair(trial);
    auto minted = pair.mint(some(pair), 256);
    std::reverse(minted.begin(), minted.end());
    std::vector<std::string> ids;
    for (const Key& key : minted) ids.push_back(key.id);
    const auto fetched = trial.must(pair.fetch(ids, 256), "fetch");
    Trial::require(fetched.size() == minted.size(), "fetch gave another number of keys than asked for");
    for (std::size_t i = 0; i < ids.size(); ++i) {
        trial.expect(fetched[i].id == ids[i],
                     "fetch does not keep the order asked for, or spells a key_ID differently");
        trial.expect(fetched[i].bytes.same_as(minted[i].bytes), "the key fetched is not the key minted");
    }
}

void sizes(Trial& trial) {
    Pair pair(trial);
    const auto minted = pair.initiator->mint(trial.context(), {trial.subject().responder_sae, {}, 1, 128});
    if (!minted) {
        (void)trial.must_fail(minted, "mint of 128 bits", {ErrorCode::rejected, ErrorCode::unsupported});
        return;
    }
    Trial::require(minted->size() == 1 && minted->front().bytes.size() == 16, "a key of 128 bits has not 16 octets");
    trial.guard_secret(minted->front().bytes);
    const auto fetched = pair.fetch({minted->front().id}, 128);
    Trial::require(fetched.ok(), "a minted key of 128 bits cannot be fetched");
    trial.expect(fetched->size() == 1 && fetched->front().bytes.same_as(minted->front().bytes),
                 "the key of 128 bits differs at the other end");
}

void unknown_id(Trial& trial) {
    Pair pair(trial);
    const auto alone = pair.fetch({"00000000-0000-4000-8000-000000000000"}, 256);
    (void)trial.must_fail(alone, "fetch of a key_ID that was never minted", {ErrorCode::not_found});
    const auto minted = pair.mint(1, 256);
    const auto mixed = pair.fetch({minted.front().id, "00000000-0000-4000-8000-000000000000"}, 256);
    (void)trial.must_fail(mixed, "fetch of a known and an unknown key_ID", {ErrorCode::not_found, ErrorCode::rejected});
}

void once(Trial& trial) {
    Trial::needs(support::find_stage(trial.plugin(), kind)->provides.has(Capability::once), "does not claim 'once'");
    Pair pair(trial);
    const auto minted = pair.mint(1, 256);
    (void)trial.must(pair.fetch({minted.front().id}, 256), "the first fetch");
    (void)trial.must_fail(pair.fetch({minted.front().id}, 256), "the second fetch", {ErrorCode::not_found});
}

void nonsense(Trial& trial) {
    Pair pair(trial);
    const std::string peer = trial.subject().responder_sae;
    const auto try_mint = [&](const MintRequest& request, const std::string& what) {
        const auto keys = pair.initiator->mint(trial.context(std::chrono::seconds{2}), request);
        trial.either(keys, what);
        if (!keys) return;
        trial.expect(keys->size() == request.count, what + " gives another number of keys");
        for (const Key& key : *keys) trial.expect(key.bytes.size() * 8 == request.bits, what + " gives another size");
    };
    try_mint({"", {}, 1, 256}, "mint for no SAE");
    try_mint({"../../x?y=z#\r\nHost: x", {}, 1, 256}, "mint for a peer with a strange name");
    try_mint({peer, {}, 0, 256}, "mint of 0 keys");
    try_mint({peer, {}, 1, 0}, "mint of 0 bits");
    try_mint({peer, {}, 1, 7}, "mint of 7 bits");
    try_mint({peer, {}, 1, 0xffffffff}, "mint of 4 Gbit");
    for (const std::string& id :
         {std::string(), std::string("\r\n\0x", 4), std::string(5000, 'a'), std::string("\xff\"}")}) {
        (void)trial.must_fail(pair.fetch({id}, 256), "fetch of a key_ID that cannot be", {});
    }
}

void status(Trial& trial) {
    Pair pair(trial);
    (void)trial.must(pair.initiator->status(trial.context(), trial.subject().responder_sae), "status");
}

void deadline(Trial& trial) {
    honours_deadline<KeySource>(trial, "mint", [&](KeySource& source, Context& context) {
        return source.mint(context, {trial.subject().responder_sae, {}, 1, 256});
    });
    honours_deadline<KeySource>(trial, "fetch", [&](KeySource& source, Context& context) {
        return source.fetch(context, {trial.subject().initiator_sae, {"00000000-0000-4000-8000-000000000000"}, 256});
    });
}

void stop(Trial& trial) {
    honours_stop<KeySource>(trial, "mint", [&](KeySource& source, Context& context) {
        return source.mint(context, {trial.subject().responder_sae, {}, 1, 256});
    });
}

}  // namespace

const std::vector<Law>& key_source_laws() {
    static const std::vector<Law> laws{
        {"key-source.exact", "mint gives as many keys of as many bits as asked for", exact},
        {"key-source.distinct", "no two keys or key_IDs are equal", distinct},
        {"key-source.same", "fetch at the other end gives the same keys in the order asked for", same_at_both_ends},
        {"key-source.sizes", "keys of 128 bits have 16 octets at both ends, or are refused", sizes},
        {"key-source.unknown", "a key_ID that was never minted is not_found, alone or among others", unknown_id},
        {"key-source.once", "a source that claims 'once' gives a key out once", once},
        {"key-source.nonsense", "nonsensical requests are refused, or answered exactly", nonsense},
        {"key-source.status", "status answers", status},
        {"key-source.deadline", "mint and fetch come back within 200 ms of the deadline", deadline},
        {"key-source.stop", "mint comes back within 200 ms of an interruption", stop}};
    return laws;
}

}  // namespace qkd::conformance
