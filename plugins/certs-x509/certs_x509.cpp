// What the folder has, what it should have, and the way there.
#include "certs_x509.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "schedule.hpp"

namespace qkd::certs {
namespace {

/// Beside SAE.crt and SAE.key while a new pair is on trial: the pair that it replaced.
constexpr const char* before = ".before";

std::string text_of(const std::optional<FileContent>& file) {
    return file ? std::string(file->bytes.reveal_text()) : std::string();
}

Pair take_pair(std::optional<FileContent>& cert, std::optional<FileContent>& key) {
    return {text_of(cert), key ? std::move(key->bytes) : SecretBytes()};
}

bool absent(const Pair& pair) {
    return pair.cert.empty() && pair.key.empty();
}

/// SAE IDs become file names and host names here.
Result<void> check_sae(const std::string& sae) {
    const auto usable = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    };
    if (!sae.empty() && sae.size() <= 64 && sae.front() != '.' && sae != "root" &&
        std::all_of(sae.begin(), sae.end(), usable)) {
        return {};
    }
    return Error{ErrorCode::config, Retry::never, "an SAE ID that cannot name a certificate's files",
                 "1 to 64 letters, digits, '.', '_' and '-', not beginning with '.', and not 'root'"};
}

Error bad_ca(const std::string& where, const std::string& why) {
    return {ErrorCode::config, Retry::never, "the CA " + where + " cannot be used: " + why,
            "put a good root.crt and root.key there; without them a new CA is made with ca = \"generate\", or fetched "
            "with ca = \"fetch\", and every KME must be told to trust it"};
}

}  // namespace

X509Certs::X509Certs()
    : X509Certs([] { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }) {}

Result<void> X509Certs::configure(const ConfigView& config) {
    const std::string type = config.string("key_type");
    const KeyType key_type = type == "rsa-2048"   ? KeyType::rsa_2048
                             : type == "rsa-3072" ? KeyType::rsa_3072
                                                  : KeyType::ec_p256;
    folder_ = config.path("directory");
    const std::string ca = config.string("ca");
    source_ = ca == "generate" ? Source::generate : ca == "fetch" ? Source::fetch : Source::provided;
    ca_wish_ = {config.string("ca_name"), static_cast<int>(config.integer("ca_valid_days")), key_type, {}};
    client_wish_ = {"", static_cast<int>(config.integer("valid_days")), key_type, {}};
    min_valid_days_ = static_cast<int>(config.integer("min_valid_days"));
    in_window_only_ = config.string("when") == "window";
    device_directory_ = config.string("device_directory");
    upload_ = config.boolean("upload");
    while (device_directory_.size() > 1 && device_directory_.ends_with('/')) device_directory_.pop_back();
    const auto wrong = [&config](const char* what, const char* hint) {
        return Error{ErrorCode::config, Retry::never, config.name() + ": " + what, hint};
    };
    if (ca_wish_.name.empty() || ca_wish_.name.size() > 64) {
        return wrong("ca_name is empty or longer than 64 characters", "RFC 5280 allows 1 to 64 characters");
    }
    if (client_wish_.valid_days <= min_valid_days_) {
        return wrong("valid_days is not above min_valid_days", "a new certificate would be renewed in every run");
    }
    if (ca_wish_.valid_days <= min_valid_days_) {
        return wrong("ca_valid_days is not above min_valid_days",
                     "no certificate of this CA would be valid long enough");
    }
    if (device_directory_.empty()) return wrong("device_directory is empty", "give a directory, such as certs");
    return server_.configure(config);
}

