// The rotation protocol of one link, step by step.
#include "engine/rotation.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>

namespace qkd::engine {
namespace {

using Steady = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// IEEE 802.1X-2020 table 9-3: MKA Life Time, after which a participant without live peers is gone.
constexpr auto mka_life_time = 6s;
/// From the start-time (or the commit) to MKA live on the new key. Devices were seen to need 2 s to 6 s.
constexpr auto mka_grace = 60s;
/// A confirm later than this before the device's own timer ends is not risked.
constexpr auto confirm_margin = 10s;
/// First keys start this long before the moment they are written.
constexpr auto first_key_age = 24h;
constexpr std::size_t remembered_ckns = 16;
constexpr auto notice_life_time = 10min;
constexpr milliseconds shortest_poll{20};
constexpr milliseconds longest_poll{5000};

std::string seconds_text(milliseconds time) {
    const auto tenths = (time.count() + 50) / 100;
    return std::to_string(tenths / 10) + "." + std::to_string(std::abs(tenths % 10)) + " s";
}

class Rotation {
  public:
    Rotation(RunShared& shared, const Link& link)
        : shared_(shared),
          pipeline_(shared.pipeline),
          link_(link),
          crew_(shared.pipeline, link, shared.observer, shared.interruption, report_),
          progress_(link.members.size()) {
        report_.name = link.name;
        report_.rollover = pipeline_.commit.rollover;
        comment_ = "qkd-macsec " + link.name + " " + shared.run_id;
    }

    LinkReport run() {
        if (auto outcome = advance(); !outcome) fail(std::move(outcome).error());
        leases_.release();
        if (pipeline_.has(StageKind::commit)) crew_.report_mka();
        crew_.close();
        return std::move(report_);
    }

  private:
    /// What was done at one member and is to be undone if the link fails.
    struct Progress {
        bool notice = false;     ///< a key_ID notice stands at this end
        bool staged = false;     ///< lock held, candidate loaded
        bool committed = false;  ///< the confirmed commit was sent; it may be in effect
        bool confirmed = false;  ///< the confirm was sent; it may be in effect
    };

    Result<void> advance() {
        enter(Step::connect);
        if (auto r =
                crew_.assemble(shared_.host, {StageKind::connect, StageKind::certs, StageKind::initial_config,
                                              StageKind::key_source, StageKind::key_id_transport, StageKind::commit});
            !r) {
            return r;
        }
        if (auto r = memory_.open(shared_.host, pipeline_); !r) return r;
        if (auto r = load_record(); !r) return r;
        if (auto r = crew_.connect(); !r) return r;
        if (!pipeline_.has(StageKind::commit)) {
            if (auto r = ensure_certificates(); !r) return r;
            report_.result = LinkResult::unchanged;
            return {};
        }
        if (auto r = gate_clocks(); !r) return r;

        enter(Step::reconcile);
        if (auto r = reconcile_members(); !r) return r;
        if (reconciliation_.adopted != nullptr) return resume();

        enter(Step::prepare);
        if (auto r = ensure_certificates(); !r) return r;
        if (auto r = crew_.difference(); !r) return r;
        if (auto r = check_prepared(); !r) return r;

        enter(Step::reserve);
        if (auto r = reserve(); !r) return r;

        enter(Step::stage);
        if (auto r = stage(); !r) return r;

        enter(Step::commit);
        if (auto r = commit(); !r) return r;

        enter(Step::confirm);
        if (auto r = confirm(); !r) return r;
        leases_.release();

        enter(Step::verify);
        if (auto r = verify(); !r) return r;
        enter(Step::persist);
        return persist();
    }

    // ---- connect

    Result<void> load_record() {
        auto record = memory_.load(crew_.initiator().caller, crew_.spec(StageKind::persist, "load"), link_.name);
        if (!record) return std::move(record).error();
        record_ = std::move(*record);
        if (!record_.key_id.empty()) report_.previous_key_id = record_.key_id;
        return {};
    }

    Result<void> gate_clocks() {
        auto skew = crew_.compare_clocks();
        if (!skew) return std::move(skew).error();
        report_.clock_skew_ms = static_cast<double>(skew->estimate.count());
        const auto bound = pipeline_.commit.max_clock_skew;
        if (skew->proven > bound) {
            return Error{ErrorCode::conflict, Retry::safe,
                         "link " + link_.name + ": the clock of " + skew->ahead + " is at least " +
                             seconds_text(skew->proven) + " ahead of that of " + skew->behind + " (max_clock_skew is " +
                             seconds_text(bound) + ")",
                         "let both devices follow the same NTP server, see `show ntp status` on them, then run again"};
        }
        return {};
    }

    // ---- reconcile

    Result<void> reconcile_members() {
        if (auto r = crew_.read_states(); !r) return r;
        if (auto r = undo_own_pending_commit(); !r) return r;
        look_at_members();
        for (const auto& note : reconciliation_.notes) crew_.caller().log(LogLevel::warning, note, "reconcile");
        if (!reconciliation_.withdrawals.empty()) {
            if (auto r = withdraw_leftovers(); !r) return r;
            if (auto r = crew_.read_states(); !r) return r;
            look_at_members();
        }
        choose_required_interfaces();
        return {};
    }

    void look_at_members() {
        readings_ = crew_.readings();
        reconciliation_ = reconcile(readings_, record_.own_ckns);
    }

