// An exception becomes an error, and the error says whose defect it is: nobody may be sent to a plugin's vendor for ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "engine/base/guard.hpp"

namespace qkd::engine {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Result<int> throws() {
    throw std::runtime_error("the password is hunter2");
}
Result<int> throws_a_number() {
    throw 42;
}

TEST(Guard, OurOwnDefectIsNotSentToAVendor) {
    for (const auto& call : {throws, throws_a_number}) {
        const auto result = guard_engine(call);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, ErrorCode::internal);
        EXPECT_THAT(result.error().what, AllOf(HasSubstr("qkd-macsec"), Not(HasSubstr("plugin"))));
        EXPECT_THAT(result.error().hint, AllOf(HasSubstr("defect of qkd-macsec"), Not(HasSubstr("vendor"))));
        EXPECT_THAT(result.error().what + result.error().hint, Not(HasSubstr("hunter2")));
    }
}

TEST(Guard, ADefectOfAPluginNamesItAndItsVendor) {
    for (const auto& call : {throws, throws_a_number}) {
        const auto result = guard_plugin("kme-acme", call);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, ErrorCode::internal);
        EXPECT_THAT(result.error().what, HasSubstr("plugin kme-acme threw"));
        EXPECT_THAT(result.error().hint, HasSubstr("vendor"));
        EXPECT_THAT(result.error().what + result.error().hint, Not(HasSubstr("hunter2")));
    }
}

TEST(Guard, AResultPassesThroughAsItIs) {
    EXPECT_EQ(*guard_engine([]() -> Result<int> { return 7; }), 7);
    EXPECT_EQ(guard_plugin("p", []() -> Result<int> { return Error::busy("b", ""); }).error().code, ErrorCode::busy);
}

}  // namespace
}  // namespace qkd::engine
