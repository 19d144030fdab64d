// The calls on files: file-show, file-list, file-delete, file-rename, within the device's own file area.
#include <sys/stat.h>

#include <algorithm>

#include "clock.hpp"
#include "files.hpp"
#include "rpc.hpp"
#include "xml_out.hpp"

namespace qkd::junossim {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t largest_shown = 1U << 20;

// What every Junos device has there; clients learn from it which routing engine they are on.
constexpr std::string_view hosts_junos =
    "\n128.0.0.1        master\n128.0.0.4        re0\n128.0.0.5        re1\n128.0.0.6        backup\n";

fs::path resolve(const Call& c, const char* element) {
    const std::string path = text_of(child(c.operation, element));
    if (path.empty()) refuse("missing argument", element, "missing-element");
    const auto area = make_file_area(c.session.state(), c.session.user());
    const auto real = inside(area, c.session.user(), path);
    if (!real) refuse("error: could not resolve file: " + path, path);
    return *real;
}

void file_show(Call& c) {
    const std::string name = text_of(child(c.operation, "filename"));
    const auto file = resolve(c, "filename");
    auto text = fs::is_regular_file(file) ? read_file(file) : std::nullopt;
    if (!text && name == "/etc/hosts.junos") text = hosts_junos;
    if (!text) refuse("could not resolve file: " + name, name);
    if (text->size() > largest_shown) refuse("file is too large to show: " + name, name);
    auto content = add(c.reply, "file-content");
    set_attribute(content, "filename", name);
    set_attribute(content, "filesize", std::to_string(text->size()));
    set_attribute(content, "encoding", "text");
    content.text().set(text->c_str());
}

void file_list(Call& c) {
    const std::string path = text_of(child(c.operation, "path"));
    const auto folder = resolve(c, "path");
    if (!fs::exists(folder)) refuse("error: " + path + ": No such file or directory", path);
    auto list = add(c.reply, "directory-list");
    auto directory = add(list, "directory");
    set_attribute(directory, "name", path);
    std::vector<fs::path> files;
    if (fs::is_directory(folder)) {
        for (const auto& f : fs::directory_iterator(folder)) files.push_back(f.path());
    } else {
        files.push_back(folder);
    }
    std::sort(files.begin(), files.end());
    for (const auto& f : files) {
        auto e = add(directory, "file-information");
        add(e, "file-name", f.filename().string());
        if (fs::is_directory(f))
            add(e, "file-directory");
        else if (fs::is_regular_file(f))
            add(e, "file-size", std::to_string(fs::file_size(f)));
    }
    add(directory, "total-files", std::to_string(files.size()));
}

void file_delete(Call& c) {
    const auto file = resolve(c, "path");
    std::error_code error;
    if (fs::is_directory(file) || !fs::remove(file, error)) {
        refuse("error: " + text_of(child(c.operation, "path")) + ": No such file or directory");
    }
}

void file_rename(Call& c) {
    std::error_code error;
    fs::rename(resolve(c, "source"), resolve(c, "destination"), error);
    if (error) refuse("error: rename: " + error.message());
}

}  // namespace

const Handlers& file_handlers() {
    static const Handlers handlers = {
        {"file-show", file_show}, {"file-list", file_list}, {"file-delete", file_delete}, {"file-rename", file_rename}};
    return handlers;
}

}  // namespace qkd::junossim
