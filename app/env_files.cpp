#include "app/env_files.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::streamsize kMaxBytes = 1 << 20;

struct EnvFile {
    std::string path;
    bool required;
};

/// A name that cannot lead out of the folder.
bool is_word(const std::string& text)
{
    return !text.empty() && std::ranges::all_of(text, [](unsigned char letter) {
        return std::isalnum(letter) != 0 || letter == '_' || letter == '-';
    });
}

/// Those to look for, the most special first.
std::vector<EnvFile> files_of(const Environment& real, const std::string& folder)
{
    std::vector<EnvFile> files;
    if (real.has("ENV_FILE")) files.push_back({real.text("ENV_FILE"), true});
    const std::string stage = real.text("NODE_ENV", real.text("APP_ENV"));
    if (is_word(stage)) files.push_back({folder + "/.env." + stage, false});
    files.push_back({folder + "/.env", false});
    return files;
}

/// Its text; errno in the error.
Result<std::string> read_text(const std::string& path)
{
    errno = 0;
    std::ifstream file{path, std::ios::binary};
    if (!file) return ipc::fail(errno, path);
    std::string text(kMaxBytes + 1, '\0');
    file.read(text.data(), kMaxBytes + 1);
    if (file.bad()) return ipc::fail(errno == 0 ? EIO : errno, path);
    if (file.gcount() > kMaxBytes) return ipc::fail(EFBIG, path);
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

} // namespace

Environment load_environment(const Variables& real, const std::string& folder)
{
    Variables merged = real;
    std::vector<std::string> faults;
    for (const EnvFile& file : files_of(Environment{real}, folder)) {
        const auto text = read_text(file.path);
        if (!text) {
            const bool missing = text.error().code == std::errc::no_such_file_or_directory;
            if (file.required || !missing) faults.push_back(text.error().text());
            continue;
        }
        auto variables = parse_dotenv(*text);
        if (!variables) {
            faults.push_back(file.path + ": " + variables.error().what);
            continue;
        }
        for (auto& [name, value] : *variables)
            if (merged[name].empty()) merged[name] = std::move(value); // empty counts as absent
    }
    Environment environment{std::move(merged)};
    for (std::string& fault : faults)
        environment.fault(std::move(fault));
    return environment;
}

} // namespace cluster::app
