// main() of the tests of KME clients: libcurl must be initialised once, as the engine does it.
#include <curl/curl.h>
#include <gtest/gtest.h>

int main(int argc, char** argv) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