Result<X509Certs::Findings> X509Certs::inspect(const CertSubject& subject) const {
    const std::string& sae = subject.sae;
    const std::array names{std::string("root.crt"), std::string("root.key"), sae + ".crt", sae + ".key",
                           sae + ".crt" + before,   sae + ".key" + before};
    std::array<std::optional<FileContent>, names.size()> files;
    Findings found;
    for (std::size_t i = 0; i < names.size(); ++i) {
        auto file = read_file(folder_ / names[i]);
        if (!file) return std::move(file).error();
        files[i] = std::move(file).value();
        if (files[i] && files[i]->open_to_others && i % 2 == 1) found.exposed.push_back(names[i]);
    }
    const bool has_ca = files[0].has_value();
    const bool has_ca_key = files[1].has_value();
    found.ca = take_pair(files[0], files[1]);
    found.client = take_pair(files[2], files[3]);
    found.before = take_pair(files[4], files[5]);

    if (!has_ca) {
        if (source_ == Source::provided || has_ca_key) {
            return Error{ErrorCode::config, Retry::never, "there is no CA certificate " + place("root.crt"),
                         has_ca_key ? "root.key is there alone: put its certificate back or take it away"
                                    : "put root.crt there, and root.key if certificates are to be made here"};
        }
        found.make_ca = true;
        found.renew = "there is no CA yet";
        return found;
    }
    const CaState ca = judge_ca(found.ca.cert, found.ca.key, now_());
    if (!ca.unusable.empty()) return bad_ca(place("root.crt"), ca.unusable);
    const auto judged = [&](const Pair& pair) {
        return absent(pair) ? Judgement{Health::bad, "there is no certificate yet", {}, {}}
                            : judge(found.ca.cert, pair.cert, pair.key, sae, min_valid_days_, now_());
    };
    found.state = judged(found.client);
    const Judgement old = judged(found.before);
    // The same pair in both places is what a crash leaves before the new one was written.
    found.before_works = old.health != Health::bad && found.before.cert != found.client.cert;
    if (found.state.health == Health::bad && found.before_works) {
        found.put_back = true;
        found.state = old;
    }
    if (auto decided = decide(subject, ca.expires, found); !decided) return std::move(decided).error();
    return found;
}

bool X509Certs::waits_for_window(std::chrono::sys_seconds expires) const {
    const auto now = now_();
    return in_window_only_ && !in_window(now) && expires > window_closes(now);
}

/// Sets `renew`, `note` or `warning`; an error when the certificate cannot be used and cannot be made here.
Result<void> X509Certs::decide(const CertSubject& subject, std::chrono::sys_seconds ca_expires, Findings& found) const {
    const Judgement& state = found.state;
    const bool bad = state.health == Health::bad;
    const bool forced = !bad && subject.renew_made_before && state.made < *subject.renew_made_before;
    if (state.health == Health::good && !forced) return {};
    if (!bad && !forced && waits_for_window(state.expires)) {
        found.note = subject.sae + ": " + state.why + "; renewed in the next window (when = \"window\")";
        return {};
    }
    const bool can_sign = !found.ca.key.empty() || (source_ == Source::fetch && server_.has_key());
    const bool lasts = ca_expires > now_() + std::chrono::days{min_valid_days_};
    if (bad && !can_sign) {
        return Error{ErrorCode::config, Retry::never, place(subject.sae + ".crt") + ": " + state.why,
                     "put a good certificate and key there, or root.key so that they can be made here"};
    }
    const std::string why = state.why.empty() ? "a new one was asked for" : state.why;
    if (!can_sign || (!bad && !forced && !lasts)) {
        found.warning = subject.sae + ": " + why + ", and " +
                        (can_sign ? "the CA itself expires soon" : "root.key is not here to renew it");
        return {};
    }
    found.renew = why;
    if (!lasts) found.warning = "the CA itself expires soon: put a new one there and let every KME trust it";
    return {};
}

