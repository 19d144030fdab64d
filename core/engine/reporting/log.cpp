// The log on spdlog. The one source file that includes it.
#include "engine/reporting/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <shared_mutex>
#include <utility>

#include "engine/base/display.hpp"
#include "engine/base/output_file.hpp"

namespace qkd::engine {
namespace {

using Json = nlohmann::ordered_json;
using SpdLevel = spdlog::level::level_enum;

/// spdlog has six levels like us, but no notice: ours are mapped by rank, and named by LevelName below.
SpdLevel to_spdlog(LogLevel level) noexcept {
    return static_cast<SpdLevel>(level);
}
static_assert(static_cast<int>(LogLevel::trace) == spdlog::level::trace);
static_assert(static_cast<int>(LogLevel::error) == spdlog::level::critical);

class LevelName final : public spdlog::custom_flag_formatter {
  public:
    explicit LevelName(std::size_t width) : width_(width) {}
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
        std::string name = to_string(static_cast<LogLevel>(message.level));
        if (name.size() < width_) name.resize(width_, ' ');
        out.append(name.data(), name.data() + name.size());
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<LevelName>(width_);
    }

  private:
    std::size_t width_;
};

std::unique_ptr<spdlog::formatter> formatter(LogFormat format) {
    auto made = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc, "\n");
    constexpr std::size_t longest_level = 7;
    made->add_flag<LevelName>('*', format == LogFormat::text ? longest_level : 0);
    made->set_pattern(format == LogFormat::text ? "%Y-%m-%dT%H:%M:%S.%eZ %^%*%$ %v"
                                                : R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%*",%v})");
    return made;
}

const char* colour_of(SpdLevel level) {
    switch (static_cast<LogLevel>(level)) {
        case LogLevel::error: return "\x1b[31m";
        case LogLevel::warning: return "\x1b[33m";
        case LogLevel::notice: return "\x1b[36m";
        default: return "\x1b[2m";
    }
}

class ScreenSink final : public spdlog::sinks::base_sink<std::mutex> {
  public:
    ScreenSink(Screen& screen, bool colour) : screen_(screen), colour_(colour) {}

  protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        const std::string_view text(line.data(), line.size());
        if (!colour_ || message.color_range_end <= message.color_range_start) {
            screen_.write(text);
            return;
        }
        std::string coloured(text.substr(0, message.color_range_start));
        coloured += colour_of(message.level);
        coloured += text.substr(message.color_range_start, message.color_range_end - message.color_range_start);
        coloured += "\x1b[0m";
        coloured += text.substr(message.color_range_end);
        screen_.write(coloured);
    }
    void flush_() override {}

  private:
    Screen& screen_;
    bool colour_;
};

/// Writes to a descriptor it owns: spdlog's own file sinks open by name, and would follow a symbolic link.
class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
  public:
    explicit FileSink(int fd) : fd_(fd) {}
    ~FileSink() override { ::close(fd_); }
    FileSink(const FileSink&) = delete;
    FileSink& operator=(const FileSink&) = delete;

  protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        if (full_) return;
        // A full disk ends the trace, not the run.
        full_ = !write_all(fd_, {line.data(), line.size()});
    }
    void flush_() override {}

  private:
    int fd_;
    bool full_ = false;
};

class RotatingSink final : public spdlog::sinks::base_sink<std::mutex> {
  public:
    explicit RotatingSink(std::unique_ptr<RotatingFile> file) : file_(std::move(file)) {}

  protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        file_->write({line.data(), line.size()});
    }
    void flush_() override {}

  private:
    std::unique_ptr<RotatingFile> file_;
};

std::string milliseconds_of(std::chrono::nanoseconds took) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f ms", std::chrono::duration<double, std::milli>(took).count());
    return text;
}

std::string describe(const Error& error) {
    std::string text = error.what + " (" + to_string(error.code) + ")";
    if (!error.hint.empty()) text += "; " + error.hint;
    return text;
}

/// Level of a failed step or link: what somebody asked for by an interruption is no failure.
LogLevel level_of(const Error& error, LogLevel level) {
    return error.code == ErrorCode::cancelled ? LogLevel::notice : level;
}

}  // namespace

const char* to_string(LogLevel level) noexcept {
    switch (level) {
        case LogLevel::trace: return "trace";
        case LogLevel::debug: return "debug";
        case LogLevel::info: return "info";
        case LogLevel::notice: return "notice";
        case LogLevel::warning: return "warning";
        case LogLevel::error: return "error";
    }
    return "error";
}

struct Log::Impl {
    LogFormat format = LogFormat::text;
    std::unique_ptr<spdlog::logger> logger;
    std::shared_mutex mutex;  // of run_id
    std::string run_id;
    std::mutex system_mutex;
    std::unique_ptr<SystemLog> system;
    LogLevel system_level = LogLevel::info;

    [[nodiscard]] bool wanted_by_system(LogLevel level) const { return system != nullptr && level >= system_level; }
    [[nodiscard]] bool wanted(LogLevel level) const {
        return logger->should_log(to_spdlog(level)) || wanted_by_system(level);
    }

