// The description of a REST API, read from the pipeline file and checked as a whole.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "qkd/sdk/config.hpp"
#include "reply.hpp"
#include "template.hpp"

namespace qkd::rest {

/// One kind of request.
struct Line {
    std::string method;
    Template target;
    Template body;
    [[nodiscard]] bool uses(Slot slot) const noexcept { return target.uses(slot) || body.uses(slot); }
};

struct HeaderLine {
    std::string name;
    Template value;
};

struct Settings {
    Line mint;
    Line fetch;
    std::optional<Line> share;
    std::optional<Line> check;
    std::optional<Line> remove;
    std::optional<Line> status;
    std::optional<Line> probe;
    std::vector<HeaderLine> headers;
    bool form = false;  ///< bodies are web forms, not JSON
    std::string local_sae;

    std::optional<Pointer> mint_list;
    KeyPlace minted;
    KeyPlace fetched;
    std::optional<Pointer> check_state;
    std::vector<std::string> check_ready;
    std::optional<Pointer> status_stored;
    std::optional<Pointer> status_max_keys;
    std::optional<Pointer> status_max_additional;
    std::optional<Pointer> status_source;
    std::optional<Pointer> status_target;
    std::optional<Pointer> error_message;
    std::optional<Pointer> error_code;
    std::vector<std::string> success;    ///< codes at error_code that are no error
    std::vector<std::string> exhausted;  ///< codes or HTTP statuses that mean an empty pool
    std::vector<std::string> not_found;
    std::vector<std::string> auth;

    /// Errors: config, with the setting's name; the first one found.
    static Result<Settings> read(const ConfigView& config);
};

}  // namespace qkd::rest
