#include "app/accounts/email.hpp"

#include <algorithm>

namespace cluster::app {
namespace {

bool is_label(std::string_view label)
{
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
               static_cast<unsigned char>(c) >= 0x80U;
    };
    return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
           std::ranges::all_of(label, allowed);
}

bool is_domain(std::string_view domain)
{
    int labels = 0;
    while (true) {
        const std::size_t dot = domain.find('.');
        if (!is_label(domain.substr(0, dot))) return false;
        ++labels;
        if (dot == std::string_view::npos) return labels > 1;
        domain.remove_prefix(dot + 1);
    }
}

bool is_local(std::string_view local)
{
    constexpr std::string_view kMarks = ".!#$%&'*+/=?^_`{|}~-";
    const auto allowed = [kMarks](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || kMarks.contains(c) ||
               static_cast<unsigned char>(c) >= 0x80U;
    };
    return !local.empty() && local.size() <= 64 && local.front() != '.' && local.back() != '.' &&
           !local.contains("..") && std::ranges::all_of(local, allowed);
}

} // namespace

std::optional<std::string> normal_email(std::string_view text)
{
    constexpr std::string_view kBlanks = " \t\r\n";
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    text = text.substr(0, text.find_last_not_of(kBlanks) + 1);
    if (text.size() > 254) return std::nullopt;
    std::string email{text};
    std::ranges::transform(email, email.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    const std::size_t at = email.rfind('@');
    if (at == std::string::npos) return std::nullopt;
    const std::string_view whole{email};
    if (!is_local(whole.substr(0, at)) || !is_domain(whole.substr(at + 1))) return std::nullopt;
    return email;
}

} // namespace cluster::app