Result<void> X509Certs::get_ca(Context& context, Findings& found) const {
    if (source_ == Source::generate) {
        Wish wish = ca_wish_;
        wish.made = now_();
        auto ca = make_ca(context, wish);
        if (!ca) return std::move(ca).error();
        found.ca = std::move(ca).value();
        // The key first: a certificate without its key would pass for a provided CA.
        auto written = write_files(folder_, {{"root.key", found.ca.key.reveal_text(), private_mode},
                                             {"root.crt", found.ca.cert, public_mode}});
        if (!written) return written;
        context.log(LogLevel::notice, "made the CA " + place("root.crt") + "; the KMEs must trust it");
        return {};
    }
    auto fetched = server_.fetch(context, false);
    if (!fetched) return std::move(fetched).error();
    const CaState ca = judge_ca(fetched->cert, {}, now_());
    if (!ca.unusable.empty()) return bad_ca(server_.cert_place(), ca.unusable);
    found.ca = {std::move(fetched->cert), {}};
    if (auto written = write_files(folder_, {{"root.crt", found.ca.cert, public_mode}}); !written) return written;
    context.log(LogLevel::notice, "fetched the CA " + place("root.crt") + " from " + server_.cert_place());
    return {};
}

/// The device's own pair where it is good: then there is no need for another. Empty when it is not.
Result<Pair> X509Certs::from_device(Context& context, const std::string& sae, const Findings& found,
                                    FileAccess& device) const {
    const DeviceCopies there(device, device_directory_);
    auto cert = there.get(context, sae + ".crt");
    if (!cert || cert->empty()) return cert ? Result<Pair>(Pair{}) : std::move(cert).error();
    auto key = there.get(context, sae + ".key");
    if (!key) return std::move(key).error();
    Pair pair{std::string(cert->reveal_text()), std::move(key).value()};
    const auto judged = judge(found.ca.cert, pair.cert, pair.key, sae, min_valid_days_, now_());
    return judged.health == Health::good ? std::move(pair) : Pair{};
}

Result<Pair> X509Certs::sign(Context& context, const std::string& sae, Findings& found) const {
    Pair ca{found.ca.cert, found.ca.key.clone()};
    if (ca.key.empty()) {
        // The CA's key is never written down here.
        auto fetched = server_.fetch(context, true);
        if (!fetched) return std::move(fetched).error();
        ca.key = std::move(fetched->key);
        const CaState state = judge_ca(ca.cert, ca.key, now_());
        if (!state.unusable.empty()) {
            return Error{
                ErrorCode::conflict, Retry::never,
                "the CA of " + server_.cert_place() + " is not that of " + place("root.crt") + ": " + state.unusable,
                "to change the CA, let every KME trust the new one, then take root.crt away"};
        }
    }
    Wish wish = client_wish_;
    wish.name = sae;
    wish.made = now_();
    return issue(context, ca, wish);
}

Result<void> X509Certs::write_pair(const std::string& sae, const Pair& pair, const char* suffix) const {
    return write_files(folder_, {{sae + ".key" + suffix, pair.key.reveal_text(), private_mode},
                                 {sae + ".crt" + suffix, pair.cert, public_mode}});
}

Result<void> X509Certs::forget_before(const std::string& sae) const {
    auto done = remove_file(folder_ / (sae + ".key" + before));
    return done ? remove_file(folder_ / (sae + ".crt" + before)) : done;
}