    /// A confirmed commit of a run of ours that died: the device would take it back by itself; there is no need to wait
    /// for that.
    Result<void> undo_own_pending_commit() {
        if (record_.pending_comment.empty()) return {};
        const auto ours = [&](const MemberRun& m) {
            return m.state.pending && m.state.pending->comment == record_.pending_comment;
        };
        if (std::none_of(crew_.members().begin(), crew_.members().end(), ours)) return {};
        if (auto r = take_leases(); !r) return r;
        auto reverted = crew_.each([&](MemberRun& m) -> Result<void> {
            if (!ours(m)) return {};
            m.caller.log(LogLevel::warning, "reverting the unconfirmed commit of an interrupted run", "reconcile");
            return m.caller(busy_patient("revert"), m.commit.name, [&](Context& context) {
                return m.commit->revert(context, *m.session, record_.pending_comment);
            });
        });
        leases_.release();
        if (!reverted) return reverted;
        return crew_.read_states();
    }

    Result<void> withdraw_leftovers() {
        if (auto r = take_leases(); !r) return r;
        auto withdrawn = crew_.each([&](MemberRun& m) -> Result<void> {
            const auto index = index_of(m);
            for (const auto& withdrawal : reconciliation_.withdrawals) {
                if (withdrawal.member != index) continue;
                auto r = m.caller(busy_patient("withdraw"), m.commit.name, [&](Context& context) {
                    return m.commit->withdraw(context, *m.session, m.target, withdrawal.ckn, comment_ + " withdraw");
                });
                if (!r) return r;
            }
            return {};
        });
        leases_.release();
        return withdrawn;
    }

    /// An interface that is down now is reported, not required, as long as every member has one that is secured. Where
    /// a member has none at all (a first configuration, a link that is down) all are required.
    void choose_required_interfaces() {
        std::vector<std::vector<std::string>> secured;
        for (const auto& m : crew_.members()) {
            auto& list = secured.emplace_back();
            for (const auto& interface : m.state.mka) {
                if (interface.state != MkaState::down && interface.state != MkaState::unknown)
                    list.push_back(interface.name);
            }
            if (list.empty()) return;
        }
        for (std::size_t i = 0; i < secured.size(); ++i) {
            auto& m = crew_.members()[i];
            for (const auto& interface : m.member->interfaces) {
                if (std::find(secured[i].begin(), secured[i].end(), interface) == secured[i].end()) {
                    m.caller.log(LogLevel::warning,
                                 "interface " + interface + " is down; it is not required in this rotation",
                                 "reconcile");
                }
            }
            m.required = std::move(secured[i]);
        }
    }

    /// All members have the same key scheduled already, left by an earlier run.
    Result<void> resume() {
        next_ckn_ = reconciliation_.adopted->ckn;
        start_ = reconciliation_.adopted->start;
        key_id_ = next_ckn_ == record_.pending_ckn ? record_.pending_key_id
                                                   : (next_ckn_ == record_.ckn ? record_.key_id : std::string{});
        if (next_ckn_ == record_.ckn) {
            report_.previous_key_id.reset();
            if (!record_.previous_key_id.empty()) report_.previous_key_id = record_.previous_key_id;
        }
        crew_.caller().log(LogLevel::notice, "all members have the same scheduled key; going on with it", "reconcile");
        fill_key();
        resumed_ = true;
        for (auto& progress : progress_) progress.committed = progress.confirmed = true;
        enter(Step::verify);
        if (auto r = verify(); !r) return r;
        enter(Step::persist);
        return persist();
    }

    // ---- prepare

    Result<void> ensure_certificates() {
        return crew_.each([&](MemberRun& m) -> Result<void> {
            if (!m.certs) return {};
            auto change = m.caller(crew_.spec(StageKind::certs, "certs"), m.certs.name, [&](Context& context) {
                return m.certs->ensure(context, {m.member->sae, m.member->device}, *m.session);
            });
            if (!change) return std::move(change).error();
            return {};
        });
    }

    Result<void> check_prepared() {
        for (const auto& m : crew_.members()) {
            if (m.initial || m.state.association_exists) continue;
            return Error{
                ErrorCode::config, Retry::never,
                "device " + m.member->device + " has no connectivity association " + link_.connectivity_association,
                "add [[stage]] kind = \"initial-config\" to the pipeline, or configure it on the device"};
        }
        return {};
    }

    // ---- reserve

    Result<void> reserve() {
        if (auto r = choose_start_time(); !r) return r;
        std::vector<std::string> pairs;
        const auto& initiator = *crew_.initiator().member;
        for (const auto& m : crew_.members()) {
            if (m.member->role == Role::responder) pairs.push_back(initiator.sae + " > " + m.member->sae);
        }
        auto pair_lease = shared_.sae_pairs.take(pairs, link_.name, pair_patience(), shared_.interruption.token());
        if (!pair_lease) return std::move(pair_lease).error();

        if (auto r = mint(); !r) return r;
        if (transport_commits()) {
            if (auto r = take_leases(); !r) return r;
        }
        if (auto r = hand_over_key_id(); !r) return r;
        if (auto r = fetch(); !r) return r;
        if (auto r = compare_keys(); !r) return r;
        return acknowledge();
    }

    [[nodiscard]] milliseconds lead() const {
        const auto& policy = pipeline_.commit;
        return policy.lead.value_or(policy.confirm + 2 * policy.assumed_commit + policy.max_clock_skew + 30s);
    }

    Result<void> choose_start_time() {
        // Read again: certificates may have taken their time since the gate.
        if (auto r = crew_.read_clocks(); !r) return r;
        std::vector<ClockReading> clocks;
        for (const auto& m : crew_.members()) clocks.push_back(m.clock);
        start_ = choose_start(clocks, lead());
        return {};
    }

