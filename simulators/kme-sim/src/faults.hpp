// Scripted faults: a JSON file that says which call at which KME goes wrong, and how. It is read anew on every request,
// so that a test can change it while the server runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "qkd/sdk/result.hpp"

namespace qkd::kme_sim {

enum class FaultAction {
    delay,    ///< the right answer, `ms` late
    drop,     ///< the connection ends without an answer, nothing is done
    error,    ///< `status` and `message`, nothing is done
    garbage,  ///< 200 with a body that is no JSON, nothing is done
    hang,     ///< no answer for `ms` (0: until the caller gives up), then the connection ends, nothing is done
    consume_then_drop,  ///< the call is carried out, but its answer is lost
    consume_then_hang,  ///< the call is carried out, then as hang
    empty,              ///< 200 without any key, nothing is done
    short_key,          ///< carried out; each key of the answer is cut to its first half
    wrong_id,           ///< carried out; each key of the answer bears another key_ID
    duplicate           ///< carried out; the first key of the answer is there twice
};

struct Fault {
    FaultAction action = FaultAction::error;
    int status = 503;
    std::string message;
    std::chrono::milliseconds delay{0};
};

/// {"faults":[{"kme":NAME|"*","call":"enc_keys"|"dec_keys"|"status"|"*","sae":CALLER?,"nth":N | "every":true,
///             "action":…,"status":…,"message":…,"ms":…,"id":…?}]}
/// Each entry counts the calls it matches from the first request after it appeared; the counters last as long as the
/// process. Two entries with the same text are one; give one of them another "id" to tell them apart. Thread-safe.
/// Each fault that strikes leaves a JSON line in FILE.log ({"id","kme","call","sae","action"}), so that a test knows that it did.
class FaultScript {
  public:
    /// An empty path, or a file that does not exist, is a script without faults.
    explicit FaultScript(std::string path) : path_(std::move(path)) {}

    /// Counts this call and gives the fault it must suffer, the first entry that is due. An error if the file is wrong.
    Result<std::optional<Fault>> next(const std::string& kme, const std::string& call, const std::string& sae);

  private:
    void note(const std::string& line) const;

    const std::string path_;
    std::mutex mutex_;
    std::map<std::string, std::int64_t> seen_;  ///< by the entry's own text
};

}  // namespace qkd::kme_sim
