// Runs a program that prints a secret, such as a vault client.
#pragma once

#include <string>
#include <vector>

#include "qkd/sdk/context.hpp"
#include "qkd/sdk/result.hpp"
#include "qkd/sdk/secret.hpp"

namespace qkd::engine {

/// What the program wrote to its standard output, at most 64 KiB. No shell: argv goes to the program as it is; it gets
/// our environment, an empty standard input, and its error output is dropped, because it might quote the secret. It is
/// killed with its process group at the deadline, on interruption and when it writes too much. Errors: not_found,
/// timeout, cancelled, rejected (it failed or printed nothing).
Result<SecretBytes> run_secret_command(const std::vector<std::string>& argv, Context& context);

/// Is there such a program? Absolute paths are looked at, bare names are searched in PATH.
Result<void> check_program(const std::string& program);

}  // namespace qkd::engine
