// The plugin descriptor: the one symbol that a plugin exports, a constant table that is read before any of its code
// runs.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <type_traits>

#include "qkd/sdk/capability.hpp"
#include "qkd/sdk/config.hpp"
#include "qkd/sdk/stage.hpp"

/// The ABI of these headers. Major: an incompatible change. Minor: additions only; an engine takes plugins of an equal
/// major and of its own or an older minor. tests/golden/sdk-abi.txt holds the hash of the headers per number.
#define QKD_ABI_MAJOR 2
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

/// One stage that a plugin implements. stage<Interface, Class>() makes it.
struct StageInfo {
    StageKind kind;
    CapabilitySet provides;  ///< of those that belong to `kind`
    CapabilitySet needs;     ///< what the plugin of the device must provide
    Stage* (*create)();      ///< a new object of the kind's class; nullptr or an exception is a refused plugin
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

/// One of the stage classes of this SDK, such as KeySource.
template <class T>
concept StageInterface = std::derived_from<T, Stage> && std::is_abstract_v<T> && requires {
    { T::kind } -> std::convertible_to<StageKind>;
};

/// A class that the engine can make and use as the stage `Interface`.
template <class Class, class Interface>
concept Implements = StageInterface<Interface> && std::derived_from<Class, Interface> && !std::is_abstract_v<Class> &&
                     std::is_default_constructible_v<Class>;

/// The entry of `Class` in the plugin's table, as the stage that `Interface` stands for:
///   stage<KeySource, Acme>({Capability::multicast})
///   stage<KeyIdTransport, Drop>({Capability::writes}, {Capability::files})
/// Does not compile when `Class` cannot be that stage, or provides what belongs to another one.
template <class Interface, class Class>
consteval StageInfo stage(CapabilitySet provides = {}, CapabilitySet needs = {}) {
    static_assert(StageInterface<Interface>,
                  "stage<Interface, Class>: the first must be a stage class of the SDK, such as qkd::KeySource");
    if constexpr (StageInterface<Interface>) {
        constexpr bool derives = std::derived_from<Class, Interface>;
        constexpr bool whole = !std::is_abstract_v<Class>;
        static_assert(derives, "stage<Interface, Class>: the class must derive publicly from that interface");
        static_assert(!derives || whole,
                      "stage<Interface, Class>: the class is abstract: a call of the interface is not overridden");
        static_assert(!derives || !whole || std::is_default_constructible_v<Class>,
                      "stage<Interface, Class>: the class needs a public constructor without arguments");
        if constexpr (Implements<Class, Interface>) {
            if (!capabilities_of(Interface::kind).has_all(provides))
                throw "stage<Interface, Class>: provides a capability that belongs to another kind of stage";
            if (!device_capabilities.has_all(needs))
                throw "stage<Interface, Class>: needs a capability that no device's plugin can provide";
            // By way of the interface, because the engine casts from Stage to it.
            const auto create = []() -> Stage* { return static_cast<Interface*>(new Class()); };
            return {Interface::kind, provides, needs, create, [](Stage* made) { delete made; }};
        }
    }
    return {};
}

}  // namespace qkd

/// At global scope, once per plugin, in a source file that is linked as an object:
///   QKD_PLUGIN("kme-acme", "1.0.0", "ACME", "Keys from an ACME KME", "stable", stages, fields)
/// `stages` and `fields` are constexpr std::arrays.
#define QKD_PLUGIN(name_, version_, vendor_, summary_, status_, stages_, fields_)                            \
    extern "C" __attribute__((visibility("default"))) constinit const ::qkd::PluginDescriptor qkd_plugin = { \
        ::qkd::plugin_magic,                                                                                 \
        QKD_ABI_MAJOR,                                                                                       \
        QKD_ABI_MINOR,                                                                                       \
        QKD_FINGERPRINT,                                                                                     \
        name_,                                                                                               \
        version_,                                                                                            \
        vendor_,                                                                                             \
        summary_,                                                                                            \
        status_,                                                                                             \
        std::data(stages_),                                                                                  \
        std::size(stages_),                                                                                  \
        std::data(fields_),                                                                                  \
        std::size(fields_)};
