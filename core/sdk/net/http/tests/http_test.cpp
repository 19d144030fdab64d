// What the HTTPS helper promises: who is trusted, how long a call may take, and what is known when it fails.
#include <curl/curl.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>

#include "pki.hpp"
#include "qkd/sdk/net/http.hpp"
#include "support/temp_dir.hpp"
#include "support/test_context.hpp"
#include "tls_server.hpp"

using namespace std::chrono_literals;
using qkd::ErrorCode;
using qkd::Retry;
using qkd::SecretBytes;
using qkd::net::HttpRequest;
using qkd::net::HttpsClient;
using qkd::net::HttpsSettings;
using qkd::support::answer;
using qkd::support::Identity;
using qkd::support::Pki;
using qkd::support::Reply;
using qkd::support::SeenRequest;
using qkd::support::TempDir;
using qkd::support::TestContext;
using qkd::support::TlsServer;

namespace {

std::mutex resolver_mutex;
std::condition_variable resolver_released;
bool resolver_free = true;
bool resolver_asked = false;

}  // namespace

// libcurl finds this one first: the name "slow.test" is answered only when the test says so.
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* node, const char* service,
                                                                  const addrinfo* hints, addrinfo** result) {
    if (node != nullptr && std::strcmp(node, "slow.test") == 0) {
        std::unique_lock lock(resolver_mutex);
        resolver_asked = true;
        resolver_released.notify_all();
        resolver_released.wait_for(lock, 20s, [] { return resolver_free; });
        return EAI_NONAME;
    }
    using Resolver = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto real = reinterpret_cast<Resolver>(dlsym(RTLD_NEXT, "getaddrinfo"));
    return real(node, service, hints, result);
}

namespace {

class Http : public testing::Test {
  protected:
    static void SetUpTestSuite() { curl_global_init(CURL_GLOBAL_DEFAULT); }

    TlsServer::Options mutual() { return {.identity = server_, .client_ca = pki_.ca()}; }
    HttpsSettings settings(const TlsServer& server) {
        HttpsSettings s;
        s.base_url = server.url();
        s.ca = pki_.ca();
        s.cert = client_.cert;
        s.key = key_of(client_);
        return s;
    }
    static SecretBytes key_of(const Identity& identity) { return SecretBytes(qkd::support::read_file(identity.key)); }
    static TlsServer::Handler always(const Reply& reply) {
        return [reply](const SeenRequest&) { return reply; };
    }

