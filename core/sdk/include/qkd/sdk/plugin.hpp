// The plugin descriptor: the one symbol that a plugin exports, a constant table that is read before any of its code
// runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "qkd/sdk/config.hpp"
#include "qkd/sdk/stage.hpp"

/// The ABI of these headers. Major: an incompatible change. Minor: additions only; an engine takes plugins of an equal
/// major and of its own or an older minor. tests/golden/sdk-abi.txt holds the hash of the headers per number.
#define QKD_ABI_MAJOR 1
#define QKD_ABI_MINOR 0

#define QKD_STRINGIZE_(x) #x
#define QKD_STRINGIZE(x) QKD_STRINGIZE_(x)

#if defined(_GLIBCXX_DEBUG)
#define QKD_FP_DEBUG_ "1"
#else
#define QKD_FP_DEBUG_ "0"
#endif

/// What must be equal on both sides so that C++ objects can cross the boundary.
#define QKD_FINGERPRINT                                                 \
    "gxxabi=" QKD_STRINGIZE(__GXX_ABI_VERSION) " cxx11=" QKD_STRINGIZE( \
        _GLIBCXX_USE_CXX11_ABI) " debug=" QKD_FP_DEBUG_                 \
                                " ptr=" QKD_STRINGIZE(__SIZEOF_POINTER__) " int=" QKD_STRINGIZE(__SIZEOF_INT__)

namespace qkd {

/// One stage that a plugin implements.
struct StageInfo {
    StageKind kind;
    const char* provides;  ///< capability words, space separated, see docs/writing-a-plugin.md
    const char* needs;     ///< "connect:files connect:lldp": what the device's plugin must provide
    Stage* (*create)();    ///< a new object of the kind's class; nullptr or an exception is a refused plugin
    void (*destroy)(Stage*);
};

inline constexpr std::uint32_t plugin_magic = 0x514b4431;  // "QKD1"

/// Constant data without constructors. The first four members never move.
struct PluginDescriptor {
    std::uint32_t magic;
    std::uint16_t abi_major;
    std::uint16_t abi_minor;
    const char* fingerprint;
    const char* name;     ///< equal to the file name without libqkd- and .so
    const char* version;  ///< of the plugin
    const char* vendor;
    const char* summary;  ///< one line
    const char* status;   ///< "stable", "experimental" or "test only"
    const StageInfo* stages;
    std::size_t stage_count;
    const Field* fields;
    std::size_t field_count;
};

/// create/destroy pair for a class with a default constructor.
template <class T>
Stage* create_stage() {
    return new T();
}
inline void destroy_stage(Stage* stage) {
    delete stage;
}

}  // namespace qkd

/// At global scope, once per plugin, in a source file that is linked as an object:
///   QKD_PLUGIN("kme-acme", "1.0.0", "ACME", "Keys from an ACME KME", "stable", stages, fields)
/// `stages` and `fields` are constexpr std::arrays.
#define QKD_PLUGIN(name_, version_, vendor_, summary_, status_, stages_, fields_)                               \
    extern "C" __attribute__((visibility("default"))) constinit const ::qkd::PluginDescriptor qkd_plugin_v1 = { \
        ::qkd::plugin_magic,                                                                                    \
        QKD_ABI_MAJOR,                                                                                          \
        QKD_ABI_MINOR,                                                                                          \
        QKD_FINGERPRINT,                                                                                        \
        name_,                                                                                                  \
        version_,                                                                                               \
        vendor_,                                                                                                \
        summary_,                                                                                               \
        status_,                                                                                                \
        std::data(stages_),                                                                                     \
        std::size(stages_),                                                                                     \
        std::data(fields_),                                                                                     \
        std::size(fields_)};
