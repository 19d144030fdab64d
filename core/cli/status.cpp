// qkd-macsec status: which key runs on every link, and how well.
#include <unistd.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "cli/console.hpp"
#include "cli/on_pipeline.hpp"
#include "cli/tables.hpp"

namespace qkd::cli {
namespace {

int status(const Arguments& arguments) {
    return on_pipeline(arguments, Session::Kind::reads, [&](Work& work, Session& session) {
        const auto links = engine::status(work.pipeline, *work.host, work.options, session.observer(), session.stop());
        const bool good = std::all_of(links.begin(), links.end(),
                                      [](const auto& link) { return link.health == engine::Health::healthy; });
        return Answer{arguments.has("json") ? status_json(work.pipeline.name, links)
                                            : status_summary(links, colour_wanted(arguments, STDOUT_FILENO)),
                      good};
    });
}

}  // namespace

Command status_command() {
    return {"status",
            "show which key runs on every link, and how well",
            {"status PIPELINE [--as DEVICE] [--json] [--link NAME]... [--device NAME]... [-t N]",
             "       [-v...] [--trace] [--log-format text|json] [--profile FILE]"},
            "Asks the members and prints per link its health, the active key_ID with its age, the start-time of the "
            "next key, and the MKA state of every interface. Reads only.",
            std::vector<Option>{{"json", 0, nullptr, false, "one JSON object instead of tables"}} +
                selection_options() + observation_options(),
            1,
            1,
            "the PIPELINE file is missing",
            "  0    every link is healthy\n"
            "  1    links are degraded or down\n"
            "  2    usage, configuration or plugin refusal; nothing was connected to\n"
            "  3    internal error\n"
            "  130  interrupted",
            "  qkd-macsec status ring.toml\n"
            "  qkd-macsec status ring.toml --json | jq -r '.links[] | select(.health != \"healthy\") | .name'",
            status};
}

}  // namespace qkd::cli