    TempDir dir_;
    Pki pki_{dir_.path()};
    Identity server_ = pki_.issue("server", "IP:127.0.0.1");
    Identity client_ = pki_.issue("client");
};

TEST_F(Http, GetsAndPostsOverOneKeptConnection) {
    TlsServer server(mutual(), [](const SeenRequest& r) { return answer(200, r.method + r.target + r.body); });
    HttpsClient client(settings(server));
    TestContext context;
    auto first = client.send(context, {"/a?b=c%2F", "", ""});
    ASSERT_TRUE(first) << first.error().what;
    EXPECT_EQ(first->status, 200);
    EXPECT_EQ(first->content_type, "application/json");
    EXPECT_EQ(first->body.reveal_text(), "GET/a?b=c%2F");
    EXPECT_FALSE(first->reused);
    auto second = client.send(context, {"/d", "{\"x\":1}", "application/json"});
    ASSERT_TRUE(second) << second.error().what;
    EXPECT_EQ(second->body.reveal_text(), "POST/d{\"x\":1}");
    EXPECT_TRUE(second->reused);
    auto third = client.send(context, {"/e", "", ""});
    ASSERT_TRUE(third) << third.error().what;
    EXPECT_EQ(third->body.reveal_text(), "GET/e");
    EXPECT_EQ(server.connections(), 1);
    EXPECT_NE(server.requests()[1].head.find("Content-Type: application/json\r\n"), std::string::npos);
}

TEST_F(Http, SendsOtherMethodsAndHeadersWhenAskedTo) {
    TlsServer server(mutual(), [](const SeenRequest& r) { return answer(200, r.method + r.target + r.body); });
    HttpsClient client(settings(server));
    TestContext context;
    qkd::net::HttpHeader headers[2];
    headers[0] = {"Authorization", SecretBytes(std::string_view("Bearer abc"))};
    headers[1] = {"accept", SecretBytes(std::string_view("*/*"))};
    HttpRequest request{"/k", "", ""};
    request.method = "DELETE";
    request.headers = headers;
    auto deleted = client.send(context, request);
    ASSERT_TRUE(deleted) << deleted.error().what;
    EXPECT_EQ(deleted->body.reveal_text(), "DELETE/k");
    request = {"/p", "{}", "application/json", "PUT"};
    EXPECT_EQ(client.send(context, request)->body.reveal_text(), "PUT/p{}");
    request = {"/e", "", "", "POST"};
    EXPECT_EQ(client.send(context, request)->body.reveal_text(), "POST/e");
    EXPECT_EQ(client.send(context, {"/g", "", ""})->body.reveal_text(), "GET/g")
        << "nothing stays for the next request";
    const auto seen = server.requests();
    EXPECT_NE(seen[0].head.find("Authorization: Bearer abc\r\n"), std::string::npos);
    EXPECT_NE(seen[0].head.find("accept: */*\r\n"), std::string::npos);
    EXPECT_EQ(seen[0].head.find("application/json"), std::string::npos);
    EXPECT_EQ(seen[2].head.find("Content-Type"), std::string::npos) << "no body, no type";
    EXPECT_EQ(seen[3].head.find("Authorization"), std::string::npos);

    for (const char* value : {"a\r\nX: y", "a\n", "\xff"}) {
        headers[0].value = SecretBytes(std::string_view(value));
        request.headers = headers;
        const auto refused = client.send(context, request);
        ASSERT_FALSE(refused) << value;
        EXPECT_EQ(refused.error().code, ErrorCode::config);
    }
    EXPECT_EQ(server.requests().size(), 4U);
}

TEST_F(Http, GivesUpConnectingInTimeForAnotherServer) {
    // Nobody accepts: the kernel completes TCP, and TLS never begins.
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(listener, 4), 0);
    ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    HttpsSettings s;
    s.base_url = "https://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    s.ca = pki_.ca();
    HttpsClient client(std::move(s));
    TestContext context(20s);
    HttpRequest request{"/", "", ""};
    request.connect_within = 200ms;
    const auto late = client.send(context, request);
    ::close(listener);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, ErrorCode::unreachable) << late.error().what;
    EXPECT_FALSE(late.error().maybe_consumed) << "nothing was sent";
    EXPECT_GT(context.remaining(), 10s);
}

TEST_F(Http, AnyStatusIsAnAnswerAndRedirectsAreNotFollowed) {
    TlsServer server(mutual(), always(answer(302, "", "Location: /elsewhere\r\nRetry-After: 7\r\n")));
    HttpsClient client(settings(server));
    TestContext context;
    auto response = client.send(context, {"/", "", ""});
    ASSERT_TRUE(response) << response.error().what;
    EXPECT_EQ(response->status, 302);
    EXPECT_EQ(response->retry_after, 7s);
    EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Http, TakesNoProxyFromTheEnvironment) {
    TlsServer server(mutual(), always(answer(200, "{}")));
    ::setenv("https_proxy", "http://127.0.0.1:1", 1);  // NOLINT(concurrency-mt-unsafe): libcurl reads it in this thread
    HttpsClient client(settings(server));
    TestContext context;
    auto response = client.send(context, {"/", "", ""});
    ::unsetenv("https_proxy");  // NOLINT(concurrency-mt-unsafe)
    EXPECT_TRUE(response) << response.error().what;
}

