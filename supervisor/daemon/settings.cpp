#include "supervisor/daemon/settings.hpp"

#include "ipc/base/text.hpp"
#include "ipc/wire/address.hpp"
#include "ipc/wire/units.hpp"
#include "supervisor/daemon/store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;

std::string put_listen(Settings& into, const std::string& value)
{
    const auto address = ipc::check_address(value);
    if (!address || address->starts_with("unix:"))
        return "a port, or \"ADDRESS:PORT\" with an IPv4 or [IPv6] address";
    // A port alone: whoever wants the whole network to read it says so.
    into.metrics.listen = address->contains(':') ? *address : "127.0.0.1:" + *address;
    return {};
}

std::string put_token(Settings& into, const std::string& value)
{
    const auto visible = [](char c) { return c > ' ' && c < 127; };
    if (value.empty() || value.size() > 512 || !std::ranges::all_of(value, visible))
        return "1 to 512 visible ASCII characters without blanks";
    into.metrics.token = value;
    return {};
}

template <std::string MetricsSettings::* Member>
std::string put_path(Settings& into, const std::string& value)
{
    if (!value.starts_with('/')) return "the absolute path of a PEM file";
    into.metrics.*Member = value;
    return {};
}

std::string put_max_total(Settings& into, const std::string& value)
{
    const auto bytes = ipc::parse_bytes(value);
    if (!bytes) return "bytes, such as \"10G\", or 0 for no limit";
    into.logs_max_total = *bytes;
    return {};
}

/// "metrics.listen" → its value, of every member at whatever depth. What is neither text nor a
/// number comes as JSON.
void flatten(const json& value, const std::string& name, std::map<std::string, std::string>& into)
{
    if (value.is_object()) {
        for (const auto& [key, member] : value.items())
            flatten(member, name.empty() ? key : name + '.' + key, into);
        return;
    }
    into[name] = value.is_string() ? value.get<std::string>() : ipc::dump(value);
}

json::json_pointer pointer_to(const std::string& name)
{
    json::json_pointer at;
    std::string_view rest = name;
    for (auto word = ipc::next_word(rest, "."); !word.empty(); word = ipc::next_word(rest, "."))
        at.push_back(std::string{word});
    return at;
}

std::string known_names()
{
    std::string names;
    for (const SettingKey& key : setting_keys())
        names += (names.empty() ? "" : ", ") + std::string{key.name};
    return names;
}

ipc::Error refusal(std::string text)
{
    return {.code = std::make_error_code(std::errc::invalid_argument), .what = std::move(text)};
}

void check_pairs(ReadSettings& read, const std::string& path)
{
    MetricsSettings& metrics = read.settings.metrics;
    if (metrics.tls_cert.empty() == metrics.tls_key.empty()) return;
    // In the clear is not what somebody wanted who names a certificate.
    metrics.listen.clear();
    read.faults.push_back(path + ": metrics.tls_cert and metrics.tls_key belong together; set both "
                                 "or none, nobody listens until then");
}

} // namespace

const std::vector<SettingKey>& setting_keys()
{
    static const std::vector<SettingKey> keys{
        {"metrics.listen", "CLUSTER_METRICS_LISTEN", "",
         "address that serves figures to Prometheus; a port alone means 127.0.0.1", false,
         &put_listen},
        {"metrics.token", "CLUSTER_METRICS_TOKEN", "", "what a scraper has to send as bearer token",
         true, &put_token},
        {"metrics.tls_cert", "CLUSTER_METRICS_TLS_CERT", "", "PEM file with the certificate chain",
         false, &put_path<&MetricsSettings::tls_cert>},
        {"metrics.tls_key", "CLUSTER_METRICS_TLS_KEY", "", "PEM file with its private key", false,
         &put_path<&MetricsSettings::tls_key>},
        {"logs.max_total", "CLUSTER_LOGS_MAX_TOTAL", "10G",
         "bytes that all logs may take together, by default no more than a tenth of the disk; 0 is "
         "no limit",
         false, &put_max_total},
    };
    return keys;
}

const SettingKey* find_setting(std::string_view name)
{
    const auto found = std::ranges::find(setting_keys(), name, &SettingKey::name);
    return found == setting_keys().end() ? nullptr : &*found;
}

