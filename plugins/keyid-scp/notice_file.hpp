// The file in which a notice travels: its name and its content.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "qkd/sdk/key_id_transport.hpp"

namespace qkd::keyid_scp {

/// "LINK.GENERATION.json": the link with everything but letters, digits and '-' written as _hh, the generation with 20
/// digits. Names sort by generation, and no two links share one.
std::string file_name(const std::string& link, std::uint64_t generation);

/// What a name in the directory stands for.
struct FileName {
    std::uint64_t generation = 0;
    bool acknowledgement = false;  ///< the name of a notice with ".ack" behind it
};
/// nullopt for a file that is none of this link's.
std::optional<FileName> parse_file_name(const std::string& name, const std::string& link);

/// JSON, schema 1. An error when the notice holds what may not travel (see decode).
Result<std::string> encode(const KeyIdNotice& notice);
/// Strict: schema 1, exactly the known members, link and generation as the file name says, 1..64 key_IDs of 1..128
/// characters each, times as whole seconds of UTC. `place` names the file in errors.
Result<KeyIdNotice> decode(std::string_view text, const std::string& link, std::uint64_t generation,
                           const std::string& place);
/// The content of an acknowledgement by `device`.
std::string acknowledgement(const KeyIdNotice& notice, const std::string& device);

}  // namespace qkd::keyid_scp