    Result<void> mint() {
        auto& m = crew_.initiator();
        MintRequest request;
        request.count = 1;
        request.bits = static_cast<unsigned>(cak_octets(link_.cipher) * 8);
        for (const auto& other : crew_.members()) {
            if (other.member->role != Role::responder) continue;
            if (request.peer_sae.empty()) {
                request.peer_sae = other.member->sae;
            } else {
                request.additional_saes.push_back(other.member->sae);
            }
        }
        auto keys = m.caller(crew_.spec(StageKind::key_source, "mint"), m.source.name,
                             [&](Context& context) { return m.source->mint(context, request); });
        if (!keys) return std::move(keys).error();
        if (keys->size() != 1 || keys->front().bytes.size() * 8 != request.bits || keys->front().id.empty()) {
            return bad_keys(m, "mint");
        }
        key_id_ = keys->front().id;
        m.key = std::move(keys->front().bytes);
        auto ckn = derive_ckn(link_.name, key_id_, link_.ckn_prefix);
        if (!ckn) return std::move(ckn).error();
        next_ckn_ = std::move(*ckn);
        const std::array<Attr, 1> attributes{Attr{"key_id", std::string_view(key_id_)}};
        m.caller.event("key.minted", attributes, "mint");
        return {};
    }

    [[nodiscard]] Error bad_keys(const MemberRun& m, const char* call) const {
        return {ErrorCode::internal, Retry::never,
                "plugin " + m.source.name + " of kme " + m.member->kme + " answered " + call +
                    " with other keys than asked for",
                "this is a defect of the plugin; run `qkd-macsec plugins test " + m.source.name + "`"};
    }

    [[nodiscard]] bool transport_commits() {
        const auto* info = crew_.initiator().transport.plugin->stage(StageKind::key_id_transport);
        return std::string_view(info->provides).find("commits") != std::string_view::npos;
    }

    [[nodiscard]] static TransportEnd end_of(MemberRun& m) {
        return {m.member->device, m.member->interfaces, m.session.get()};
    }

    Result<void> hand_over_key_id() {
        notice_.link = link_.name;
        notice_.generation = next_generation();
        notice_.key_ids = {key_id_};
        notice_.start = pipeline_.commit.rollover == Rollover::key_chain ? *start_ : UtcSeconds{};
        notice_.sequence = notice_.generation;
        notice_.sender = crew_.initiator().member->device;
        notice_.expires = std::chrono::floor<std::chrono::seconds>(crew_.initiator().clock.now) +
                          std::chrono::duration_cast<std::chrono::seconds>(lead()) + notice_life_time;
        // From here on both ends may hold a notice, whether or not the call is answered.
        for (auto& progress : progress_) progress.notice = true;
        written_ = written_ || transport_writes();

        std::vector<TransportEnd> responders;
        for (auto& m : crew_.members()) {
            if (m.member->role == Role::responder) responders.push_back(end_of(m));
        }
        auto& initiator = crew_.initiator();
        auto announced = initiator.caller(
            crew_.spec(StageKind::key_id_transport, "announce"), initiator.transport.name, [&](Context& context) {
                return initiator.transport->announce(context, end_of(initiator), responders, notice_);
            });
        if (!announced) return announced;

        return crew_.each([&](MemberRun& m) -> Result<void> {
            if (m.member->role != Role::responder) return {};
            CallSpec spec = crew_.spec(StageKind::key_id_transport, "receive");
            spec.wait_out = ErrorCode::not_found;
            spec.patience = spec.timeout;
            auto received = m.caller(spec, m.transport.name, [&](Context& context) {
                return m.transport->receive(context, end_of(m), link_.name, notice_.generation - 1);
            });
            if (!received) return std::move(received).error();
            if (*received != notice_) {
                return Error{
                    ErrorCode::conflict, Retry::never,
                    "device " + m.member->device + " received another key_ID notice than was sent for link " +
                        link_.name,
                    "somebody else writes notices for this link: look at the transport's place on " + m.member->device};
            }
            return {};
        });
    }

    /// Does the transport write on devices (files, descriptions)?
    [[nodiscard]] bool transport_writes() {
        const auto* info = crew_.initiator().transport.plugin->stage(StageKind::key_id_transport);
        return *info->needs != '\0';
    }

    /// Grows even when the remembered record was lost: never below the seconds of the calendar.
    [[nodiscard]] std::uint64_t next_generation() const {
        const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
        return std::max(record_.generation + 1, static_cast<std::uint64_t>(now.time_since_epoch().count()));
    }

    Result<void> fetch() {
        const std::string initiator_sae = crew_.initiator().member->sae;
        return crew_.each([&](MemberRun& m) -> Result<void> {
            if (m.member->role != Role::responder) return {};
            FetchRequest request;
            request.peer_sae = initiator_sae;
            request.ids = {key_id_};
            request.bits = static_cast<unsigned>(cak_octets(link_.cipher) * 8);
            CallSpec spec = crew_.spec(StageKind::key_source, "fetch");
            // A KME may not have heard of the key yet. A lost answer is another matter: that key may be gone.
            spec.retry.attempts = 1;
            spec.wait_out = ErrorCode::not_found;
            spec.patience = pipeline_.dec_retry_window;
            auto keys =
                m.caller(spec, m.source.name, [&](Context& context) { return m.source->fetch(context, request); });
            if (!keys) {
                Error error = std::move(keys).error();
                if (error.maybe_consumed) {
                    m.caller.log(LogLevel::warning, "key " + key_id_ + " may have been used up by a lost answer",
                                 "fetch");
                }
                return error;
            }
            if (keys->size() != 1 || keys->front().bytes.size() * 8 != request.bits) return bad_keys(m, "fetch");
            m.key = std::move(keys->front().bytes);
            return {};
        });
    }

