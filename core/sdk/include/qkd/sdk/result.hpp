// Errors as values: what every operation of the SDK returns.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace qkd {

/// What kind of failure it is. The engine decides by the code, people read `what` and `hint`.
enum class ErrorCode : std::uint8_t {
    config,           ///< the pipeline file or a file it names is wrong
    unreachable,      ///< no connection: refused, no route, name unknown
    auth,             ///< credentials, certificates, host keys or permissions were refused
    timeout,          ///< the deadline passed
    cancelled,        ///< the run was interrupted
    protocol,         ///< the other side answered something that the protocol does not allow
    busy,             ///< somebody else holds it now: a lock, a pending confirmed commit
    not_found,        ///< the thing asked for is not there (yet)
    exhausted,        ///< a supply is used up, such as the key pool of a KME
    rejected,         ///< the other side understood and refused
    unsupported,      ///< this plugin or device cannot do it
    conflict,         ///< what is there differs from what must be there
    unknown_outcome,  ///< the answer was lost: it may or may not have happened; read back
    internal          ///< a defect of this program or of a plugin
};

/// May the very same call be made again without harm? How often and when is the engine's business.
enum class Retry : std::uint8_t { never, safe };

/// One failure. `what` names the file, device, key_ID or URL; `hint` says what to do next. Neither ever holds a secret.
/// Made by name: Error::busy("device mx1 is locked by alice", "wait, or end her session").retryable()
struct Error {
    ErrorCode code = ErrorCode::internal;
    Retry retry = Retry::never;
    std::string what;
    std::string hint;
    std::chrono::milliseconds retry_after{0};  ///< the other side's own wish; 0 = none
    bool maybe_consumed = false;               ///< a lost answer may have used up a one-shot key

    /// Never to be retried, nothing consumed; the calls below say otherwise.
    static Error of(ErrorCode code, std::string what, std::string hint) {
        Error error;
        error.code = code;
        error.what = std::move(what);
        error.hint = std::move(hint);
        return error;
    }
    static Error config(std::string what, std::string hint) {
        return of(ErrorCode::config, std::move(what), std::move(hint));
    }
    static Error unreachable(std::string what, std::string hint) {
        return of(ErrorCode::unreachable, std::move(what), std::move(hint));
    }
    static Error auth(std::string what, std::string hint) {
        return of(ErrorCode::auth, std::move(what), std::move(hint));
    }
    static Error timeout(std::string what, std::string hint) {
        return of(ErrorCode::timeout, std::move(what), std::move(hint));
    }
    static Error cancelled(std::string what, std::string hint) {
        return of(ErrorCode::cancelled, std::move(what), std::move(hint));
    }
    static Error protocol(std::string what, std::string hint) {
        return of(ErrorCode::protocol, std::move(what), std::move(hint));
    }
    static Error busy(std::string what, std::string hint) {
        return of(ErrorCode::busy, std::move(what), std::move(hint));
    }
    static Error not_found(std::string what, std::string hint) {
        return of(ErrorCode::not_found, std::move(what), std::move(hint));
    }
    static Error exhausted(std::string what, std::string hint) {
        return of(ErrorCode::exhausted, std::move(what), std::move(hint));
    }
    static Error rejected(std::string what, std::string hint) {
        return of(ErrorCode::rejected, std::move(what), std::move(hint));
    }
    static Error unsupported(std::string what, std::string hint) {
        return of(ErrorCode::unsupported, std::move(what), std::move(hint));
    }
    static Error conflict(std::string what, std::string hint) {
        return of(ErrorCode::conflict, std::move(what), std::move(hint));
    }
    static Error unknown_outcome(std::string what, std::string hint) {
        return of(ErrorCode::unknown_outcome, std::move(what), std::move(hint));
    }
    static Error internal(std::string what, std::string hint) {
        return of(ErrorCode::internal, std::move(what), std::move(hint));
    }

    /// The very same call may be made again without harm.
    [[nodiscard]] Error retryable() && {
        retry = Retry::safe;
        return std::move(*this);
    }
    /// The same, and the other side says when.
    [[nodiscard]] Error retryable_after(std::chrono::milliseconds wait) && {
        retry = Retry::safe;
        retry_after = wait;
        return std::move(*this);
    }
    /// A one-shot key may be gone with it.
    [[nodiscard]] Error maybe_consuming() && {
        maybe_consumed = true;
        return std::move(*this);
    }
};

/// Lower-case word of a code, as written in reports and logs ("unknown_outcome").
const char* to_string(ErrorCode code) noexcept;

/// A value or an Error. Like std::expected, which C++20 does not have.
template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }

    /// Only after ok().
    T& value() & { return *std::get_if<0>(&state_); }
    const T& value() const& { return *std::get_if<0>(&state_); }
    T&& value() && { return std::move(*std::get_if<0>(&state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    /// Only after !ok().
    Error& error() & { return *std::get_if<1>(&state_); }
    const Error& error() const& { return *std::get_if<1>(&state_); }
    Error&& error() && { return std::move(*std::get_if<1>(&state_)); }

  private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)), failed_(true) {}

    [[nodiscard]] bool ok() const noexcept { return !failed_; }
    explicit operator bool() const noexcept { return ok(); }
    Error& error() & { return error_; }
    const Error& error() const& { return error_; }
    Error&& error() && { return std::move(error_); }

  private:
    Error error_;
    bool failed_ = false;
};

}  // namespace qkd

/// Takes the value out of a Result, or returns its error from the function around:
///   QKD_TRY(auto key, source.fetch(context, request));
///   QKD_TRY(session.close(context));  // no value, or one that nobody wants
/// Two statements in the first form: not for an `if` without braces. A comma outside parentheses wants parentheses.
#define QKD_TRY(...) QKD_TRY_PICK_(__VA_ARGS__, QKD_TRY_VALUE_, QKD_TRY_VOID_, )(__VA_ARGS__)

#define QKD_TRY_PICK_(first_, second_, form_, ...) form_
#define QKD_TRY_VOID_(result_)                                                                \
    do {                                                                                      \
        if (auto&& qkd_tried_ = (result_); !qkd_tried_) return std::move(qkd_tried_).error(); \
    } while (false)
#define QKD_TRY_VALUE_(variable_, result_) QKD_TRY_NAMED_(QKD_TRY_JOIN_(qkd_tried_, __COUNTER__), variable_, result_)
#define QKD_TRY_NAMED_(name_, variable_, result_) \
    auto&& name_ = (result_);                     \
    if (!name_) return std::move(name_).error();  \
    variable_ = *std::move(name_)
#define QKD_TRY_JOIN_(x_, y_) QKD_TRY_JOIN_NOW_(x_, y_)
#define QKD_TRY_JOIN_NOW_(x_, y_) x_##y_