ReadSettings read_settings(std::string_view text, const std::string& path,
                           const Variables& variables)
{
    ReadSettings read;
    const json document = text.empty() ? json::object() : json::parse(text, nullptr, false);
    std::map<std::string, std::string> values;
    if (document.is_object())
        flatten(document, "", values);
    else
        read.faults.push_back(path + " is no JSON object; the defaults hold");
    for (const auto& [name, value] : values)
        if (!find_setting(name))
            read.faults.push_back(
                fmt::format("{}: there is no setting {}; known are {}", path, name, known_names()));
    for (const SettingKey& key : setting_keys()) {
        const char* variable = variables(std::string{key.variable}.c_str());
        const bool overridden = variable && *variable != '\0';
        const auto found = values.find(std::string{key.name});
        if (!overridden && found == values.end()) continue;
        const std::string value = overridden ? variable : found->second;
        const std::string fault = key.put(read.settings, value);
        if (fault.empty()) continue;
        read.faults.push_back(fmt::format("{} must be {}, got {}",
                                          overridden ? std::string{key.variable}
                                                     : path + ": " + std::string{key.name},
                                          fault, key.secret ? "something else" : ipc::dump(value)));
    }
    check_pairs(read, path);
    return read;
}

SettingsFile::SettingsFile(ipc::System& system, std::string path, Variables variables)
    : system_{system}, path_{std::move(path)}, variables_{std::move(variables)}
{
    read();
}

void SettingsFile::read()
{
    auto text = system_.read_file(path_);
    const bool missing = !text && text.error().code == std::errc::no_such_file_or_directory;
    text_ = std::move(text).value_or("");
    read_ = read_settings(text_, path_, variables_);
    if (!text && !missing) read_.faults.push_back(text.error().text() + "; the defaults hold");
}

std::map<std::string, std::string> SettingsFile::values() const
{
    std::map<std::string, std::string> values;
    const json document = json::parse(text_, nullptr, false);
    if (document.is_object()) flatten(document, "", values);
    return values;
}

std::string SettingsFile::from_environment(const SettingKey& key) const
{
    const char* variable = variables_(std::string{key.variable}.c_str());
    return variable ? variable : "";
}

ipc::Result<void> SettingsFile::set(const std::string& name, const std::string& value)
{
    const SettingKey* key = find_setting(name);
    if (!key)
        return std::unexpected(
            refusal(fmt::format("there is no setting {}; known are {}", name, known_names())));
    Settings ignored;
    if (const std::string fault = key->put(ignored, value); !fault.empty())
        return std::unexpected(
            refusal(fmt::format("{} must be {}, got {}", name, fault, ipc::dump(value))));
    read(); // it may have been edited by hand
    json document = text_.empty() ? json::object() : json::parse(text_, nullptr, false);
    if (!document.is_object())
        return std::unexpected(refusal(path_ + " is no JSON object: repair or remove it first"));
    try {
        document[pointer_to(name)] = value;
    } catch (const json::exception&) {
        return std::unexpected(
            refusal(fmt::format("{}: {} has no place there: repair it first", path_, name)));
    }
    return write(document);
}

ipc::Result<bool> SettingsFile::unset(const std::string& name)
{
    read();
    if (name == "all") {
        const bool any = !text_.empty();
        if (auto written = write(json::object()); !written) return std::unexpected(written.error());
        return any;
    }
    json document = json::parse(text_, nullptr, false);
    const auto at = pointer_to(name);
    if (!document.is_object() || at.empty() || !document.contains(at)) return false;
    document[at.parent_pointer()].erase(at.back());
    if (!at.parent_pointer().empty() && document[at.parent_pointer()].empty())
        document[at.parent_pointer().parent_pointer()].erase(at.parent_pointer().back());
    if (auto written = write(document); !written) return std::unexpected(written.error());
    return true;
}

ipc::Result<void> SettingsFile::write(const json& document)
{
    const std::string text = document.dump(4, ' ', false, json::error_handler_t::replace) + '\n';
    if (auto written = replace_file(system_, path_, text); !written) return written;
    const Settings before = now();
    read();
    if (changed_ && now() != before) changed_(now());
    return {};
}

} // namespace cluster::supervisor
