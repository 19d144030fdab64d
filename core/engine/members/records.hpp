// The remembered record of a link where a persist plugin keeps it.
#pragma once

#include <memory>

#include "engine/host/plugin_host.hpp"
#include "engine/members/crew.hpp"
#include "engine/state/store.hpp"

namespace qkd::engine {

/// The records of the crew's link by the pipeline's persist stage; sealed, where the pipeline wants that. Null when the pipeline has
/// no persist stage. The crew outlives it and is assembled.
Result<std::unique_ptr<LinkRecords>> open_records(PluginHost& host, Crew& crew);

}  // namespace qkd::engine