    Result<void> compare_keys() {
        const auto& reference = crew_.initiator();
        for (const auto& m : crew_.members()) {
            if (m.key.same_as(reference.key)) continue;
            return Error{ErrorCode::conflict, Retry::safe,
                         "kme " + m.member->kme + " gave " + m.member->device + " another key under key_ID " + key_id_ +
                             " than kme " + reference.member->kme + " gave " + reference.member->device,
                         "the two KMEs are out of step; tell their operator the key_ID"};
        }
        fill_key();
        return {};
    }

    Result<void> acknowledge() {
        return crew_.each([&](MemberRun& m) -> Result<void> {
            if (m.member->role != Role::responder) return {};
            return m.caller(crew_.spec(StageKind::key_id_transport, "acknowledge"), m.transport.name,
                            [&](Context& context) { return m.transport->acknowledge(context, end_of(m), notice_); });
        });
    }

    // ---- stage

    Result<void> stage() {
        if (auto r = make_changes(); !r) return r;
        if (auto r = remember_intent(); !r) return r;
        if (auto r = take_leases(); !r) return r;
        return crew_.each([&](MemberRun& m) -> Result<void> {
            progress_of(m).staged = true;  // also when the call fails: the undo is harmless where nothing is staged
            return m.caller(busy_patient("stage"), m.commit.name, [&](Context& context) {
                return m.commit->stage(context, *m.session, m.target, changes_[index_of(m)]);
            });
        });
    }

    Result<void> make_changes() {
        const std::size_t octets = cak_octets(link_.cipher);
        if (reconciliation_.base == nullptr) {
            auto key = random_key(octets);
            if (!key) return std::move(key).error();
            first_key_ = std::move(*key);
        }
        if (!reconciliation_.fallback_is_common) {
            auto key = random_key(octets);
            if (!key) return std::move(key).error();
            fallback_key_ = std::move(*key);
        }
        ChangeKeys keys;
        keys.next = {next_ckn_, &crew_.initiator().key, start_};
        // The base key lives in a member's state, which is read anew before the change is over: hence the copy.
        base_.ckn = reconciliation_.base != nullptr ? reconciliation_.base->ckn : first_key_.ckn;
        base_.cak = reconciliation_.base != nullptr ? reconciliation_.base->cak.clone() : first_key_.cak.clone();
        keys.base = {base_.ckn, &base_.cak, std::nullopt};
        keys.base.start = *start_ - first_key_age;
        keys.fallback = {fallback_key_.ckn, &fallback_key_.cak, std::nullopt};
        if (pipeline_.commit.rollover == Rollover::pre_shared_key) start_.reset();
        changes_.clear();
        for (std::size_t i = 0; i < readings_.size(); ++i) {
            changes_.push_back(make_change(reconciliation_, readings_, i, pipeline_.commit.rollover, keys,
                                           record_.own_ckns, crew_.members()[i].edits.get()));
        }
        return {};
    }

    /// Written before any device is touched, so that a later run knows our keys and our commit on the devices.
    Result<void> remember_intent() {
        const auto add = [&](const std::string& ckn) {
            auto& own = record_.own_ckns;
            if (ckn.empty() || std::find(own.begin(), own.end(), ckn) != own.end()) return;
            own.insert(own.begin(), ckn);
        };
        add(first_key_.ckn);
        add(next_ckn_);
        if (record_.own_ckns.size() > remembered_ckns) record_.own_ckns.resize(remembered_ckns);
        record_.generation = notice_.generation;
        record_.pending_key_id = key_id_;
        record_.pending_ckn = next_ckn_;
        record_.pending_comment = comment_;
        return save_record(Cancel::allowed);
    }

    // ---- commit

    Result<void> commit() {
        // The figures below are the devices' own: before the commit, so that the timer ends no earlier than reckoned.
        if (auto r = crew_.read_clocks(); !r) return r;
        if (start_) {
            const auto left = *start_ - latest_clock();
            const milliseconds needed = pipeline_.commit.confirm + std::chrono::milliseconds(5s);
            if (left < needed) {
                return Error{ErrorCode::timeout, Retry::safe,
                             "link " + link_.name + ": staging took so long that only " +
                                 seconds_text(std::chrono::duration_cast<milliseconds>(left)) +
                                 " are left until the start-time (" + seconds_text(needed) + " are needed)",
                             "give the commit stage a longer lead"};
            }
        }
        commit_clocks_.clear();
        for (const auto& m : crew_.members()) commit_clocks_.push_back(m.clock.now);

        std::vector<Steady::time_point> acknowledged(crew_.members().size());
        auto committed = crew_.each([&](MemberRun& m) -> Result<void> {
            progress_of(m).committed = true;
            written_ = true;
            // Once one member commits, the others must too or all go back: no interruption in the middle.
            CallSpec spec = crew_.spec(StageKind::commit, "commit-confirmed", Cancel::never);
            spec.retry.attempts = 1;
            auto done = m.caller(spec, m.commit.name, [&](Context& context) {
                return m.commit->commit_confirmed(context, *m.session, pipeline_.commit.confirm, comment_);
            });
            acknowledged[index_of(m)] = Steady::now();
            if (!done && done.error().code == ErrorCode::unknown_outcome) return find_out_commit(m);
            return done;
        });
        if (!committed) return committed;
        const auto [first, last] = std::minmax_element(acknowledged.begin(), acknowledged.end());
        report_.out_of_sync_ms = std::chrono::duration<double, std::milli>(*last - *first).count();
        if (auto r = interrupted("after the commit"); !r) return r;
        return read_back("read-back");
    }