    void line(LogLevel level, const Place& place, std::string_view message, const Json& more = Json::object()) {
        if (!wanted(level)) return;
        std::string run;
        {
            const std::shared_lock lock(mutex);
            run = run_id;
        }
        std::string text;
        if (format == LogFormat::json) {
            Json object = {{"run_id", run},        {"link", place.link},     {"device", place.device},
                           {"stage", place.stage}, {"plugin", place.plugin}, {"message", std::string(message)}};
            object.update(more);
            text = object.dump(-1, ' ', false, Json::error_handler_t::replace);
            text = text.substr(1, text.size() - 2);  // the pattern has the braces, time and level
        } else {
            for (const std::string* field :
                 {&std::as_const(run), &place.link, &place.device, &place.stage, &place.plugin}) {
                if (!text.empty()) text += ' ';
                text += field->empty() ? "-" : one_line(*field);
            }
            text += ": " + one_line(message);
        }
        logger->log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
        if (!wanted_by_system(level)) return;
        if (format == LogFormat::json) text = std::string(R"({"level":")") + to_string(level) + "\"," + text + "}";
        const std::lock_guard lock(system_mutex);
        system->write({level, run, place, one_line(message), text});
    }
};

Log::Log() : impl_(std::make_unique<Impl>()) {}
Log::~Log() = default;

Result<std::unique_ptr<Log>> Log::open(const LogOptions& options, Screen& screen) {
    std::unique_ptr<Log> log(new Log());
    log->impl_->format = options.format;
    std::vector<spdlog::sink_ptr> sinks;
    sinks.push_back(std::make_shared<ScreenSink>(screen, options.colour && options.format == LogFormat::text));
    sinks.back()->set_level(to_spdlog(options.level));
    LogLevel lowest = options.level;
    if (!options.trace_file.empty()) {
        auto file = create_private(options.trace_file);
        if (!file) return std::move(file).error();
        sinks.push_back(std::make_shared<FileSink>(*file));
        lowest = LogLevel::trace;
    }
    // Who looks there later had no chance to ask for -v.
    const LogLevel at_least = std::min(options.level, LogLevel::info);
    if (!options.log_file.empty()) {
        auto file = RotatingFile::open(options.log_file);
        if (!file) return std::move(file).error();
        sinks.push_back(std::make_shared<RotatingSink>(std::move(*file)));
        sinks.back()->set_level(to_spdlog(at_least));
        lowest = std::min(lowest, at_least);
    }
    if (options.system_log) {
        auto system = SystemLog::open(*options.system_log, options.system_socket);
        if (!system) return std::move(system).error();
        log->impl_->system = std::move(*system);
        log->impl_->system_level = at_least;
    }
    for (auto& sink : sinks) sink->set_formatter(formatter(options.format));
    log->impl_->logger = std::make_unique<spdlog::logger>("qkd-macsec", sinks.begin(), sinks.end());
    log->impl_->logger->set_level(to_spdlog(lowest));
    log->impl_->logger->flush_on(spdlog::level::off);
    return log;
}

void Log::log(LogLevel level, const Place& place, std::string_view message) {
    impl_->line(level, place, message);
}

void Log::event(const Place& place, std::string_view name, std::span<const Attr> attributes) {
    Json values = Json::object();
    std::string text(name);
    for (const auto& attribute : attributes) {
        Json value = std::visit([](const auto& v) { return Json(v); }, attribute.value);
        if (attribute.name == "run_id" && value.is_string()) {
            const std::unique_lock lock(impl_->mutex);
            impl_->run_id = value.get<std::string>();
        }
        const std::string shown =
            value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
        text += ' ' + std::string(attribute.name) + '=' + shown;
        values[std::string(attribute.name)] = std::move(value);
    }
    impl_->line(LogLevel::debug, place, text, {{"event", std::string(name)}, {"attributes", std::move(values)}});
}

void Log::step_begins(const Place& place) {
    impl_->line(LogLevel::trace, place, "begins");
}

void Log::step_ends(const Place& place, std::chrono::nanoseconds took, const Error* error) {
    if (error == nullptr) {
        impl_->line(LogLevel::debug, place, "done in " + milliseconds_of(took));
    } else {
        impl_->line(level_of(*error, LogLevel::warning), place, describe(*error) + ", after " + milliseconds_of(took));
    }
}

void Log::link_begins(const Link& link) {
    impl_->line(LogLevel::info, {link.name, {}, {}, {}}, "rotation begins");
}

void Log::link_ends(const LinkReport& report) {
    const Place place{report.name, {}, {}, {}};
    std::string text = to_string(report.result);
    if (!report.key_id.empty()) text += ", key_ID " + report.key_id;
    if (!report.ckn.empty()) text += ", CKN " + report.ckn;
    if (report.error) {
        impl_->line(level_of(*report.error, LogLevel::error), place, text + ": " + describe(*report.error));
        return;
    }
    const bool bad = report.result == LinkResult::failed || report.result == LinkResult::reverted;
    impl_->line(bad                                     ? LogLevel::error
                : report.result == LinkResult::degraded ? LogLevel::warning
                                                        : LogLevel::notice,
                place, text);
}

}  // namespace qkd::engine
