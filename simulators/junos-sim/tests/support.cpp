// What the tests share: a lab whose clock moves only when told, and a NETCONF client over pipes.
#include "support.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "xml_out.hpp"

extern char** environ;

namespace qkd::junossim::test {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {
constexpr Millis epoch = 1'795'000'000'000;  // 2026-11-18 11:06:40 UTC
constexpr int patience_ms = 20'000;
}  // namespace

TempFolder::TempFolder() {
    std::string pattern = (fs::temp_directory_path() / "junos-sim-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw SimError("mkdtemp failed");
    path_ = pattern;
}

TempFolder::~TempFolder() {
    std::error_code none;
    fs::remove_all(path_, none);
}

TestLab::TestLab(const std::vector<std::string>& devices, const std::vector<std::vector<std::string>>& wires)
    : devices_(devices), wires_(wires) {
    for (const auto& name : devices_) {
        fs::create_directories(device(name));
        write_file(device(name) / "device.json", json{{"name", name}, {"lab", "../../lab.json"}}.dump());
    }
    write();
}

void TestLab::write() const {
    json j = {{"speed", 0.0},
              {"epoch_wall_ms", 0},
              {"epoch_lab_ms", epoch},
              {"advanced_ms", advanced_},
              {"skip_waits", skip_waits_}};
    j["wires"] = wires_;
    for (const auto& name : devices_) j["devices"][name] = "devices/" + name;
    write_file(root() / "lab.json", j.dump());
}

void TestLab::configure(const std::string& name, const std::string& key, const std::string& value) const {
    auto j = json::parse(read_file(device(name) / "device.json").value());
    j[key] = json::parse(value);
    write_file(device(name) / "device.json", j.dump());
}

void TestLab::advance(Millis ms) {
    advanced_ += ms;
    write();
}

void TestLab::skip_waits() {
    skip_waits_ = true;
    write();
}

Millis TestLab::now() const {
    return epoch + advanced_;
}

pugi::xml_document TestLab::show(const std::string& name) const {
    const auto [text, code] = run({JUNOS_SIM, "--state", device(name).string(), "--show"});
    EXPECT_EQ(code, 0);
    pugi::xml_document doc;
    EXPECT_TRUE(doc.load_string(text.c_str())) << text;
    return doc;
}

std::string TestLab::mka(const std::string& name, const std::string& interface) const {
    const auto doc = show(name);
    for (const auto& i : doc.child("device").child("mka")) {
        if (text_of(i.child("name")) != interface) continue;
        return trim(text_of(i.child("state")) + " " + text_of(i.child("ckn")));
    }
    return "absent";
}

Process::Process(const std::vector<std::string>& argv, const std::map<std::string, std::string>& environment) {
    std::array<int, 2> to{};
    std::array<int, 2> from{};
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) throw SimError("pipe failed");
    std::vector<std::string> env;
    for (char** e = environ; *e != nullptr; ++e) {
        const std::string entry = *e;
        if (environment.find(entry.substr(0, entry.find('='))) == environment.end()) env.push_back(entry);
    }
    for (const auto& [name, value] : environment) env.push_back(name + "=" + value);
    std::vector<char*> envp;
    for (auto& e : env) envp.push_back(e.data());
    envp.push_back(nullptr);
    std::vector<std::string> copy = argv;
    std::vector<char*> args;
    for (auto& a : copy) args.push_back(a.data());
    args.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
        ::dup2(to[0], STDIN_FILENO);
        ::dup2(from[1], STDOUT_FILENO);
        ::execvpe(args[0], args.data(), envp.data());
        ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    in_ = to[1];
    out_ = from[0];
    ::signal(SIGPIPE, SIG_IGN);
}

Process::~Process() {
    close_input();
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        wait();
    }
    ::close(out_);
}