Result<bool> X509Certs::make_local(Context& context, const CertSubject& subject, FileAccess* device,
                                   Findings& found) const {
    const std::string& sae = subject.sae;
    const auto look = [&]() -> Result<void> {
        auto inspected = inspect(subject);
        if (!inspected) return std::move(inspected).error();
        found = std::move(inspected).value();
        return {};
    };
    if (auto looked = look(); !looked) return std::move(looked).error();
    bool changed = !found.exposed.empty();
    for (const auto& name : found.exposed) {
        context.log(LogLevel::warning, place(name) + " was open to others; now it is not");
        if (auto done = make_private(folder_ / name); !done) return std::move(done).error();
    }
    if (found.make_ca) {
        if (auto got = get_ca(context, found); !got) return std::move(got).error();
        changed = true;
        if (auto looked = look(); !looked) return std::move(looked).error();
    }
    if (found.put_back) {
        context.log(LogLevel::warning, place(sae + ".crt") + " and its key were damaged; the pair before is back");
        if (auto written = write_pair(sae, found.before, ""); !written) return std::move(written).error();
        if (auto forgotten = forget_before(sae); !forgotten) return std::move(forgotten).error();
        changed = true;
        if (auto looked = look(); !looked) return std::move(looked).error();
    }
    if (absent(found.client) && device != nullptr) {
        auto theirs = from_device(context, sae, found, *device);
        if (!theirs) return std::move(theirs).error();
        if (!absent(*theirs)) {
            if (auto written = write_pair(sae, *theirs, ""); !written) return std::move(written).error();
            context.log(LogLevel::info, "took the certificate for " + sae + " from the device");
            changed = true;
            if (auto looked = look(); !looked) return std::move(looked).error();
        }
    }
    if (!found.warning.empty()) context.log(LogLevel::warning, found.warning);
    if (!found.note.empty()) context.log(LogLevel::info, found.note);
    if (!found.before_works && !absent(found.before)) {
        if (auto forgotten = forget_before(sae); !forgotten) return std::move(forgotten).error();
        found.before = {};
    }
    if (found.renew.empty()) return changed;

    const bool works = found.state.health != Health::bad;
    auto client = sign(context, sae, found);
    if (!client) {
        const bool stop = client.error().code == ErrorCode::cancelled;
        if (!works || stop) return std::move(client).error();
        context.log(LogLevel::warning, sae + ": " + found.renew + ", and it cannot be renewed: " + client.error().what);
        return changed;
    }
    if (works && !found.before_works) {
        if (auto kept = write_pair(sae, found.client, before); !kept) return std::move(kept).error();
        found.before = std::move(found.client);
        found.before_works = true;
    }
    found.client = std::move(client).value();
    if (auto written = write_pair(sae, found.client, ""); !written) return std::move(written).error();
    context.log(LogLevel::info, "made a certificate for " + sae + ": " + found.renew);
    return true;
}

FileAccess* X509Certs::device_files(DeviceSession& session) const {
    return upload_ ? session.files() : nullptr;
}

std::vector<Copy> X509Certs::copies(const std::string& sae, const Findings& found, bool on_trial) {
    std::vector<Copy> all{{"root.crt", found.ca.cert, public_mode}};
    if (on_trial) return all;  // the device keeps what is known to work
    all.push_back({sae + ".key", found.client.key.reveal_text(), private_mode});
    all.push_back({sae + ".crt", found.client.cert, public_mode});
    return all;
}

Result<Change> X509Certs::ensure(Context& context, const CertSubject& subject, DeviceSession& session) {
    if (auto good = check_sae(subject.sae); !good) return std::move(good).error();
    FileAccess* device = device_files(session);
    Findings found;
    bool changed = false;
    {
        auto lock = FolderLock::take(context, folder_);
        if (!lock) return std::move(lock).error();
        auto made = make_local(context, subject, device, found);
        if (!made) return std::move(made).error();
        changed = *made;
    }
    const bool on_trial = subject.provable && found.before_works;
    if (device != nullptr) {
        auto uploaded = DeviceCopies(*device, device_directory_).put(context, copies(subject.sae, found, on_trial));
        if (!uploaded) return std::move(uploaded).error();
        changed = changed || *uploaded;
    }
    if (on_trial) return Change::on_trial;
    return changed ? Change::changed : Change::unchanged;
}

Result<void> X509Certs::conclude(Context& context, const CertSubject& subject, DeviceSession& session, bool accepted) {
    const std::string& sae = subject.sae;
    if (auto good = check_sae(sae); !good) return good;
    Findings found;
    {
        auto lock = FolderLock::take(context, folder_);
        if (!lock) return std::move(lock).error();
        auto inspected = inspect({sae, subject.device, subject.provable, {}});
        if (!inspected) return std::move(inspected).error();
        found = std::move(inspected).value();
        if (!found.before_works || found.put_back) return {};  // concluded already, for another link
        if (!accepted) {
            if (auto written = write_pair(sae, found.before, ""); !written) return written;
        }
        if (auto forgotten = forget_before(sae); !forgotten) return forgotten;
    }
    if (!accepted) {
        context.log(LogLevel::warning, "the KME refused the new certificate of " + sae +
                                           ", so the one before is back: does the KME trust " + place("root.crt") +
                                           "?");
        return {};
    }
    context.log(LogLevel::info, "the KME accepted the new certificate of " + sae + "; the one before is gone");
    FileAccess* device = device_files(session);
    if (device == nullptr) return {};
    auto uploaded = DeviceCopies(*device, device_directory_).put(context, copies(sae, found, false));
    return uploaded ? Result<void>{} : std::move(uploaded).error();
}

