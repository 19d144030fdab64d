// Which laws the broken plugins of the kit's own tests are there for. A law without one may be unable to fail.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <set>
#include <string>
#include <vector>

namespace qkd::conformance {

inline std::set<std::string>& laws_with_a_fixture() {
    static std::set<std::string> all;
    return all;
}

/// The rows of a parameterized test whose member `law` is the law that must be broken; "" = none.
template <class Row>
auto rows(std::initializer_list<Row> all) {
    for (const Row& row : all) laws_with_a_fixture().insert(row.law);
    return ::testing::ValuesIn(std::vector<Row>(all));
}

/// Of tests that are not parameterized.
inline bool breaks_laws(std::initializer_list<const char*> laws) {
    laws_with_a_fixture().insert(laws.begin(), laws.end());
    return true;
}

}  // namespace qkd::conformance