void Process::write(std::string_view bytes) const {
    while (!bytes.empty()) {
        const ssize_t n = ::write(in_, bytes.data(), bytes.size());
        if (n < 0) return;  // the reader has gone; the test sees that in what it reads
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

void Process::close_input() {
    if (in_ >= 0) ::close(in_);
    in_ = -1;
}

std::string Process::read() const {
    pollfd wait{out_, POLLIN, 0};
    if (::poll(&wait, 1, patience_ms) <= 0) {
        ADD_FAILURE() << "no output within " << patience_ms << " ms";
        return {};
    }
    std::array<char, 65536> bytes{};
    const ssize_t n = ::read(out_, bytes.data(), bytes.size());
    return n <= 0 ? std::string() : std::string(bytes.data(), static_cast<std::size_t>(n));
}

std::string Process::read_all() const {
    std::string all;
    for (std::string part = read(); !part.empty(); part = read()) all += part;
    return all;
}

int Process::wait() {
    if (pid_ <= 0) return -1;
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::pair<std::string, int> run(const std::vector<std::string>& argv, const std::string& input,
                                const std::map<std::string, std::string>& environment) {
    Process process(argv, environment);
    process.write(input);
    process.close_input();
    std::string output = process.read_all();
    return {std::move(output), process.wait()};
}

namespace {
std::vector<std::string> command_line(const fs::path& state, const std::vector<std::string>& options) {
    std::vector<std::string> argv = {JUNOS_SIM, "--state", state.string()};
    argv.insert(argv.end(), options.begin(), options.end());
    return argv;
}
}  // namespace

Client::Client(const fs::path& state, const std::vector<std::string>& options, bool offer_chunks,
               const std::string& user)
    : process_(command_line(state, options), {{"LOGNAME", user}, {"USER", user}}) {
    hello_ = receive();
    const std::string base = "urn:ietf:params:netconf:base:1.";
    std::string offer = "<capability>" + base + "0</capability>";
    if (offer_chunks) offer += "<capability>" + base + "1</capability>";
    process_.write(framed("<nc:hello xmlns:nc=\"urn:ietf:params:xml:ns:netconf:base:1.0\"><nc:capabilities>" + offer +
                              "</nc:capabilities></nc:hello>",
                          false));
    if (offer_chunks && hello_.find(base + "1<") != std::string::npos) {
        chunked_ = true;
        deframer_.use_chunks();
    }
}

std::string Client::receive() {
    while (true) {
        if (auto message = deframer_.next()) return *message;
        if (deframer_.broken()) return {};
        const auto more = process_.read();
        if (more.empty()) return {};
        received_ += more;
        deframer_.feed(more);
    }
}

std::string Client::raw(const std::string& operation) {
    process_.write(framed("<nc:rpc xmlns:nc=\"urn:ietf:params:xml:ns:netconf:base:1.0\" message-id=\"m" +
                              std::to_string(++id_) + "\">" + operation + "</nc:rpc>",
                          chunked_));
    return receive();
}

pugi::xml_document Client::call(const std::string& operation) {
    pugi::xml_document doc;
    const std::string text = raw(operation);
    EXPECT_TRUE(doc.load_buffer(text.data(), text.size(), pugi::parse_default | pugi::parse_ws_pcdata_single)) << text;
    EXPECT_EQ(attribute(doc.document_element(), "message-id"), "m" + std::to_string(id_));
    return doc;
}

std::string message_of(const pugi::xml_document& reply) {
    const auto found = reply.find_node([](const pugi::xml_node& n) {
        return local_name(n) == "rpc-error" && text_of(child(n, "error-severity")) == "error";
    });
    return text_of(child(found, "error-message"));
}

bool Client::ok(const std::string& operation) {
    const auto reply = call(operation);
    const auto message = message_of(reply);
    return message.empty() && reply.document_element();
}

std::string Client::error(const std::string& operation) {
    return message_of(call(operation));
}

bool Client::load_set(const std::string& lines) {
    return ok("<load-configuration action=\"set\" format=\"text\"><configuration-set>" + lines +
              "</configuration-set></load-configuration>");
}

std::string Client::committed() {
    return trim(call("<get-configuration database=\"committed\" format=\"set\"/>")
                    .document_element()
                    .child("configuration-set")
                    .text()
                    .get());
}

std::string Client::compare(int rollback) {
    const auto reply =
        call("<get-configuration compare=\"rollback\" rollback=\"" + std::to_string(rollback) + "\" format=\"text\"/>");
    return reply.document_element().child("configuration-information").child("configuration-output").text().get();
}

std::string fixture(const std::string& name) {
    auto text = read_file(fs::path(FIXTURES) / name);
    EXPECT_TRUE(text) << name;
    return text.value_or("");
}

}  // namespace qkd::junossim::test
