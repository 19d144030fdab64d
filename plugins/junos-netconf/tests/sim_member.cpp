// What every conversation with a simulated device begins with.
#include "sim_member.hpp"

namespace qkd::junos::test {

SecretBytes key_of(std::uint8_t octet) {
    SecretBytes key = SecretBytes::zeros(32);
    for (auto& byte : key.writable()) byte = octet;
    return key;
}

MemberTarget member() {
    MemberTarget target;
    target.link = "a--b";
    target.device = "mx1";
    target.connectivity_association = "CA_basic";
    target.key_chain = "QKD_CA_basic";
    target.interfaces = {"et-0/0/9"};
    target.kme = {"kme.example", 443, "192.0.2.1"};
    return target;
}

SshdOptions lab_options() {
    SshdOptions options;
    options.lab = true;
    return options;
}

Junos::Junos(const SshdOptions& options, const support::Values& more)
    : device(options),
      connector(qkd_plugin, device.values()),
      initial(qkd_plugin, with(device.values(), more)),
      commit(qkd_plugin, device.values()) {}

support::Values Junos::with(support::Values values, const support::Values& more) {
    for (const auto& [key, value] : more) values[key] = value;
    return values;
}

void Junos::expect(const Result<void>& result) {
    EXPECT_TRUE(result) << result.error().what << " / " << result.error().hint;
}

std::unique_ptr<DeviceSession> Junos::open() {
    auto session = connector->open(context);
    if (!session) throw std::runtime_error(session.error().what + " / " + session.error().hint);
    return std::move(*session);
}

UtcSeconds Junos::now(DeviceSession& session) {
    auto reading = session.clock()->read(context);
    if (!reading) throw std::runtime_error(reading.error().what);
    return std::chrono::floor<std::chrono::seconds>(reading->now);
}

MemberState Junos::read(DeviceSession& session) {
    auto state = commit->read(context, session, target);
    if (!state) throw std::runtime_error(state.error().what);
    return std::move(*state);
}

MemberChange Junos::second_key(DeviceSession& session) {
    MemberChange change;
    change.add_to_chain = {{ckn_b, &key_b, now(session) + 600s}};
    return change;
}

void Junos::stage(DeviceSession& session, const MemberChange& change) {
    expect(commit->stage(context, session, target, change));
}

void Junos::commit_confirmed(DeviceSession& session, const MemberChange& change, const std::string& comment) {
    stage(session, change);
    expect(commit->commit_confirmed(context, session, std::chrono::minutes{5}, comment));
}

void Junos::settle(DeviceSession& session, const std::string& comment) {
    expect(commit->confirm(context, session, comment));
    expect(commit->release(context, session));
}

void Junos::bring_up(DeviceSession& session) {
    auto edits = initial->difference(context, session, target);
    ASSERT_TRUE(edits) << edits.error().what;
    MemberChange change;
    change.initial = edits->get();
    change.use_chain = true;
    change.add_to_chain = {{ckn_a, &key_a, now(session) - 3600s}};
    commit_confirmed(session, change, "rotation 1");
    settle(session, "rotation 1");
}

void Junos::when_free(const std::function<Result<void>()>& call) {
    auto done = call();
    while (!done && done.error().code == ErrorCode::busy && context.remaining().count() > 0) done = call();
    expect(done);
}

}  // namespace qkd::junos::test
