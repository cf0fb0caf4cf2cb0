#include "app/base/trouble.hpp"

#include <utility>

namespace cluster::app {
namespace {

class Category final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "clusterapp"; }
    [[nodiscard]] std::string message(int value) const override
    {
        switch (static_cast<Trouble>(value)) {
        case Trouble::unavailable:
            return "not available";
        case Trouble::unknown_outcome:
            return "connection lost, the outcome is unknown";
        case Trouble::overloaded:
            return "too much to do";
        case Trouble::conflict:
            return "conflict";
        case Trouble::refused:
            return "refused";
        }
        return "unknown trouble";
    }
};

const Category kCategory;

} // namespace

std::error_code make_error_code(Trouble trouble)
{
    return {static_cast<int>(trouble), kCategory};
}

std::unexpected<ipc::Error> trouble(Trouble kind, std::string what)
{
    return ipc::fail(make_error_code(kind), std::move(what));
}

Trouble kind_of(const ipc::Error& error)
{
    if (&error.code.category() != &kCategory) return Trouble::refused;
    return static_cast<Trouble>(error.code.value());
}

} // namespace cluster::app