    /// The answer to the commit was lost: the device tells by the comment what happened.
    Result<void> find_out_commit(MemberRun& m) {
        m.caller.log(LogLevel::warning, "the answer to the commit was lost; reading back what happened",
                     "commit-confirmed");
        if (auto r = crew_.reconnect(m, Cancel::never); !r) return r;
        auto state = read_member(m);
        if (!state) return std::move(state).error();
        if (m.state.pending && m.state.pending->comment == comment_) return {};
        return Error{ErrorCode::conflict, Retry::safe,
                     "device " + m.member->device + " did not make the commit whose answer was lost", "run again"};
    }

    Result<void> read_member(MemberRun& m) {
        auto state = m.caller(crew_.spec(StageKind::commit, "read-back", Cancel::never), m.commit.name,
                              [&](Context& context) { return m.commit->read(context, *m.session, m.target); });
        if (!state) return std::move(state).error();
        m.state = std::move(*state);
        return {};
    }

    /// The members' configuration must hold what was written: names, octets, start-times.
    Result<void> read_back(const char* when) {
        return crew_.each([&](MemberRun& m) -> Result<void> {
            if (auto r = read_member(m); !r) return r;
            const std::string missing = missing_after(m.state, changes_[index_of(m)]);
            if (missing.empty()) return {};
            return Error{ErrorCode::conflict, Retry::safe, "device " + m.member->device + ", " + when + ": " + missing,
                         "somebody else may have changed the device; look at `show system commit` there"};
        });
    }

    // ---- confirm

    Result<void> confirm() {
        if (pipeline_.commit.rollover == Rollover::pre_shared_key) {
            if (auto r = wait_until_live(Cancel::allowed); !r) return r;
        }
        if (auto r = crew_.read_clocks(); !r) return r;
        if (auto r = check_confirm_in_time(); !r) return r;
        if (auto r = interrupted("before the confirm"); !r) return r;
        auto confirmed = crew_.each([&](MemberRun& m) -> Result<void> {
            progress_of(m).confirmed = true;
            CallSpec spec = crew_.spec(StageKind::commit, "confirm", Cancel::never);
            spec.retry.attempts = 1;
            auto done = m.caller(spec, m.commit.name,
                                 [&](Context& context) { return m.commit->confirm(context, *m.session, comment_); });
            if (!done && done.error().code == ErrorCode::unknown_outcome) {
                m.caller.log(LogLevel::warning, "the answer to the confirm was lost; reading back what happened",
                             "confirm");
                return crew_.reconnect(m, Cancel::never);  // the read-back below tells
            }
            return done;
        });
        if (!confirmed) return confirmed;
        if (auto r = read_back("after the confirm"); !r) return r;
        for (auto& m : crew_.members()) {
            if (m.state.pending) {
                return Error{ErrorCode::conflict, Retry::safe,
                             "device " + m.member->device + " still has an unconfirmed commit after the confirm",
                             "run again"};
            }
        }
        (void)crew_.each([&](MemberRun& m) -> Result<void> {
            auto released = m.caller(crew_.spec(StageKind::commit, "release", Cancel::never), m.commit.name,
                                     [&](Context& context) { return m.commit->release(context, *m.session); });
            if (released) {
                progress_of(m).staged = false;
            } else {
                m.caller.log(LogLevel::warning, "the lock could not be released: " + released.error().what, "release");
                m.session.reset();  // the device frees the lock with the session
                return crew_.reconnect(m, Cancel::never);
            }
            return {};
        });
        return {};
    }

    Result<void> check_confirm_in_time() {
        for (auto& m : crew_.members()) {
            const auto ends = commit_clocks_[index_of(m)] + pipeline_.commit.confirm;
            const bool timer_near = m.clock.now + m.clock.resolution > ends - confirm_margin;
            const bool start_near = start_ && m.clock.now + m.clock.resolution + 1s > *start_;
            if (!timer_near && !start_near) continue;
            return Error{ErrorCode::timeout, Retry::safe,
                         "device " + m.member->device + ": it took too long from the commit to its confirm",
                         timer_near ? "give the commit stage a longer confirm" : "give the commit stage a longer lead"};
        }
        return {};
    }

    // ---- verify

    Result<void> verify() {
        if (pipeline_.commit.rollover == Rollover::pre_shared_key) {
            report_.result = LinkResult::rotated;  // live before the confirm
            return {};
        }
        if (pipeline_.commit.verify == Verify::next_run) {
            report_.result = LinkResult::pending;
            return {};
        }
        auto live = wait_until_live(Cancel::allowed);
        if (!live && live.error().code == ErrorCode::cancelled) {
            withdraw_ = !resumed_ && before_start();
            if (withdraw_) return live;
            // Too late to go back, or not ours to take away: finish.
            live = wait_until_live(Cancel::never);
            if (live) clear_interruption();
        }
        if (!live) {
            forward_only_ = true;
            return live;
        }
        report_.result = LinkResult::rotated;
        return {};
    }

    /// Is there time to withdraw a key on every member before it becomes active?
    [[nodiscard]] bool before_start() {
        if (!start_) return false;
        if (auto r = crew_.connect(Cancel::never); !r) return false;
        if (auto r = crew_.read_clocks(Cancel::never); !r) return false;
        return latest_clock() + pipeline_.commit.assumed_commit < *start_;
    }