TEST_F(Http, ConnectsAgainAfterTheServerClosed) {
    Reply reply = answer(200, "{}", "Connection: close\r\n");
    reply.close = true;
    TlsServer server(mutual(), always(reply));
    HttpsClient client(settings(server));
    TestContext context;
    for (int i = 0; i < 3; ++i) {
        auto response = client.send(context, {"/", "", ""});
        ASSERT_TRUE(response) << response.error().what;
    }
    EXPECT_EQ(server.connections(), 3);
}

TEST_F(Http, NeverRepeatsARequestWhoseKeptConnectionBroke) {
    int count = 0;
    TlsServer server(mutual(), [&count](const SeenRequest&) {
        return ++count == 1 ? answer(200, "{}") : Reply{.bytes = "", .close = true};
    });
    HttpsClient client(settings(server));
    TestContext context;
    ASSERT_TRUE(client.send(context, {"/", "", ""}));
    auto lost = client.send(context, {"/", "", ""});
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::unreachable) << lost.error().what;
    EXPECT_TRUE(lost.error().maybe_consumed);
    EXPECT_EQ(server.requests().size(), 2U);
}

TEST_F(Http, TrustsNobodyButTheConfiguredAuthority) {
    const Pki other(dir_.path(), "other");
    TlsServer server(mutual(), always(answer(200, "{}")));
    auto s = settings(server);
    s.ca = other.ca();
    HttpsClient client(std::move(s));
    TestContext context;
    auto response = client.send(context, {"/", "", ""});
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, ErrorCode::auth);
    EXPECT_FALSE(response.error().maybe_consumed);
    EXPECT_TRUE(server.requests().empty());
}

TEST_F(Http, ChecksTheHostName) {
    TlsServer server({.identity = pki_.issue("elsewhere", "DNS:elsewhere.test"), .client_ca = pki_.ca()},
                     always(answer(200, "{}")));
    HttpsClient client(settings(server));
    TestContext context;
    auto response = client.send(context, {"/", "", ""});
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, ErrorCode::auth);
    EXPECT_TRUE(server.requests().empty());
}

TEST_F(Http, AnExpectedNameTakesThePlaceOfTheHostName) {
    // A device whose certificate bears a name of its own, with a subject alternative name and without.
    for (const auto& identity : {pki_.issue("KME ALICE 01"), pki_.issue("kme-san", "DNS:kme.alice")}) {
        TlsServer server({.identity = identity, .client_ca = pki_.ca()}, always(answer(200, "{}")));
        for (const auto& [name, good] :
             {std::pair{"KME ALICE 01", identity.cert.filename() == "KME ALICE 01.crt"},
              std::pair{"kme.alice", identity.cert.filename() == "kme-san.crt"}, std::pair{"kme.bob", false}}) {
            auto s = settings(server);
            s.expected_name = name;
            HttpsClient client(std::move(s));
            TestContext context;
            auto response = client.send(context, {"/", "", ""});
            EXPECT_EQ(response.ok(), good) << name << " " << identity.cert;
            if (!response) {
                EXPECT_EQ(response.error().code, ErrorCode::auth) << response.error().what;
            }
        }
    }
}

TEST_F(Http, ARefusedClientCertificateIsAuthInBothVersionsOfTls) {
    const Pki other(dir_.path(), "other");
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        auto options = mutual();
        options.client_ca = other.ca();
        options.min_version = options.max_version = version;
        TlsServer server(options, always(answer(200, "{}")));
        for (const bool with_certificate : {true, false}) {
            auto s = settings(server);
            if (!with_certificate) s.cert.clear();
            HttpsClient client(std::move(s));
            TestContext context;
            auto response = client.send(context, {"/", "", ""});
            ASSERT_FALSE(response);
            EXPECT_EQ(response.error().code, ErrorCode::auth) << response.error().what;
            EXPECT_FALSE(response.error().maybe_consumed);
        }
    }
}

