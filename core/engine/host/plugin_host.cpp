// Loads plugins through Boost.DLL, after the checks of file_trust and before those of descriptor_check.
#include "engine/host/plugin_host.hpp"

#include <curl/curl.h>
#include <libssh2.h>

#include <algorithm>
#include <boost/dll/shared_library.hpp>
#include <deque>
#include <optional>
#include <set>

#include "engine/base/guard.hpp"
#include "engine/base/text.hpp"
#include "engine/host/descriptor_check.hpp"
#include "engine/host/file_trust.hpp"

namespace qkd::engine {
namespace {

namespace fs = std::filesystem;
namespace dll = boost::dll;

constexpr std::string_view prefix = "libqkd-";
constexpr std::string_view suffix = ".so";

/// Everything that was ever loaded. Never destroyed: objects, exceptions and function pointers of a plugin may be in
/// use until the very end, and static destructors run in no useful order.
struct Resident {
    std::mutex mutex;
    std::deque<dll::shared_library> libraries;
    std::deque<Plugin> plugins;
};
Resident& resident() {
    static auto* const everything = new Resident;
    return *everything;
}

/// Libraries that plugins share and that want to be set up once, before any thread could do it twice.
void set_up_shared_libraries() {
    static const bool done = [] {
        const bool curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
        return libssh2_init(0) == 0 && curl;
    }();
    (void)done;  // what is broken shows in the first handle a plugin asks for, with a better message
}

Error refused(std::string what, std::string hint, ErrorCode code = ErrorCode::config) {
    return {code, Retry::never, std::move(what), std::move(hint)};
}

/// The part of Boost's message that dlerror() gave, without the file name in front.
std::string loader_message(const std::exception& failure, const fs::path& file) {
    std::string text = failure.what();
    if (const auto at = text.rfind(file.string() + ": "); at != std::string::npos) {
        text = text.substr(at + file.string().size() + 2);
    }
    return printable(text);
}

Result<const PluginDescriptor*> open_library(const fs::path& file) {
    // Boost's error_code overload loses the text of dlerror(), so this is one of the few places with an exception.
    try {
        dll::shared_library library(file, dll::load_mode::rtld_now | dll::load_mode::rtld_local);
        const bool complete = library.has("qkd_plugin");
        const PluginDescriptor* descriptor = complete ? &library.get<const PluginDescriptor>("qkd_plugin") : nullptr;
        resident().libraries.push_back(std::move(library));
        if (complete) return descriptor;
        return refused("it has no symbol qkd_plugin",
                       "use QKD_PLUGIN() of the SDK in a source file of the plugin itself");
    } catch (const std::exception& failure) {
        const std::string said = failure.what();
        if (said.find("file too short") != std::string::npos || said.find("invalid ELF header") != std::string::npos) {
            return refused("it is no shared library (not an ELF file)", "install the plugin again, or remove the file");
        }
        return refused("the loader says: " + loader_message(failure, file),
                       "run `ldd -r " + file.string() + "`; install what is missing or rebuild the plugin");
    }
}

}  // namespace

const StageInfo* Plugin::stage(StageKind kind) const noexcept {
    for (std::size_t i = 0; i < descriptor->stage_count; ++i) {
        if (descriptor->stages[i].kind == kind) return &descriptor->stages[i];
    }
    return nullptr;
}

struct PluginHost::Impl {
    std::mutex mutex;
    std::map<std::string, Result<const Plugin*>, std::less<>> known;

