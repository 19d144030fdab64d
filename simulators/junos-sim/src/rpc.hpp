// The calls a session may make: dispatch, permissions, and how the device words its errors.
#pragma once

#include <map>
#include <pugixml.hpp>
#include <string>

#include "config_load.hpp"
#include "session.hpp"

namespace qkd::junossim {

struct Call {
    Session& session;
    pugi::xml_node operation;
    pugi::xml_node reply;

    // format= of the call; text only when asked for.
    bool wants_text() const;
};

// Ends a call with this error as its answer.
struct RpcError {
    Issue issue;
};
[[noreturn]] void refuse(const std::string& message, const std::string& bad_element = {},
                         const std::string& tag = "operation-failed");

using Handler = void (*)(Call&);
using Handlers = std::map<std::string, Handler>;
const Handlers& configuration_handlers();  // rpc_configuration.cpp
const Handlers& show_handlers();           // show.cpp
const Handlers& macsec_handlers();         // show_macsec.cpp
const Handlers& file_handlers();           // rpc_files.cpp

// Runs the call and fills the reply; never throws for what a client can do.
void call(Session& session, const pugi::xml_node& operation, pugi::xml_node reply);

void add_error(pugi::xml_node parent, const Issue& issue);

}  // namespace qkd::junossim
