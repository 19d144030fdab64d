// SecretBytes on its own pages: locked, not dumped, wiped.
#include "qkd/sdk/secret.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace qkd {

void wipe(void* data, std::size_t size) noexcept {
    if (size != 0) ::explicit_bzero(data, size);
}

namespace {

std::size_t whole_pages(std::size_t size) {
    static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return (size + page - 1) / page * page;
}

std::uint8_t* acquire(std::size_t size) {
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    // Best effort: an unprivileged process may lock little; the pages are kept out of dumps in any case.
    (void)::mlock(memory, size);
    (void)::madvise(memory, size, MADV_DONTDUMP);
    return static_cast<std::uint8_t*>(memory);
}

void give_back(std::uint8_t* memory, std::size_t size) noexcept {
    if (memory == nullptr) return;
    wipe(memory, size);
    (void)::munmap(memory, size);
}

}  // namespace

SecretBytes::SecretBytes(std::span<const std::uint8_t> bytes) {
    append(bytes);
}

SecretBytes::SecretBytes(std::string_view text) {
    append(text);
}

SecretBytes SecretBytes::zeros(std::size_t size) {
    SecretBytes bytes;
    bytes.resize(size);
    return bytes;
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
        clear();
        data_ = std::exchange(other.data_, nullptr);
        size_ = std::exchange(other.size_, 0);
        capacity_ = std::exchange(other.capacity_, 0);
    }
    return *this;
}

SecretBytes::~SecretBytes() {
    clear();
}

void SecretBytes::clear() noexcept {
    give_back(data_, capacity_);
    data_ = nullptr;
    size_ = capacity_ = 0;
}

void SecretBytes::reserve(std::size_t capacity) {
    if (capacity <= capacity_) return;
    const std::size_t larger = whole_pages(std::max(capacity, capacity_ * 2));
    std::uint8_t* memory = acquire(larger);
    if (size_ != 0) std::memcpy(memory, data_, size_);
    give_back(data_, capacity_);
    data_ = memory;
    capacity_ = larger;
}

void SecretBytes::resize(std::size_t size) {
    reserve(size);
    if (size < size_) wipe(data_ + size, size_ - size);
    if (size > size_) std::memset(data_ + size_, 0, size - size_);
    size_ = size;
}

void SecretBytes::append(std::span<const std::uint8_t> bytes) {
    if (bytes.empty()) return;
    reserve(size_ + bytes.size());
    std::copy(bytes.begin(), bytes.end(), data_ + size_);
    size_ += bytes.size();
}

void SecretBytes::append(std::string_view text) {
    append(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

bool SecretBytes::same_as(const SecretBytes& other) const noexcept {
    if (size_ != other.size_) return false;
    unsigned difference = 0;
    for (std::size_t i = 0; i < size_; ++i) difference |= static_cast<unsigned>(data_[i] ^ other.data_[i]);
    return difference == 0;
}

}  // namespace qkd