    [[nodiscard]] UtcMillis latest_clock() {
        UtcMillis latest{};
        for (const auto& m : crew_.members()) latest = std::max(latest, m.clock.now + m.clock.resolution);
        return latest;
    }

    [[nodiscard]] UtcMillis earliest_clock() {
        UtcMillis earliest = UtcMillis::max();
        for (const auto& m : crew_.members()) earliest = std::min(earliest, m.clock.now);
        return earliest;
    }

    /// Polls the devices until every required interface is secured on the new key and stays so for the MKA life time.
    /// All times are the devices' own.
    Result<void> wait_until_live(Cancel cancel) {
        const UtcMillis begin =
            start_ ? UtcMillis(*start_) : *std::max_element(commit_clocks_.begin(), commit_clocks_.end());
        UtcMillis give_up = begin + mka_grace + pipeline_.commit.max_clock_skew;
        if (!start_) {  // before the confirm: the device's timer bounds the wait
            give_up = std::min(give_up, *std::min_element(commit_clocks_.begin(), commit_clocks_.end()) +
                                            pipeline_.commit.confirm - 2 * confirm_margin);
        }
        UtcMillis live_since{};
        bool live = false;
        std::optional<std::pair<Steady::time_point, UtcMillis>> last;
        for (;;) {
            if (auto r = crew_.connect(cancel); !r) return r;
            if (auto r = crew_.read_clocks(cancel); !r) return r;
            const UtcMillis now = earliest_clock();
            milliseconds wait = milliseconds{1000};
            if (now >= begin) {
                if (auto r = crew_.read_mka(cancel); !r) return r;
                const std::string lacking = not_live();
                if (lacking.empty()) {
                    if (!live) live_since = now;
                    live = true;
                    if (now >= live_since + mka_life_time) return {};
                } else {
                    live = false;
                    if (now > give_up) {
                        return Error{ErrorCode::conflict, Retry::safe,
                                     "link " + link_.name + " is not secured on the new key: " + lacking,
                                     "look at `show security mka sessions` on both ends and at the fibre between them"};
                    }
                }
            } else {
                wait = std::chrono::duration_cast<milliseconds>((begin - now) / 2);
            }
            // How fast device time passes is measured, never assumed; the first look is soon followed by a second.
            const auto here = Steady::now();
            if (!last) {
                wait = shortest_poll;
            } else if (now > last->second) {
                const double rate = std::chrono::duration<double>(now - last->second).count() /
                                    std::max(1e-3, std::chrono::duration<double>(here - last->first).count());
                wait = milliseconds(static_cast<std::int64_t>(static_cast<double>(wait.count()) / std::max(rate, 1.0)));
            }
            last = {here, now};
            wait = std::clamp(wait, shortest_poll, longest_poll);
            const std::stop_token stop = cancel == Cancel::allowed ? shared_.interruption.token() : std::stop_token{};
            if (!shared_.pause(wait, stop)) {
                return Error{ErrorCode::cancelled, Retry::safe,
                             "interrupted while waiting for the new key to become live", "run again when ready"};
            }
        }
    }

    /// Empty when all required interfaces are secured on the new key; else which are not.
    [[nodiscard]] std::string not_live() {
        std::string list;
        for (const auto& m : crew_.members()) {
            for (const auto& name : m.required) {
                const auto found = std::find_if(m.state.mka.begin(), m.state.mka.end(),
                                                [&](const InterfaceMka& interface) { return interface.name == name; });
                const bool live =
                    found != m.state.mka.end() && found->state == MkaState::secured && found->ckn == next_ckn_;
                if (live) continue;
                if (!list.empty()) list += ", ";
                list += m.member->device + " " + name + " is " +
                        (found == m.state.mka.end() ? std::string("not shown") : std::string(to_string(found->state)));
                if (found != m.state.mka.end() && found->state == MkaState::secured) list += " on another key";
            }
        }
        return list;
    }

    // ---- persist

    Result<void> persist() {
        if (record_.ckn != next_ckn_) {
            record_.previous_key_id = record_.key_id;
            record_.key_id = key_id_;
            record_.ckn = next_ckn_;
        }
        record_.rollover = to_string(pipeline_.commit.rollover);
        record_.start = start_;
        record_.saved = std::chrono::floor<std::chrono::seconds>(latest_clock());
        record_.pending_key_id.clear();
        record_.pending_ckn.clear();
        record_.pending_comment.clear();
        if (auto saved = save_record(Cancel::never); !saved) {
            // The link is on its new key all the same; what is lost is the memory of its name.
            forward_only_ = true;
            return saved;
        }
        const std::array<Attr, 2> attributes{Attr{"key_id", std::string_view(key_id_)},
                                             Attr{"ckn", std::string_view(next_ckn_)}};
        crew_.caller().event("rotation.done", attributes, "persist");
        return {};
    }

    Result<void> save_record(Cancel cancel) {
        if (!memory_) return {};
        record_.link = link_.name;
        auto saved = memory_.save(crew_.initiator().caller, crew_.spec(StageKind::persist, "save", cancel), record_);
        for (auto& m : crew_.members()) copy_stage(StageKind::persist, *crew_.initiator().report, *m.report);
        return saved;
    }

    static void copy_stage(StageKind kind, const MemberReport& from, MemberReport& to) {
        if (&from == &to) return;
        for (const auto& source : from.stages) {
            for (auto& target : to.stages) {
                if (source.kind == kind && target.kind == kind) target = source;
            }
        }
    }

