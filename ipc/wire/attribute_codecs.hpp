// How each type of attribute is read from JSON and written back. A codec is a struct with a type,
// `read` into the member's type and `write` from it; `via` ties one to a member of AppSpec or Draft
// at compile time, so that the table costs nothing at start-up.
#pragma once

#include "ipc/wire/attribute_table.hpp"

#include <nlohmann/json.hpp>

namespace cluster::ipc {

struct Text {
    static constexpr Type type = Type::text;
    static Verdict read(const nlohmann::json& value, std::string& into, const Attribute&);
    static nlohmann::json write(const std::string& value) { return value; }
};

/// A file name; PM2's "NULL" is /dev/null.
struct LogPath : Text {
    static Verdict read(const nlohmann::json& value, std::string& into, const Attribute&);
};

/// A name of an app or namespace: it becomes part of file names and of lines of output.
struct Name : Text {
    static constexpr Type type = Type::name;
    static Verdict read(const nlohmann::json& value, std::string& into, const Attribute&);
};

/// A name of an environment variable, "" for none.
struct Variable : Text {
    static constexpr Type type = Type::variable;
    static Verdict read(const nlohmann::json& value, std::string& into, const Attribute&);
};

struct Words {
    static constexpr Type type = Type::words;
    static Verdict read(const nlohmann::json& value, std::vector<std::string>& into,
                        const Attribute&);
    static nlohmann::json write(const std::vector<std::string>& value) { return value; }
};

struct TextList {
    static constexpr Type type = Type::text_list;
    static Verdict read(const nlohmann::json& value, std::vector<std::string>& into,
                        const Attribute&);
    static nlohmann::json write(const std::vector<std::string>& value) { return value; }
};

struct Flag {
    static constexpr Type type = Type::flag;
    static Verdict read(const nlohmann::json& value, bool& into, const Attribute&);
    static Verdict read(const nlohmann::json& value, std::optional<bool>& into, const Attribute&);
    static nlohmann::json write(bool value) { return value; }
    static nlohmann::json write(const std::optional<bool>& value);
};

struct Whole {
    static constexpr Type type = Type::whole;
    static Verdict read(const nlohmann::json& value, int& into, const Attribute&);
    static Verdict read(const nlohmann::json& value, std::optional<int>& into, const Attribute&);
    static Verdict read(const nlohmann::json& value, std::optional<std::uint64_t>& into,
                        const Attribute&);
    static nlohmann::json write(int value) { return value; }
    static nlohmann::json write(const std::optional<int>& value);
};

struct Duration {
    static constexpr Type type = Type::duration;
    static Verdict read(const nlohmann::json& value, milliseconds& into, const Attribute&);
    static Verdict read(const nlohmann::json& value, std::optional<milliseconds>& into,
                        const Attribute& attribute);
    static nlohmann::json write(milliseconds value) { return value.count(); }
    static nlohmann::json write(const std::optional<milliseconds>& value);
};

struct Memory {
    static constexpr Type type = Type::memory;
    static Verdict read(const nlohmann::json& value, std::uint64_t& into, const Attribute&);
    static nlohmann::json write(std::uint64_t value) { return value; }
};

/// A cron pattern; "", 0 and "0" (PM2) for none.
struct Schedule {
    static constexpr Type type = Type::schedule;
    static Verdict read(const nlohmann::json& value, std::string& into, const Attribute&);
    static nlohmann::json write(const std::string& value) { return value; }
};

struct InstanceCount {
    static constexpr Type type = Type::instances;
    static Verdict read(const nlohmann::json& value, std::optional<Instances>& into,
                        const Attribute&);
    static nlohmann::json write(const std::optional<Instances>& value);
};

struct Signal {
    static constexpr Type type = Type::signal;
    static Verdict read(const nlohmann::json& value, int& into, const Attribute&);
    static nlohmann::json write(int value);
};

struct Umask {
    static constexpr Type type = Type::umask;
    static Verdict read(const nlohmann::json& value, std::optional<unsigned>& into,
                        const Attribute&);
    static nlohmann::json write(const std::optional<unsigned>& value);
};

inline constexpr std::int64_t kLastUserId = 4294967294; // the highest, -1, means "no change"

struct User : Text {
    static constexpr Type type = Type::user;
    static Verdict read(const nlohmann::json& value, std::string& into, const Attribute&);
};

struct Variables {
    static constexpr Type type = Type::environment;
    static Verdict read(const nlohmann::json& value, Environment& into, const Attribute&);
    static nlohmann::json write(const Environment& value) { return value; }
};

struct ExitCodes {
    static constexpr Type type = Type::exit_codes;
    static Verdict read(const nlohmann::json& value, std::vector<int>& into, const Attribute&);
    static nlohmann::json write(const std::vector<int>& value) { return value; }
};

struct Addresses {
    static constexpr Type type = Type::listen;
    static Verdict read(const nlohmann::json& value, std::vector<ListenAddress>& into,
                        const Attribute&);
    static nlohmann::json write(const std::vector<ListenAddress>& value);
};

/// Thousandths of a CPU: 0.5 and "50%" are 500.
struct Cpus {
    static constexpr Type type = Type::cpus;
    static Verdict read(const nlohmann::json& value, int& into, const Attribute&);
    static nlohmann::json write(int value) { return value / 1000.0; }
};

// The ones whose values may be objects (policy_codecs.cpp, probe_codec.cpp, limit_codecs.cpp,
// rotation_codec.cpp).

struct Rlimits {
    static constexpr Type type = Type::rlimits;
    static Verdict read(const nlohmann::json& value, std::map<std::string, Rlimit>& into,
                        const Attribute&);
    static nlohmann::json write(const std::map<std::string, Rlimit>& value);
};

struct BalanceMode {
    static constexpr Type type = Type::balance;
    static Verdict read(const nlohmann::json& value, Balance& into, const Attribute&);
    static nlohmann::json write(Balance value);
};

struct Dependencies {
    static constexpr Type type = Type::depends_on;
    static Verdict read(const nlohmann::json& value, std::map<std::string, Condition>& into,
                        const Attribute&);
    static nlohmann::json write(const std::map<std::string, Condition>& value);
};

/// They differ in their defaults, and in what only `health` has.
enum class ProbeUse { ready, health };
Verdict read_probe(const nlohmann::json& value, ProbeUse use, std::optional<Probe>& into);
nlohmann::json write_probe(const Probe& probe, ProbeUse use);

template <ProbeUse Use>
struct ProbeOf {
    static constexpr Type type = Use == ProbeUse::ready ? Type::ready_probe : Type::health_probe;
    static Verdict read(const nlohmann::json& value, std::optional<Probe>& into, const Attribute&)
    {
        return read_probe(value, Use, into);
    }
    static nlohmann::json write(const std::optional<Probe>& value)
    {
        return write_probe(*value, Use);
    }
};

struct ReloadRules {
    static constexpr Type type = Type::reload_policy;
    static Verdict read(const nlohmann::json& value, ReloadPolicy& into, const Attribute&);
    static nlohmann::json write(const ReloadPolicy& value);
};

struct LogRotationRule {
    static constexpr Type type = Type::rotation;
    static Verdict read(const nlohmann::json& value, Rotation& into, const Attribute&);
    static nlohmann::json write(const Rotation& value);
};

// Log lines (log_codecs.cpp).

/// A path, or true for the default one, which is "". False and NULL: none.
struct CombinedLog {
    static constexpr Type type = Type::log_file;
    static Verdict read(const nlohmann::json& value, std::optional<std::string>& into,
                        const Attribute&);
    static nlohmann::json write(const std::optional<std::string>& value);
};

struct DatePattern {
    static constexpr Type type = Type::date_format;
    static Verdict read(const nlohmann::json& value, std::string& into, const Attribute&);
    static nlohmann::json write(const std::string& value) { return value; }
};

struct LogKind {
    static constexpr Type type = Type::log_type;
    static Verdict read(const nlohmann::json& value, LogType& into, const Attribute&);
    static nlohmann::json write(LogType value);
};

struct FullPolicy {
    static constexpr Type type = Type::log_on_full;
    static Verdict read(const nlohmann::json& value, LogOnFull& into, const Attribute&);
    static nlohmann::json write(LogOnFull value);
};

/// Whole numbers as JavaScript means them: 3, 3.0 and "3".
std::optional<std::int64_t> whole_between(const nlohmann::json& value, std::int64_t min,
                                          std::int64_t max);

/// Milliseconds as such or as text with a unit: 500, "500", "5s".
std::optional<milliseconds> duration_between(const nlohmann::json& value, std::int64_t min,
                                             std::int64_t max);

// Two attributes fill two members each.
Verdict read_exec_mode(Draft& draft, const nlohmann::json& value, const Attribute&);
nlohmann::json write_exec_mode(const AppSpec& spec);
Verdict read_filter(Draft& draft, const nlohmann::json& value, const Attribute&);
nlohmann::json write_filter(const AppSpec& spec);

template <class Codec, auto AppSpec::* Member>
Verdict read_member(Draft& draft, const nlohmann::json& value, const Attribute& attribute)
{
    return Codec::read(value, draft.spec.*Member, attribute);
}

template <class Codec, auto Draft::* Member>
Verdict read_draft(Draft& draft, const nlohmann::json& value, const Attribute& attribute)
{
    return Codec::read(value, draft.*Member, attribute);
}

/// The specification that every default comes from.
const AppSpec& default_spec();

template <class Codec, auto AppSpec::* Member>
nlohmann::json write_member(const AppSpec& spec)
{
    if (spec.*Member == default_spec().*Member) return nullptr;
    return Codec::write(spec.*Member);
}

/// For what leaves its trace in other attributes.
nlohmann::json write_nothing(const AppSpec&);
Verdict read_nothing(Draft&, const nlohmann::json&, const Attribute&);

template <class Codec, auto AppSpec::* Member>
constexpr Access via{Codec::type, &read_member<Codec, Member>, &write_member<Codec, Member>};

template <class Codec, auto Draft::* Member>
constexpr Access shaping{Codec::type, &read_draft<Codec, Member>, &write_nothing};

constexpr Access kIgnored{Type::any, &read_nothing, &write_nothing};

} // namespace cluster::ipc
