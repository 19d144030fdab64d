// Errors are made by name and handed on by QKD_TRY; both must keep every part of an error.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "qkd/sdk/result.hpp"

namespace qkd {
namespace {

using namespace std::chrono_literals;

TEST(ErrorFactories, SayTheCodeAndNothingMore) {
    using Factory = Error (*)(std::string, std::string);
    const std::vector<std::pair<ErrorCode, Factory>> all{{ErrorCode::config, Error::config},
                                                         {ErrorCode::unreachable, Error::unreachable},
                                                         {ErrorCode::auth, Error::auth},
                                                         {ErrorCode::timeout, Error::timeout},
                                                         {ErrorCode::cancelled, Error::cancelled},
                                                         {ErrorCode::protocol, Error::protocol},
                                                         {ErrorCode::busy, Error::busy},
                                                         {ErrorCode::not_found, Error::not_found},
                                                         {ErrorCode::exhausted, Error::exhausted},
                                                         {ErrorCode::rejected, Error::rejected},
                                                         {ErrorCode::unsupported, Error::unsupported},
                                                         {ErrorCode::conflict, Error::conflict},
                                                         {ErrorCode::unknown_outcome, Error::unknown_outcome},
                                                         {ErrorCode::internal, Error::internal}};
    for (const auto& [code, make] : all) {
        const Error error = make("what", "hint");
        EXPECT_EQ(error.code, code);
        EXPECT_EQ(error.retry, Retry::never);
        EXPECT_EQ(error.what, "what");
        EXPECT_EQ(error.hint, "hint");
        EXPECT_EQ(error.retry_after, 0ms);
        EXPECT_FALSE(error.maybe_consumed);
    }
}

TEST(ErrorFactories, TheRestIsSaidInWords) {
    EXPECT_EQ(Error::busy("b", "").retryable().retry, Retry::safe);
    const Error later = Error::exhausted("e", "").retryable_after(3s);
    EXPECT_EQ(later.retry, Retry::safe);
    EXPECT_EQ(later.retry_after, 3s);
    const Error gone = Error::timeout("t", "h").maybe_consuming();
    EXPECT_TRUE(gone.maybe_consumed);
    EXPECT_EQ(gone.retry, Retry::never);
    EXPECT_EQ(gone.hint, "h");
}

int calls = 0;
Result<std::unique_ptr<int>> number(int value) {
    ++calls;
    if (value < 0) return Error::conflict("negative", "h").maybe_consuming();
    return std::make_unique<int>(value);
}
Result<void> positive(int value) {
    ++calls;
    if (value <= 0) return Error::busy("not positive", "h").retryable_after(1s);
    return {};
}
Result<int> sum(int x, int y) {
    QKD_TRY(positive(x));
    QKD_TRY(const auto first, number(x));
    QKD_TRY(auto second, number(y));
    QKD_TRY(number(0));  // nobody wants the value
    std::unique_ptr<int> third;
    QKD_TRY(third, number(1000));
    // Within its own argument, on one line.
    QKD_TRY(const int fourth, [&]() -> Result<int> {
        QKD_TRY(auto z, number(10000));
        return *z;
    }());
    return *first + *second + *third + fourth;
}

TEST(Try, TakesTheValueOut) {
    EXPECT_EQ(*sum(1, 20), 11021);
}

TEST(Try, ReturnsTheErrorWholeAndAtOnce) {
    calls = 0;
    auto failed = sum(0, 5);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::busy);
    EXPECT_EQ(failed.error().what, "not positive");
    EXPECT_EQ(failed.error().retry_after, 1s);
    EXPECT_EQ(calls, 1);
    calls = 0;
    failed = sum(1, -1);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::conflict);
    EXPECT_TRUE(failed.error().maybe_consumed);
    EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace qkd