    // ---- undo

    /// The link did not get to its new key. Undoes what was done, in reverse, and says what is proven.
    void fail(Error error) {
        report_.error = error;
        if (forward_only_) {
            report_.result = LinkResult::degraded;
            return;
        }
        crew_.caller().log(LogLevel::error, error.what, to_string(step_));
        bool proven = true;
        const bool any_confirmed = std::any_of(progress_.begin(), progress_.end(),
                                               [](const Progress& progress) { return progress.confirmed; });
        if (any_confirmed && !withdraw_ && !has_time_to_withdraw()) {
            // Active, or about to be: taking it away now could leave a member alone. The next run repairs forward.
            undo_commits(proven, /*withdraw=*/false);
            report_.result = LinkResult::degraded;
            retract_notices(proven);
            return;
        }
        undo_commits(proven, any_confirmed);
        retract_notices(proven);
        leases_.release();
        if (!written_) {
            report_.result = LinkResult::failed;
        } else if (proven) {
            report_.result = LinkResult::reverted;
            forget_intent();
        } else {
            report_.result = LinkResult::failed;
            report_.error->hint +=
                (report_.error->hint.empty() ? "" : "; ") +
                std::string(
                    "the undo is not proven on every member: the devices take unconfirmed commits back by "
                    "themselves, and the next run looks again");
        }
    }

    [[nodiscard]] bool has_time_to_withdraw() {
        return pipeline_.commit.rollover == Rollover::key_chain && before_start();
    }

    void undo_commits(bool& proven, bool withdraw) {
        const bool anything = std::any_of(progress_.begin(), progress_.end(), [](const Progress& progress) {
            return progress.staged || progress.committed;
        });
        if (!anything) return;
        crew_.caller().log(LogLevel::notice, "undoing what was done on the members", "undo");
        if (!leases_.held()) {
            auto leases = shared_.devices.take(crew_.device_names(), link_.name, lease_patience(), {});
            if (!leases) {
                proven = false;
                return;
            }
            leases_ = std::move(*leases);
        }
        auto undone = crew_.each([&](MemberRun& m) -> Result<void> {
            auto& progress = progress_of(m);
            if (!progress.staged && !progress.committed) return {};
            if (auto r = crew_.reconnect(m, Cancel::never); !r) return r;
            // The stage's report tells what failed; the undo must not overwrite it.
            Caller undo(shared_.observer, shared_.interruption, Place{link_.name, m.member->device, {}, {}}, nullptr);
            const auto call = [&](const char* step, auto&& fn) {
                CallSpec spec = busy_patient(step);
                spec.cancel = Cancel::never;
                return undo(spec, m.commit.name, fn);
            };
            if (progress.committed) {
                if (auto r = undo_commit(m, withdraw, call); !r) return r;
            } else {
                if (auto r = call("discard", [&](Context& context) { return m.commit->discard(context, *m.session); });
                    !r)
                    return r;
            }
            for (auto& stage : m.report->stages) {
                if (stage.kind == StageKind::commit && stage.result == StageResult::ok)
                    stage.result = StageResult::reverted;
            }
            progress = {progress.notice, false, false, false};
            return {};
        });
        if (!undone) {
            proven = false;
            crew_.caller().log(LogLevel::error, "undo: " + undone.error().what, "undo");
        }
    }

    /// Takes one member's commit back and proves it by reading. `call` makes a call that nothing interrupts.
    template <class Call>
    Result<void> undo_commit(MemberRun& m, bool withdraw, Call&& call) {
        const auto read = [&]() -> Result<void> {
            auto state =
                call("read-back", [&](Context& context) { return m.commit->read(context, *m.session, m.target); });
            if (!state) return std::move(state).error();
            m.state = std::move(*state);
            return {};
        };
        if (auto r = read(); !r) return r;
        const bool pending = m.state.pending && m.state.pending->comment == comment_;
        if (pending || !progress_of(m).confirmed) {
            auto r = call("revert", [&](Context& context) { return m.commit->revert(context, *m.session, comment_); });
            if (!r) return r;
        } else {
            if (auto r = call("discard", [&](Context& context) { return m.commit->discard(context, *m.session); }); !r)
                return r;
            if (!withdraw) return {};
            auto r = call("withdraw", [&](Context& context) {
                return m.commit->withdraw(context, *m.session, m.target, next_ckn_, comment_ + " withdraw");
            });
            if (!r) return r;
        }
        if (auto r = read(); !r) return r;
        const auto is_new = [&](const ConfiguredKey& key) { return key.ckn == next_ckn_; };
        if (!m.state.pending && std::none_of(m.state.keys.begin(), m.state.keys.end(), is_new)) return {};
        return Error{ErrorCode::conflict, Retry::safe,
                     "device " + m.member->device + " still has the new key after the undo",
                     "run again; the next run looks at what is there"};
    }

    void retract_notices(bool& proven) {
        auto retracted = crew_.each([&](MemberRun& m) -> Result<void> {
            if (!progress_of(m).notice) return {};
            if (auto r = crew_.reconnect(m, Cancel::never); !r) return r;
            Caller undo(shared_.observer, shared_.interruption, Place{link_.name, m.member->device, {}, {}}, nullptr);
            CallSpec spec = crew_.spec(StageKind::key_id_transport, "retract", Cancel::never);
            spec.wait_out = ErrorCode::busy;
            spec.patience = spec.timeout;
            auto r = undo(spec, m.transport.name,
                          [&](Context& context) { return m.transport->retract(context, end_of(m), link_.name); });
            if (!r) return r;
            progress_of(m).notice = false;
            for (auto& stage : m.report->stages) {
                if (stage.kind == StageKind::key_id_transport && stage.result == StageResult::ok) {
                    stage.result = StageResult::reverted;
                }
            }
            return {};
        });
        if (!retracted) {
            proven = false;
            crew_.caller().log(LogLevel::error, "undo: " + retracted.error().what, "undo");
        }
    }