Result<std::string> X509Certs::plan(Context& context, const CertSubject& subject, DeviceSession& session) {
    const std::string& sae = subject.sae;
    if (auto good = check_sae(sae); !good) return std::move(good).error();
    auto found = inspect(subject);
    if (!found) return std::move(found).error();
    FileAccess* device = device_files(session);
    std::string words;
    const auto say = [&words](const std::string& more) { words += (words.empty() ? "" : "; ") + more; };
    for (const auto& name : found->exposed) say("close " + place(name) + " to others");
    if (found->make_ca) {
        say(source_ == Source::fetch ? "fetch the CA " + place("root.crt") + " from " + server_.cert_place()
                                     : "make the CA " + place("root.crt"));
    }
    if (found->put_back) say("put the pair before " + place(sae + ".crt") + " back");
    if (absent(found->client) && !found->make_ca && device != nullptr) {
        auto theirs = from_device(context, sae, *found, *device);
        if (!theirs) return std::move(theirs).error();
        if (!absent(*theirs)) {
            say("take " + sae + ".crt and its key from the device");
            found->client = std::move(theirs).value();
            found->renew.clear();
        }
    }
    const bool on_trial =
        subject.provable && (found->before_works || (!found->renew.empty() && found->state.health != Health::bad));
    if (!found->renew.empty()) {
        say("make " + place(sae + ".crt") + " and its key (" + found->renew + ")" +
            (on_trial ? " and keep the old pair until the KME accepted the new one" : ""));
    } else if (on_trial) {
        say("try " + place(sae + ".crt") + " at the KME");
    }
    if (device != nullptr) {
        const DeviceCopies there(*device, device_directory_);
        std::string names;
        for (const Copy& copy : copies(sae, *found, on_trial)) {
            bool stays = copy.name == "root.crt" ? !found->make_ca : found->renew.empty();
            if (stays) {
                auto same = there.is_there(context, copy);
                if (!same) return std::move(same).error();
                stays = *same;
            }
            if (!stays) names += (names.empty() ? "" : ", ") + there.path(copy.name);
        }
        if (!names.empty()) say("upload " + names);
    }
    return words;
}

Result<void> X509Certs::probe(Context& context) {
    auto path = folder_;
    std::error_code ignored;
    while (!std::filesystem::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
    if (!std::filesystem::is_directory(path, ignored) || ::access(path.c_str(), W_OK | X_OK) != 0) {
        return Error{ErrorCode::config, Retry::never, path.string() + " is no directory that we may write",
                     "check `directory` of the certs stage, its owner and its permissions"};
    }
    auto cert = read_file(folder_ / "root.crt");
    auto key = read_file(folder_ / "root.key");
    if (!cert || !key) return !cert ? std::move(cert).error() : std::move(key).error();
    if (!*cert) {
        if (source_ == Source::fetch && !*key) {
            auto fetched = server_.fetch(context, server_.has_key());
            if (!fetched) return std::move(fetched).error();
            const CaState state = judge_ca(fetched->cert, fetched->key, now_());
            return state.unusable.empty() ? Result<void>{} : bad_ca(server_.cert_place(), state.unusable);
        }
        if (source_ == Source::generate && !*key) return {};
        return Error{ErrorCode::config, Retry::never, "there is no CA certificate " + place("root.crt"),
                     "put root.crt there, or use ca = \"generate\" with an empty directory"};
    }
    const CaState state = judge_ca(text_of(*cert), *key ? (*key)->bytes.clone() : SecretBytes(), now_());
    return state.unusable.empty() ? Result<void>{} : bad_ca(place("root.crt"), state.unusable);
}

}  // namespace qkd::certs
