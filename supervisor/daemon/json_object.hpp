// JSON text written piece by piece, without a tree of values in between: for lists of thousands of
// rows, and for what is written at every transition.
#pragma once

#include "ipc/wire/rpc.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace cluster::supervisor {

using ipc::append_json;

/// Writes the members of one object: commas are its business.
class Object {
public:
    explicit Object(std::string& out) : out_{out} { out_ += '{'; }
    ~Object() { out_ += '}'; }
    Object(const Object&) = delete;
    Object& operator=(const Object&) = delete;

    std::string& key(std::string_view name)
    {
        if (!std::exchange(first_, false)) out_ += ',';
        append_json(out_, name);
        out_ += ':';
        return out_;
    }
    void text(std::string_view name, std::string_view value) { append_json(key(name), value); }
    void flag(std::string_view name, bool value) { key(name) += value ? "true" : "false"; }
    void raw(std::string_view name, std::string_view value) { key(name) += value; }
    template <class Number>
    void number(std::string_view name, Number value)
    {
        fmt::format_to(std::back_inserter(key(name)), "{}", value);
    }
    void value(std::string_view name, const ipc::json& any) { key(name) += ipc::dump(any); }

private:
    std::string& out_;
    bool first_ = true;
};

} // namespace cluster::supervisor
