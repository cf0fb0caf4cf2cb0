#include "cli/ecosystem_files.hpp"

#include "cli/capture.hpp"
#include "cli/paths.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

namespace cluster::cli {
namespace {

using ipc::Ecosystem;
using ipc::Format;
using ipc::Result;
using nlohmann::json;

constexpr int kAnswerFd = 3;
constexpr std::size_t kMaxBytes =
    std::size_t{16} * 1024 * 1024; // parse_ecosystem says what is too large

/// What node runs. The answer goes to a descriptor of its own, since a configuration may print.
/// Exits at once, so that a timer or connection that the configuration left open does not hold us.
constexpr const char* kEvaluate = R"js(
const fs = require('fs'), url = require('url');
const file = fs.realpathSync(process.argv[1]);
function answer(value) {
  let data = Buffer.from(JSON.stringify(value));
  while (data.length > 0) data = data.subarray(fs.writeSync(3, data));
  process.exit(0);
}
function place_in(text) {
  const names = [file, url.pathToFileURL(file).href].map(
    (name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return text.match(new RegExp('(?:' + names.join('|') + '):(\\d+)(?::(\\d+))?'));
}
function fault(error) {
  let place = place_in(String((error && error.stack) || ''));
  if (!place && error instanceof SyntaxError) {  // of a module: node tells the place on stderr only
    const {spawnSync} = require('child_process');
    place = place_in(spawnSync(process.execPath, ['--check', file], {encoding: 'utf8'}).stderr || '');
  }
  const text = error instanceof Error ? error.name + ': ' + error.message : 'thrown: ' + String(error);
  answer({fault: text.split('\n')[0], line: place ? +place[1] : 0,
          column: place && place[2] ? +place[2] : 0});
}
async function load() {
  if (!file.endsWith('.mjs')) {
    try {
      return require(file);
    } catch (error) {
      if (!error || error.code !== 'ERR_REQUIRE_ESM') throw error;
    }
  }
  return import(url.pathToFileURL(file).href);
}
process.on('uncaughtException', fault);
load().then((module) => {
  const esm = module && (module.__esModule || module[Symbol.toStringTag] === 'Module');
  const value = esm ? module.default : module;
  const text = typeof value === 'function' ? undefined : JSON.stringify(value);
  answer(text === undefined ? {kind: esm && value === undefined ? 'nothing by default' : 'a ' + typeof value}
                            : {config: text});
}).catch(fault);
)js";

bool ends_with_one_of(std::string_view name, std::initializer_list<std::string_view> endings)
{
    return std::ranges::any_of(endings,
                               [&](std::string_view ending) { return name.ends_with(ending); });
}

Ecosystem failure(const std::string& file, std::string message, std::size_t line = 0,
                  std::size_t column = 0)
{
    Ecosystem out;
    out.diagnostics.push_back(
        {.file = file, .message = std::move(message), .line = line, .column = column});
    return out;
}

Result<std::string> read_to_end(ipc::System& system, int fd)
{
    std::string text;
    std::array<char, 65536> chunk;
    while (text.size() <= kMaxBytes) {
        const auto size = system.read(fd, chunk.data(), chunk.size());
        if (!size) return std::unexpected(size.error());
        if (*size == 0) break;
        text.append(chunk.data(), *size);
    }
    return text;
}

Result<std::string> read_regular_file(ipc::System& system, const std::string& path)
{
    // O_NONBLOCK: opening a named pipe would wait for a writer.
    const auto file = system.open(path, O_RDONLY | O_NONBLOCK, 0);
    if (!file) return std::unexpected(file.error());
    const auto status = system.fstat(file->get());
    if (!status) return std::unexpected(status.error());
    if (S_ISDIR(status->st_mode)) return ipc::fail(EISDIR, "read " + path);
    return read_to_end(system, file->get());
}

/// What the evaluation answered, as the configuration or a fault.
Ecosystem from_answer(const std::string& answer, const std::string& file,
                      const std::string& env_name)
{
    const json value = json::parse(answer, nullptr, false);
    if (!value.is_object())
        return failure(file, "node ended before the configuration was evaluated");
    if (value.contains("fault"))
        return failure(file, value.value("fault", ""), value.value("line", std::size_t{0}),
                       value.value("column", std::size_t{0}));
    if (value.contains("kind"))
        return failure(file, fmt::format("must export an object or an array, got {}",
                                         value.value("kind", "")));
    return ipc::parse_ecosystem(value.value("config", ""), Format::json, file, env_name);
}

Ecosystem evaluate(const std::string& path, const std::string& file, const std::string& env_name,
                   FileContext& context)
{
    const auto node = find_in_path("node", context.environment, context.cwd);
    if (!node)
        return failure(file, "a JavaScript configuration needs node, which is not in PATH; "
                             "install it or use JSON or YAML");
    const CaptureRequest request{.program = *node,
                                 .args = {"-e", kEvaluate, path},
                                 .environment = context.environment,
                                 .cwd = context.cwd,
                                 .fd = kAnswerFd};
    const auto captured = capture(context.system, context.clock, request);
    if (!captured) return failure(file, captured.error().text());
    if (!captured->status)
        return failure(file, fmt::format("node did not finish evaluating it within {} s",
                                         request.limit.count() / 1000));
    return from_answer(captured->output, file, env_name);
}

Ecosystem load(const std::string& path, const std::string& env_name, FileContext& context)
{
    if (path == "-") {
        const auto text = read_to_end(context.system, context.stdin_fd);
        if (!text) return failure("stdin", text.error().text());
        return ipc::parse_ecosystem(*text, Format::json, "stdin", env_name);
    }
    const std::string absolute = absolute_path(path, context.cwd, context.environment);
    const auto text = read_regular_file(context.system, absolute);
    if (!text)
        return failure(path, "cannot read the file: " + ipc::errno_text(text.error().code.value()));
    if (ends_with_one_of(path, {".js", ".cjs", ".mjs"}))
        return evaluate(absolute, path, env_name, context);
    const bool yaml = ends_with_one_of(path, {".yaml", ".yml"});
    return ipc::parse_ecosystem(*text, yaml ? Format::yaml : Format::json, path, env_name);
}

} // namespace

bool is_ecosystem_file(std::string_view name)
{
    return name == "-" || ends_with_one_of(name, {".json", ".yaml", ".yml", ".config.js",
                                                  ".config.cjs", ".config.mjs"});
}

Ecosystem load_ecosystem(const std::string& path, const std::string& env_name, FileContext& context)
{
    try {
        return load(path, env_name, context);
    } catch (const std::exception& e) { // an answer of node that is not ours, out of memory
        return failure(path, e.what());
    }
}

} // namespace cluster::cli
