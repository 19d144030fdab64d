// Keys and secrets as they are named on a command line.
#pragma once

#include <filesystem>
#include <string>

#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::cli {

/// A secret reference as it stands in a file; a bare PATH means file:PATH.
std::string reference_of(const std::string& word);

/// The reference with its path absolute, counted from `folder`.
Result<std::string> absolute_reference(const std::string& reference, const std::filesystem::path& folder);

/// The seal key behind a reference whose paths count from `folder`. Commands get 30 seconds.
Result<SecretBytes> load_key(const std::string& reference, const std::filesystem::path& folder);

/// The seal key of a state directory that has one of its own.
Result<SecretBytes> load_state_key(const std::filesystem::path& state);

/// A secret from standard input, at most 64 KiB: all of it without one line end at its end; on a terminal one line,
/// not shown.
Result<SecretBytes> read_secret_input();

/// The content of a file as `file:` takes it: 0600 and ours, without one line end at its end.
Result<SecretBytes> read_secret_from(const std::filesystem::path& file);

}  // namespace qkd::cli
