// What is set for the daemon as a whole: $CLUSTER_HOME/settings.json, and variables of the daemon's
// environment, which win. A setting that is faulty has its default: the daemon runs, and says what
// is wrong.
//
//   {"metrics": {"listen": "127.0.0.1:9209", "token": "…"}, "logs": {"max_total": "10G"}}
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/wire/rpc.hpp"

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

struct MetricsSettings {
    std::string listen;            ///< "127.0.0.1:9209"; "" nobody listens
    std::string token;             ///< what a scraper has to know; "" nothing
    std::string tls_cert, tls_key; ///< paths of PEM files, both or none
    bool operator==(const MetricsSettings&) const = default;
};

struct Settings {
    MetricsSettings metrics;
    std::optional<std::uint64_t> logs_max_total; ///< bytes; 0 no limit; see LogRotation::set_cap
    bool operator==(const Settings&) const = default;
};

/// What can be set, by the names that users know: "metrics.listen".
struct SettingKey {
    std::string_view name;
    std::string_view variable; ///< of the environment
    std::string_view fallback; ///< its default as text
    std::string_view brief;
    bool secret = false;
    /// Says what would be right, to stand behind "must be", when `value` is not.
    std::string (*put)(Settings& into, const std::string& value);
};
[[nodiscard]] const std::vector<SettingKey>& setting_keys();
/// Null for a stranger.
[[nodiscard]] const SettingKey* find_setting(std::string_view name);

struct ReadSettings {
    Settings settings;
    std::vector<std::string> faults; ///< sentences
};
using Variables = std::function<const char*(const char* name)>;
/// `text` of the file; "" there is none.
[[nodiscard]] ReadSettings read_settings(std::string_view text, const std::string& path,
                                         const Variables& variables);

/// Where the file stands and what it says now.
class SettingsFile {
public:
    SettingsFile(ipc::System& system, std::string path, Variables variables);

    [[nodiscard]] const Settings& now() const { return read_.settings; }
    [[nodiscard]] const std::vector<std::string>& faults() const { return read_.faults; }
    [[nodiscard]] const std::string& path() const { return path_; }
    /// Name to value as the file has them, what nobody knows included.
    [[nodiscard]] std::map<std::string, std::string> values() const;
    /// The value that the environment has for it; "" none.
    [[nodiscard]] std::string from_environment(const SettingKey& key) const;

    /// Writes the file, and then it holds. Errors: what would be right, or why it is not written.
    ipc::Result<void> set(const std::string& name, const std::string& value);
    /// "all": everything. False when it was not set.
    ipc::Result<bool> unset(const std::string& name);

    /// Called when other settings hold.
    void on_change(std::function<void(const Settings&)> call) { changed_ = std::move(call); }

private:
    ipc::Result<void> write(const ipc::json& document);
    void read();

    ipc::System& system_;
    std::string path_;
    Variables variables_;
    std::string text_;
    ReadSettings read_;
    std::function<void(const Settings&)> changed_;
};

} // namespace cluster::supervisor
