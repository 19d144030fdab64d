// The configuration statements this device knows, their types and ranges. Anything else is refused.
#include "schema.hpp"

#include <algorithm>
#include <stdexcept>

#include "clock.hpp"
#include "secret9.hpp"
#include "util.hpp"

namespace qkd::junossim {

namespace {

// One statement a line, four spaces a level. After the name:
//   nothing container | ? container that stays when empty | ! flag | =TYPE leaf | +TYPE leaf-list | *TYPE list with that key | ~ before the sign: positional
// TYPE: str(min..max) int(min..max) hex(min..max) secret(min..max) one(a|b|..) start zone
// Ranges are those of Juniper's published YANG modules (junos-conf-*), where they say any.
constexpr std::string_view grammar = R"(
system
    host-name =str(1..255)
    domain-name =str(1..255)
    time-zone =zone
    root-authentication
        encrypted-password =str(1..128)
        ssh-ed25519 *str(1..1024)
        ssh-ecdsa *str(1..1024)
        ssh-rsa *str(1..2048)
    login
        message =str(1..2048)
        class *str(1..64)
            permissions +str(1..64)
            allow-commands =str(1..4096)
            deny-commands =str(1..4096)
            allow-configuration =str(1..4096)
            allow-configuration-regexps +str(1..4096)
            deny-configuration =str(1..4096)
        user *str(1..64)
            full-name =str(1..255)
            uid =int(100..64000)
            class =str(1..64)
            authentication
                encrypted-password =str(1..128)
                ssh-ed25519 *str(1..1024)
                ssh-ecdsa *str(1..1024)
                ssh-rsa *str(1..2048)
    services
        ssh ?
            root-login =one(allow|deny|deny-password)
            protocol-version +one(v2)
            connection-limit =int(1..250)
            rate-limit =int(1..250)
        netconf
            ssh ?
                port =int(1..65535)
                connection-limit =int(1..250)
                rate-limit =int(1..250)
            rfc-compliant !
            version-1.1 !
            traceoptions
                file
                    filename ~=str(1..1024)
                    size =str(1..16)
                    files =int(2..1000)
                flag *str(1..64)
    static-host-mapping *str(1..255)
        inet +str(1..64)
        inet6 +str(1..64)
        alias +str(1..255)
    name-server *str(1..64)
    ntp
        boot-server =str(1..255)
        server *str(1..255)
            version =int(1..4)
            prefer !
    scripts
        language =one(python|python3)
        op
            file *str(1..255)
                python-script-user =str(1..64)
interfaces
    interface ~*str(1..64)
        apply-macro *str(1..255)
            data ~*str(1..255)
                value ~=str(1..1024)
        description =str(1..900)
        disable !
        mtu =int(256..16000)
        unit *int(0..1073741823)
            description =str(1..900)
            family
                inet ?
                    address *str(1..64)
                inet6 ?
                    address *str(1..64)
                iso ?
protocols
    lldp
        disable !
        advertisement-interval =int(5..32768)
        hold-multiplier =int(2..10)
        transmit-delay =int(1..8192)
        port-id-subtype =one(interface-name|locally-assigned)
        port-description-type =one(interface-alias|interface-description)
        neighbour-port-info-display =one(port-description|port-id)
        management-address =str(1..64)
        interface *str(1..64)
            disable !
event-options
    generate-event *str(1..255)
        time-interval =int(60..2592000)
        start-time =str(1..64)
        time-of-day =str(1..64)
        no-drift !
    policy *str(1..255)
        events +str(1..255)
        then
            event-script *str(1..255)
    event-script
        file *str(1..255)
            python-script-user =str(1..64)
            source =str(1..1024)
        traceoptions
            file
                filename ~=str(1..1024)
                size =str(1..16)
                files =int(2..1000)
            flag *str(1..64)
    traceoptions
        file
            filename ~=str(1..1024)
            size =str(1..16)
            files =int(2..1000)
        flag *str(1..64)
security
    authentication-key-chains
        key-chain *str(1..128)
            description =str(1..255)
            tolerance =int(0..4294967295)
            key *int(0..63)
                key-name =hex(2..64)
                secret =secret(1..64)
                start-time =start
                algorithm =one(md5|hmac-sha-1|ao)
    macsec
        connectivity-association *str(1..32)
            cipher-suite =one(gcm-aes-128|gcm-aes-256|gcm-aes-xpn-128|gcm-aes-xpn-256)
            security-mode =one(dynamic|static-cak)
            pre-shared-key
                ckn =hex(2..64)
                cak =secret(1..64)
            fallback-key
                ckn =hex(2..64)
                cak =secret(1..64)
            pre-shared-key-chain =str(1..128)
            disable-preceding-key !
            exclude-protocol *one(cdp|lldp|lacp)
            include-sci !
            no-encryption !
            offset =one(0|30|50)
            replay-protect ?
                replay-window-size =int(0..65535)
            mka
                transmit-interval =int(2000..6000)
                sak-rekey-interval =int(60..86400)
                key-server-priority =int(0..255)
                must-secure !
                should-secure !
                bounded-delay !
        interfaces *str(1..64)
            apply-macro *str(1..255)
                data ~*str(1..255)
                    value ~=str(1..1024)
            connectivity-association =str(1..32)
            traceoptions
                file
                    filename ~=str(1..1024)
                    size =str(1..16)
                    files =int(2..1000)
                flag *str(1..64)
        traceoptions
            file
                filename ~=str(1..1024)
                size =str(1..16)
                files =int(2..1000)
            flag *str(1..64)
)";

Type parse_type(std::string_view text) {
    Type type;
    const auto open = text.find('(');
    const std::string_view name = text.substr(0, open);
    const std::string_view inside = open == std::string_view::npos ? "" : text.substr(open + 1, text.size() - open - 2);
    if (name == "one") {
        type.form = Type::Form::choice;
        type.choices = split(inside, '|');
        return type;
    }
    if (name == "start")
        type.form = Type::Form::start_time;
    else if (name == "zone")
        type.form = Type::Form::zone;
    else if (name == "int")
        type.form = Type::Form::integer;
    else if (name == "hex")
        type.form = Type::Form::hex_even;
    else if (name == "secret")
        type.form = Type::Form::secret;
    else if (name != "str")
        throw std::logic_error("schema: type " + std::string(name));
    if (const auto dots = inside.find(".."); dots != std::string_view::npos) {
        type.min = to_int(inside.substr(0, dots)).value();
        type.max = to_int(inside.substr(dots + 2)).value();
    }
    return type;
}

Schema parse_statement(std::string_view line) {
    Schema statement;
    const auto space = line.find(' ');
    statement.name = line.substr(0, space);
    if (space == std::string_view::npos) return statement;
    std::string_view rest = line.substr(space + 1);
    if (rest.starts_with('~')) {
        statement.positional = true;
        rest.remove_prefix(1);
    }
    switch (rest.front()) {
        case '!': statement.kind = Kind::flag; return statement;
        case '?': statement.presence = true; return statement;
        case '=': statement.kind = Kind::leaf; break;
        case '+': statement.kind = Kind::leaf_list; break;
        case '*': statement.kind = Kind::list; break;
        default: throw std::logic_error("schema: " + std::string(line));
    }
    statement.type = parse_type(rest.substr(1));
    return statement;
}

Schema parse_grammar() {
    Schema root{.name = "configuration",
                .kind = Kind::container,
                .type = {},
                .positional = false,
                .presence = false,
                .children = {}};
    for (const auto& line : split(grammar, '\n')) {
        const auto start = line.find_first_not_of(' ');
        if (start == std::string::npos) continue;
        Schema* parent = &root;
        for (std::size_t level = 0; level < start / 4; ++level) parent = &parent->children.back();
        parent->children.push_back(parse_statement(std::string_view(line).substr(start)));
    }
    return root;
}

std::string not_in_range(const std::string& what, long long is, const Type& type) {
    return what + " " + std::to_string(is) + " is not within range (" + std::to_string(type.min) + ".." +
           std::to_string(type.max) + ")";
}

}  // namespace