TEST_F(Http, SpeaksTls12AndNewerOnlyAndCanInsistOn13) {
    auto options = mutual();
    options.max_version = TLS1_2_VERSION;
    options.ciphers = "ECDHE-ECDSA-AES256-SHA";  // what one Python simulator offers: CBC and SHA-1
    TlsServer old(options, always(answer(200, "{}")));
    TestContext context;
    EXPECT_TRUE(HttpsClient(settings(old)).send(context, {"/", "", ""}));
    auto strict = settings(old);
    strict.tls13_only = true;
    auto refused = HttpsClient(std::move(strict)).send(context, {"/", "", ""});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::auth) << refused.error().what;

    options.ciphers = "DEFAULT@SECLEVEL=0";
    options.min_version = options.max_version = TLS1_1_VERSION;
    TlsServer ancient(options, always(answer(200, "{}")));
    auto too_old = HttpsClient(settings(ancient)).send(context, {"/", "", ""});
    ASSERT_FALSE(too_old);
    EXPECT_EQ(too_old.error().code, ErrorCode::auth) << too_old.error().what;
}

TEST_F(Http, BrokenFilesHereAreTheConfigurationsFault) {
    TlsServer server(mutual(), always(answer(200, "{}")));
    TestContext context;
    const auto code = [&](auto&& spoil) {
        auto s = settings(server);
        spoil(s);
        auto response = HttpsClient(std::move(s)).send(context, {"/", "", ""});
        EXPECT_FALSE(response);
        return response ? ErrorCode::internal : response.error().code;
    };
    qkd::support::write_file(dir_.path() / "rubbish", "no PEM");
    const Identity sealed = pki_.issue("sealed", "", 1, "passphrase");
    EXPECT_EQ(code([&](auto& s) { s.ca = dir_.path() / "absent"; }), ErrorCode::config);
    EXPECT_EQ(code([&](auto& s) { s.cert = dir_.path() / "absent"; }), ErrorCode::config);
    EXPECT_EQ(code([&](auto& s) { s.ca = dir_.path() / "rubbish"; }), ErrorCode::config);
    EXPECT_EQ(code([&](auto& s) { s.cert = dir_.path() / "rubbish"; }), ErrorCode::config);
    EXPECT_EQ(code([&](auto& s) { s.key = SecretBytes(std::string_view("no PEM")); }), ErrorCode::config);
    EXPECT_EQ(code([&](auto& s) { s.key = key_of(server_); }), ErrorCode::config);
    EXPECT_EQ(code([&](auto& s) { s.cert = sealed.cert, s.key = key_of(sealed); }), ErrorCode::config);
    EXPECT_EQ(code([&](auto& s) { s.base_url = "http://127.0.0.1:1"; }), ErrorCode::config);
    EXPECT_TRUE(server.requests().empty());
}

TEST_F(Http, SaysWhetherALostRequestMayHaveArrived) {
    struct Row {
        const char* name;
        Reply reply;
        ErrorCode code;
    };
    const Row rows[] = {
        {"closed without an answer", {.bytes = "", .close = true}, ErrorCode::unreachable},
        {"half a body",
         {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\"", .close = true},
         ErrorCode::unreachable},
        {"no HTTP", {.bytes = "SSH-2.0-OpenSSH_9.2\r\n", .close = true}, ErrorCode::protocol},
        {"too large", answer(200, std::string(2000, 'x')), ErrorCode::protocol},
        {"too large without length",
         {.bytes = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(2000, 'x'), .close = true},
         ErrorCode::protocol},
    };
    for (const Row& row : rows) {
        TlsServer server(mutual(), always(row.reply));
        auto s = settings(server);
        s.max_body = 1000;
        TestContext context;
        auto response = HttpsClient(std::move(s)).send(context, {"/", "", ""});
        ASSERT_FALSE(response) << row.name;
        EXPECT_EQ(response.error().code, row.code) << row.name << ": " << response.error().what;
        EXPECT_TRUE(response.error().maybe_consumed) << row.name;
    }
}

