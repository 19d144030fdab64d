// From arguments to an exit code.
#include "cli/on_pipeline.hpp"

#include "cli/commands.hpp"
#include "cli/console.hpp"

namespace qkd::cli {

int on_pipeline(const Arguments& arguments, Session::Kind kind, const std::function<Answer(Work&, Session&)>& command) {
    auto work = prepare(arguments);
    if (!work) {
        complain(work.error());
        return exit_usage;
    }
    auto session = Session::open(arguments, kind);
    if (!session) {
        complain(session.error());
        return exit_usage;
    }
    const Answer made = command(*work, **session);
    const bool interrupted = (*session)->stop().stop_requested();
    const auto finished = (*session)->finish();
    session->reset();
    answer(made.text);
    if (interrupted) return exit_interrupted;
    if (!made.good) return exit_failed;
    if (finished) return exit_ok;
    complain(finished.error());
    return exit_internal;
}

}  // namespace qkd::cli