    void forget_intent() {
        if (record_.pending_ckn.empty()) return;
        record_.pending_key_id.clear();
        record_.pending_ckn.clear();
        record_.pending_comment.clear();
        if (memory_) {
            Caller undo(shared_.observer, shared_.interruption, Place{link_.name, {}, {}, {}}, nullptr);
            if (auto r = memory_.save(undo, crew_.spec(StageKind::persist, "save", Cancel::never), record_); !r) {
                crew_.caller().log(LogLevel::warning, r.error().what, "undo");
            }
        }
    }

    // ---- small parts

    void enter(Step step) {
        step_ = step;
        crew_.caller().log(LogLevel::info, std::string("step ") + to_string(step), to_string(step));
    }

    /// The commit stage was interrupted but got to its end all the same.
    void clear_interruption() {
        for (auto& m : crew_.members()) {
            for (auto& stage : m.report->stages) {
                if (!stage.error || stage.error->code != ErrorCode::cancelled) continue;
                stage.result = StageResult::ok;
                stage.error.reset();
            }
        }
    }

    void fill_key() {
        report_.key_id = key_id_;
        report_.ckn = next_ckn_;
        report_.start_time = pipeline_.commit.rollover == Rollover::key_chain ? start_ : std::nullopt;
    }

    Result<void> interrupted(const char* when) {
        if (!shared_.interruption.requested()) return {};
        return Error{ErrorCode::cancelled, Retry::safe, std::string("interrupted ") + when, "run again when ready"};
    }

    [[nodiscard]] CallSpec busy_patient(const char* step) const {
        CallSpec spec = crew_.spec(StageKind::commit, step);
        spec.wait_out = ErrorCode::busy;
        spec.patience = spec.timeout;
        return spec;
    }

    /// Long enough for every other link of the device to have its turn.
    [[nodiscard]] milliseconds lease_patience() const {
        const StagePolicy* policy = pipeline_.stage(StageKind::commit);
        const auto turn = (policy != nullptr ? policy->timeout : milliseconds{30000}) * 5;
        return turn * static_cast<int>(std::min<std::size_t>(pipeline_.links.size(), 100));
    }

    [[nodiscard]] milliseconds pair_patience() const {
        const StagePolicy* policy = pipeline_.stage(StageKind::key_source);
        return (policy != nullptr ? policy->timeout : milliseconds{30000}) * 4 + pipeline_.dec_retry_window;
    }

    Result<void> take_leases() {
        if (leases_.held()) return {};
        auto leases =
            shared_.devices.take(crew_.device_names(), link_.name, lease_patience(), shared_.interruption.token());
        if (!leases) return std::move(leases).error();
        leases_ = std::move(*leases);
        return {};
    }

    [[nodiscard]] std::size_t index_of(const MemberRun& m) {
        return static_cast<std::size_t>(&m - crew_.members().data());
    }
    [[nodiscard]] Progress& progress_of(const MemberRun& m) { return progress_[index_of(m)]; }

    RunShared& shared_;
    const Pipeline& pipeline_;
    const Link& link_;
    LinkReport report_;
    Crew crew_;
    Memory memory_;
    LinkRecord record_;
    Step step_ = Step::connect;
    std::vector<Progress> progress_;
    Leases::Held leases_;
    std::string comment_;  ///< unique; marks our commits on the devices

    std::vector<MemberReading> readings_;
    Reconciliation reconciliation_;
    std::vector<MemberChange> changes_;
    RandomKey first_key_, fallback_key_;
    RandomKey base_;  ///< not random where the members had a key; same shape
    KeyIdNotice notice_;
    std::string key_id_, next_ckn_;
    std::optional<UtcSeconds> start_;
    std::vector<UtcMillis> commit_clocks_;  ///< each member's clock just before its commit
    std::atomic<bool> written_{false};      ///< something may stand on a device
    bool resumed_ = false;
    bool withdraw_ = false;      ///< decided: the undo takes the confirmed key away before it becomes active
    bool forward_only_ = false;  ///< past the point of return: report degraded, undo nothing
};

}  // namespace

const char* to_string(Step step) noexcept {
    switch (step) {
        case Step::connect: return "connect";
        case Step::reconcile: return "reconcile";
        case Step::prepare: return "prepare";
        case Step::reserve: return "reserve";
        case Step::stage: return "stage";
        case Step::commit: return "commit";
        case Step::confirm: return "confirm";
        case Step::verify: return "verify";
        case Step::persist: return "persist";
        case Step::done: return "done";
    }
    return "?";
}

LinkReport rotate(RunShared& shared, const Link& link) {
    const Caller none(shared.observer, shared.interruption, {}, nullptr);
    auto report = guard("engine", [&]() -> Result<LinkReport> { return Rotation(shared, link).run(); });
    if (report) return std::move(*report);
    LinkReport failed;
    failed.name = link.name;
    failed.rollover = shared.pipeline.commit.rollover;
    failed.error =
        Error{ErrorCode::internal, Retry::never, "link " + link.name + ": the rotation broke off with an exception",
              "this is a defect of qkd-macsec; run again with --trace and report it"};
    return failed;
}

}  // namespace qkd::engine