const Schema* Schema::find(std::string_view wanted) const {
    for (const auto& c : children) {
        if (c.name == wanted) return &c;
    }
    return nullptr;
}

const Schema* Schema::positional_child() const {
    for (const auto& c : children) {
        if (c.positional) return &c;
    }
    return nullptr;
}

const Schema& schema() {
    static const Schema root = parse_grammar();
    return root;
}

Checked check_value(const Schema& statement, const std::string& value, const std::string& zone) {
    const Type& type = statement.type;
    const auto length = static_cast<long>(value.size());
    const auto refuse = [](std::string why) { return Checked{"", std::move(why)}; };
    switch (type.form) {
        case Type::Form::integer: {
            const auto number = to_int(value);
            if (!number) return refuse("Invalid numeric value: '" + value + "'");
            if (*number < type.min || *number > type.max) return refuse(not_in_range("Value", *number, type));
            return {std::to_string(*number), ""};
        }
        case Type::Form::choice:
            if (std::find(type.choices.begin(), type.choices.end(), value) == type.choices.end()) {
                return refuse("invalid value '" + value + "'");
            }
            return {value, ""};
        case Type::Form::hex_even:
            if (length < type.min || length > type.max) return refuse(not_in_range("Length", length, type));
            if (!is_hex(value) || length % 2 != 0) return refuse("key format must be an even number of hex digits");
            return {value, ""};
        case Type::Form::secret: {
            std::string clear = value;
            if (value.starts_with("$9$")) {
                const auto decoded = decode9(value);
                if (!decoded) return refuse("invalid encrypted string");
                clear = *decoded;
            }
            const auto n = static_cast<long>(clear.size());
            if (n < type.min || n > type.max) return refuse(not_in_range("Length", n, type));
            if (std::any_of(clear.begin(), clear.end(), [](char c) { return c < 0x20 || c > 0x7e; })) {
                return refuse("invalid character in secret");
            }
            return {clear, ""};
        }
        case Type::Form::start_time: {
            const auto start = parse_start_time(value, zone);
            if (!start) return refuse("Invalid date and time: '" + value + "'");
            return {start->text, ""};
        }
        case Type::Form::zone:
            if (!zone_known(value)) return refuse("Unknown time-zone: '" + value + "'");
            return {value, ""};
        case Type::Form::string: break;
    }
    if (length < type.min || length > type.max) return refuse(not_in_range("Length", length, type));
    if (std::any_of(value.begin(), value.end(), [](unsigned char c) { return c < 0x20; })) {
        return refuse("invalid character in value");
    }
    return {value, ""};
}

}  // namespace qkd::junossim
