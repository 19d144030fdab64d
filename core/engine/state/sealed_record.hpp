// What is remembered of a link, with its names sealed: for those who count key_IDs and CKNs as worth hiding on the disk.
#pragma once

#include "qkd/sdk/persist.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::engine {

/// The record with every key_ID and CKN sealed, each for its own place in this link's record. Generation and times stay.
Result<LinkRecord> seal_record(const SecretBytes& key, LinkRecord record);
/// Does it hold anything that is sealed?
bool is_sealed(const LinkRecord& record);
/// The record in clear; what is not sealed stays as it is. config when something does not open under this key.
Result<LinkRecord> open_record(const SecretBytes& key, LinkRecord record);

}  // namespace qkd::engine