    Result<const Plugin*> keep(const std::string& name, const PluginDescriptor& descriptor, const fs::path& file) {
        auto& all = resident();
        const std::scoped_lock lock(all.mutex);
        const Plugin* plugin = &all.plugins.emplace_back(Plugin{&descriptor, file});
        known.insert_or_assign(name, plugin);
        return plugin;
    }
};

PluginHost::PluginHost(fs::path directory) : directory_(std::move(directory)), impl_(std::make_unique<Impl>()) {
    set_up_shared_libraries();
}

PluginHost::~PluginHost() = default;

fs::path PluginHost::default_directory() {
    std::error_code failure;
    const fs::path self = fs::read_symlink("/proc/self/exe", failure);
    return (self.parent_path() / "../lib/qkd-macsec/plugins").lexically_normal();
}

Result<const Plugin*> PluginHost::load(std::string_view name) {
    if (!is_plugin_name(name)) {
        return refused("'" + printable(name) + "' is no plugin name",
                       "a name is lower-case words joined by '-', never a path; plugins come from " +
                           directory_.string() + " or from --plugin-dir");
    }
    const std::scoped_lock lock(impl_->mutex);
    if (const auto found = impl_->known.find(name); found != impl_->known.end()) return found->second;

    const std::string key(name);
    const auto result = [&]() -> Result<const Plugin*> {
        auto file = check_trusted_file(directory_, std::string(prefix) + key + std::string(suffix));
        if (!file) return std::move(file).error();
        auto& all = resident();
        const PluginDescriptor* descriptor = nullptr;
        {
            const std::scoped_lock loading(all.mutex);
            auto opened = open_library(*file);
            if (!opened) return std::move(opened).error();
            descriptor = *opened;
        }
        if (auto good = check_descriptor(*descriptor, name); !good) return std::move(good).error();
        return impl_->keep(key, *descriptor, *file);
    }();
    impl_->known.insert_or_assign(key, result);
    return result;
}

std::vector<std::string> PluginHost::names() const {
    std::set<std::string> found;
    {
        const std::scoped_lock lock(impl_->mutex);
        for (const auto& [name, result] : impl_->known) {
            if (result) found.insert(name);
        }
    }
    std::error_code failure;
    for (fs::directory_iterator it(directory_, failure), end; !failure && it != end; it.increment(failure)) {
        const std::string file = it->path().filename().string();
        if (!file.starts_with(prefix) || !file.ends_with(suffix)) continue;
        if (file.size() <= prefix.size() + suffix.size()) continue;
        const auto name = file.substr(prefix.size(), file.size() - prefix.size() - suffix.size());
        if (is_plugin_name(name)) found.insert(name);
    }
    return {found.begin(), found.end()};
}

std::vector<PluginStatus> PluginHost::list() {
    std::vector<PluginStatus> all;
    std::set<std::string> listed;
    std::error_code failure;
    for (fs::directory_iterator it(directory_, failure), end; !failure && it != end; it.increment(failure)) {
        PluginStatus status;
        status.file = it->path();
        const std::string file = it->path().filename().string();
        if (file.starts_with(prefix) && file.ends_with(suffix) && file.size() > prefix.size() + suffix.size()) {
            status.name = file.substr(prefix.size(), file.size() - prefix.size() - suffix.size());
        }
        if (!is_plugin_name(status.name)) {
            status.name = file;
            status.refused = "its name is not libqkd-NAME.so; rename it or take it out of the plugin directory";
        } else if (auto plugin = load(status.name)) {
            status.descriptor = (*plugin)->descriptor;
        } else {
            status.refused = plugin.error().what + "; " + plugin.error().hint;
        }
        listed.insert(status.name);
        all.push_back(std::move(status));
    }
    const std::scoped_lock lock(impl_->mutex);
    for (const auto& [name, result] : impl_->known) {
        if (result && !listed.contains(name)) all.push_back({name, (*result)->file, (*result)->descriptor, {}});
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return all;
}

Result<const Plugin*> PluginHost::add_builtin(const PluginDescriptor& descriptor) {
    const std::string name = descriptor.name == nullptr ? "" : descriptor.name;
    if (!is_plugin_name(name))
        return refused("'" + printable(name) + "' is no plugin name", "see docs/writing-a-plugin.md");
    if (auto good = check_descriptor(descriptor, name); !good) return std::move(good).error();
    const std::scoped_lock lock(impl_->mutex);
    if (impl_->known.contains(name)) return refused("plugin " + name + " is already there", "register it once");
    return impl_->keep(name, descriptor, {});
}

Result<StagePtr<Stage>> PluginHost::create(const Plugin& plugin, StageKind kind, const ConfigView& config) {
    const char* name = plugin.descriptor->name;
    const StageInfo* info = plugin.stage(kind);
    if (info == nullptr) {
        return Error{ErrorCode::unsupported, Retry::never,
                     std::string("plugin ") + name + " has no stage " + to_string(kind),
                     "name a plugin that has; see `qkd-macsec plugins list`"};
    }
    return guard_plugin(name, [&]() -> Result<StagePtr<Stage>> {
        StagePtr<Stage> stage(info->create(), info->destroy);
        if (stage == nullptr) {
            return Error{ErrorCode::internal, Retry::never,
                         std::string("plugin ") + name + " made no object for stage " + to_string(kind),
                         "this is a defect of the plugin; report it to its vendor"};
        }
        if (auto configured = stage->configure(config); !configured) return std::move(configured).error();
        return stage;
    });
}

}  // namespace qkd::engine