TEST_F(Http, NothingArrivesWhereNobodyListensOrNobodySpeaksTls) {
    auto server = std::make_unique<TlsServer>(TlsServer::Options{.identity = server_, .plain = true},
                                              always({.bytes = "HTTP/1.1 400 Bad Request\r\n\r\n"}));
    TestContext context;
    auto plain = HttpsClient(settings(*server)).send(context, {"/", "", ""});
    ASSERT_FALSE(plain);
    EXPECT_EQ(plain.error().code, ErrorCode::protocol) << plain.error().what;
    EXPECT_FALSE(plain.error().maybe_consumed);

    auto s = settings(*server);
    server.reset();
    auto refused = HttpsClient(std::move(s)).send(context, {"/", "", ""});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::unreachable) << refused.error().what;
    EXPECT_EQ(refused.error().retry, Retry::safe);
    EXPECT_FALSE(refused.error().maybe_consumed);
}

/// How long `send` takes when `context` ends or is stopped meanwhile.
std::chrono::milliseconds time_of(HttpsClient& client, TestContext& context, qkd::Result<qkd::net::HttpResponse>& out) {
    const auto start = std::chrono::steady_clock::now();
    out = client.send(context, {"/", "", ""});
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
}

TEST_F(Http, KeepsTheDeadlineWithAServerThatAcceptsAndSaysNothing) {
    TlsServer server(mutual(), always({.bytes = "", .hang = true}));
    HttpsClient client(settings(server));
    TestContext context(2s);  // enough for the handshake and the request
    qkd::Result<qkd::net::HttpResponse> response{qkd::Error{}};
    EXPECT_LT(time_of(client, context, response), qkd::support::promptly);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, ErrorCode::timeout);
    EXPECT_TRUE(response.error().maybe_consumed);

    TestContext later;  // and the client is as good as new
    TlsServer other(mutual(), always(answer(200, "{}")));
    EXPECT_TRUE(HttpsClient(settings(other)).send(later, {"/", "", ""}));
}

TEST_F(Http, CanBeInterruptedWhileItWaitsForTheAnswer) {
    TestContext context;
    std::chrono::steady_clock::time_point stopped;
    TlsServer server(mutual(), [&](const SeenRequest&) {
        stopped = std::chrono::steady_clock::now();
        context.request_stop();
        return Reply{.bytes = "", .hang = true};
    });
    HttpsClient client(settings(server));
    auto response = client.send(context, {"/", "", ""});
    EXPECT_LT(std::chrono::steady_clock::now() - stopped, qkd::support::promptly);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, ErrorCode::cancelled);
    EXPECT_TRUE(response.error().maybe_consumed);
}

TEST_F(Http, CanBeInterruptedWhileItAsksForTheAddress) {
    TlsServer server(mutual(), always(answer(200, "{}")));
    auto s = settings(server);
    s.base_url = server.url("slow.test");
    resolver_free = false;
    {
        HttpsClient client(std::move(s));
        TestContext context;
        std::chrono::steady_clock::time_point stopped;
        std::thread stopper([&] {
            std::unique_lock lock(resolver_mutex);
            resolver_released.wait_for(lock, 10s, [] { return resolver_asked; });
            stopped = std::chrono::steady_clock::now();
            context.request_stop();
        });
        auto response = client.send(context, {"/", "", ""});
        const auto returned = std::chrono::steady_clock::now();
        stopper.join();
        EXPECT_LT(returned - stopped, qkd::support::promptly);
        ASSERT_FALSE(response);
        EXPECT_EQ(response.error().code, ErrorCode::cancelled);
        EXPECT_FALSE(response.error().maybe_consumed);
    }
    const std::lock_guard lock(resolver_mutex);
    resolver_free = true;
    resolver_released.notify_all();
}

TEST(PercentEncode, LeavesNothingThatMeansSomethingInAUrl) {
    EXPECT_EQ(qkd::net::percent_encode("mx304-11.lab_~"), "mx304-11.lab_~");
    EXPECT_EQ(qkd::net::percent_encode("CN=sae 1/\xc3\xa4?#&%"), "CN%3Dsae%201%2F%C3%A4%3F%23%26%25");
}

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
