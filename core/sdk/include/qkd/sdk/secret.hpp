// Key material and other secrets: bytes that are locked in memory, wiped when they go, and cannot be printed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace qkd {

/// Overwrites memory in a way that the compiler cannot leave out.
void wipe(void* data, std::size_t size) noexcept;

/// Bytes that nobody may see. Move-only. The memory is mlocked (as far as RLIMIT_MEMLOCK allows), left out of core
/// dumps and wiped before it is given back. There is no operator<<, no ==, no conversion: reveal() is the one exit, so
/// that every place where a secret is looked at can be found by searching for that word. Not synchronised: one thread
/// at a time.
class SecretBytes {
  public:
    SecretBytes() noexcept = default;
    /// Copies; the caller wipes the source.
    explicit SecretBytes(std::span<const std::uint8_t> bytes);
    explicit SecretBytes(std::string_view text);
    /// `size` zero bytes, to be written through writable().
    static SecretBytes zeros(std::size_t size);

    SecretBytes(SecretBytes&& other) noexcept;
    SecretBytes& operator=(SecretBytes&& other) noexcept;
    SecretBytes(const SecretBytes&) = delete;
    SecretBytes& operator=(const SecretBytes&) = delete;
    ~SecretBytes();

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    /// The bytes themselves. Valid until this object is changed or destroyed. Never store, log or format the result.
    [[nodiscard]] std::span<const std::uint8_t> reveal() const noexcept { return {data_, size_}; }
    [[nodiscard]] std::string_view reveal_text() const noexcept {
        return {reinterpret_cast<const char*>(data_), size_};
    }
    /// For filling in place.
    [[nodiscard]] std::span<std::uint8_t> writable() noexcept { return {data_, size_}; }

    /// Grows (zero-filled) or shrinks; what falls away is wiped. Old spans become invalid.
    void resize(std::size_t size);
    void append(std::span<const std::uint8_t> bytes);
    void append(std::string_view text);
    [[nodiscard]] SecretBytes clone() const { return SecretBytes(reveal()); }

    /// Constant-time comparison.
    [[nodiscard]] bool same_as(const SecretBytes& other) const noexcept;

    /// Wipes and releases.
    void clear() noexcept;

  private:
    void reserve(std::size_t capacity);

    std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

/// A secret and the public name under which others know it: a CAK and its CKN, say.
struct NamedSecret {
    std::string name;
    SecretBytes secret;

    [[nodiscard]] NamedSecret clone() const { return {name, secret.clone()}; }
};

/// Allocator that wipes what it gives back; makes library containers fit for secrets on their way (JSON values, say).
template <class T>
struct WipingAllocator {
    using value_type = T;
    WipingAllocator() noexcept = default;
    template <class U>
    WipingAllocator(const WipingAllocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor): allocators rebind
    T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T))); }
    void deallocate(T* p, std::size_t n) noexcept {
        wipe(p, n * sizeof(T));
        ::operator delete(p);
    }
    bool operator==(const WipingAllocator&) const noexcept { return true; }
};

/// Text on its way between a socket and a SecretBytes. Short strings (< 16 characters) sit in the object and are not
/// wiped: keys never are that short.
using WipedString = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;

}  // namespace qkd
