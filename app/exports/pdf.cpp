#include "app/exports/pdf.hpp"

#include <fmt/format.h>

#include <hpdf.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

namespace cluster::app {
namespace {

// A landscape page of A4, in points.
constexpr float kWidth = 842;
constexpr float kHeight = 595;
constexpr float kMargin = 54;
constexpr float kTitleSize = 40;
constexpr float kHeadSize = 26;
constexpr float kTextSize = 14;
constexpr float kSmallSize = 9;
constexpr float kLeading = 1.35F;
constexpr float kColumn = kWidth - 2 * kMargin;

struct EndDocument {
    void operator()(HPDF_Doc document) const { HPDF_Free(document); }
};

/// libharu goes on after an error and returns zeros: the first one is what counts.
struct Fault {
    HPDF_STATUS error = HPDF_OK;
    HPDF_STATUS detail = 0;
};

void note_fault(HPDF_STATUS error, HPDF_STATUS detail, void* at)
{
    auto& fault = *static_cast<Fault*>(at);
    if (fault.error == HPDF_OK) fault = {.error = error, .detail = detail};
}

std::size_t character_size(char first)
{
    const auto byte = static_cast<unsigned char>(first);
    return byte < 0x80 ? 1U : byte < 0xE0 ? 2U : byte < 0xF0 ? 3U : 4U;
}

/// At most `max` bytes of it, whole characters.
std::string beginning_of(const std::string& text, std::size_t max)
{
    if (text.size() <= max) return text;
    while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xC0U) == 0x80U)
        --max;
    return text.substr(0, max);
}

} // namespace

struct PdfWriter::Impl {
    Document document;
    Fault fault{};
    std::unique_ptr<std::remove_pointer_t<HPDF_Doc>, EndDocument> pdf{};
    HPDF_Font font = nullptr;
    bool unicode = false; ///< the font takes UTF-8
    std::size_t next = 0; ///< slide
    int pages = 0;
    HPDF_Page page = nullptr;
    float left = 0; ///< from the bottom of the page to the next line

    [[nodiscard]] std::string encoded(const std::string& text) const
    {
        return unicode ? text : to_winansi(text);
    }

    Result<void> check(std::string_view what) const
    {
        if (fault.error == HPDF_OK) return {};
        return trouble(Trouble::refused,
                       fmt::format("pdf: {}: error {:#x}, {}", what, fault.error, fault.detail));
    }

    void load_font(const std::string& path)
    {
        if (!path.empty()) {
            HPDF_UseUTFEncodings(pdf.get());
            HPDF_SetCurrentEncoder(pdf.get(), "UTF-8");
            const char* const name = HPDF_LoadTTFontFromFile(pdf.get(), path.c_str(), HPDF_TRUE);
            if (name != nullptr) font = HPDF_GetFont(pdf.get(), name, "UTF-8");
            unicode = font != nullptr && fault.error == HPDF_OK;
        }
        if (unicode) return;
        fault = {}; // a font that cannot be read is no reason to give no PDF
        HPDF_ResetError(pdf.get());
        font = HPDF_GetFont(pdf.get(), "Helvetica", "WinAnsiEncoding");
    }

    void new_page()
    {
        page = HPDF_AddPage(pdf.get());
        HPDF_Page_SetWidth(page, kWidth);
        HPDF_Page_SetHeight(page, kHeight);
        left = kHeight - kMargin;
        ++pages;
        if (pages > 1) put(fmt::format("{}", pages), kWidth - kMargin, kMargin / 2, kSmallSize);
    }

    void put(const std::string& text, float x, float y, float size)
    {
        HPDF_Page_BeginText(page);
        HPDF_Page_SetFontAndSize(page, font, size);
        HPDF_Page_TextOut(page, x, y, encoded(text).c_str());
        HPDF_Page_EndText(page);
    }

    float width_of(const std::string& text, float size)
    {
        HPDF_Page_SetFontAndSize(page, font, size);
        return HPDF_Page_TextWidth(page, encoded(text).c_str());
    }

    /// How many bytes of `text` fit into `width`: up to a blank where there is one. At least one
    /// character, so that it ends.
    std::size_t fitting(const std::string& text, float size, float width)
    {
        std::size_t fits = 0;
        std::size_t blank = 0;
        std::string begun;
        while (fits < text.size()) {
            const std::size_t step = std::min(character_size(text[fits]), text.size() - fits);
            begun.append(text, fits, step);
            if (fits > 0 && width_of(begun, size) > width) return blank > 0 ? blank : fits;
            fits += step;
            if (text[fits - step] == ' ') blank = fits;
        }
        return fits;
    }

    /// A paragraph, on new pages where this one is full.
    void write(std::string text, float size, float indent)
    {
        const float width = std::max(kColumn - indent, kColumn / 4);
        do {
            if (left - size * kLeading < kMargin) new_page();
            left -= size * kLeading;
            // No line has more: measuring every beginning of a long text would take for ever.
            const std::size_t bytes = fitting(beginning_of(text, 600), size, width);
            if (bytes > 0) put(text.substr(0, bytes), kMargin + indent, left, size);
            text.erase(0, bytes);
        } while (!text.empty() && fault.error == HPDF_OK);
    }

    void write_title()
    {
        HPDF_SetInfoAttr(pdf.get(), HPDF_INFO_TITLE, encoded(document.title).c_str());
        HPDF_SetInfoAttr(pdf.get(), HPDF_INFO_CREATOR, "clusterapp");
        new_page();
        left = kHeight * 0.6F;
        write(document.title, kTitleSize, 0);
    }

    void write_slide(const Slide& slide)
    {
        new_page();
        write(slide.title, kHeadSize, 0);
        left -= kTextSize;
        for (const std::string& line : slide.lines) {
            const std::size_t blanks = std::min(line.find_first_not_of(' '), line.size());
            const float indent = std::min(static_cast<float>(blanks) * 9.0F, kColumn / 2);
            write(line.substr(blanks), kTextSize, indent);
        }
    }
};

PdfWriter::PdfWriter(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
PdfWriter::PdfWriter(PdfWriter&&) noexcept = default;
PdfWriter& PdfWriter::operator=(PdfWriter&&) noexcept = default;
PdfWriter::~PdfWriter() = default;

Result<PdfWriter> PdfWriter::begin(Document document, const std::string& font)
{
    auto impl = std::make_unique<Impl>(Impl{.document = std::move(document)});
    impl->pdf.reset(HPDF_New(&note_fault, &impl->fault));
    if (!impl->pdf) return trouble(Trouble::unavailable, "pdf: out of memory");
    HPDF_SetCompressionMode(impl->pdf.get(), HPDF_COMP_ALL);
    impl->load_font(font);
    impl->write_title();
    if (auto sound = impl->check("begin"); !sound) return std::unexpected(sound.error());
    return PdfWriter{std::move(impl)};
}

Result<bool> PdfWriter::write_slides(std::size_t count)
{
    for (; count > 0 && impl_->next < total(); --count) {
        impl_->write_slide(impl_->document.slides[impl_->next++]);
        if (auto sound = impl_->check("write"); !sound) return std::unexpected(sound.error());
    }
    return impl_->next < total();
}

std::size_t PdfWriter::written() const
{
    return impl_->next;
}

std::size_t PdfWriter::total() const
{
    return impl_->document.slides.size();
}

Result<std::string> PdfWriter::finish()
{
    HPDF_SaveToStream(impl_->pdf.get());
    if (auto sound = impl_->check("save"); !sound) return std::unexpected(sound.error());
    std::string bytes(HPDF_GetStreamSize(impl_->pdf.get()), '\0');
    auto size = static_cast<HPDF_UINT32>(bytes.size());
    HPDF_ResetStream(impl_->pdf.get());
    HPDF_ReadFromStream(impl_->pdf.get(), reinterpret_cast<HPDF_BYTE*>(bytes.data()), &size);
    if (size != bytes.size()) return trouble(Trouble::refused, "pdf: half of it is missing");
    return bytes;
}

std::string find_font()
{
    constexpr std::array<const char*, 4> kUsual{
        "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
        "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
        "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
        "/usr/share/fonts/truetype/freefont/FreeSans.ttf",
    };
    std::error_code ignored;
    const auto* const found = std::ranges::find_if(
        kUsual, [&](const char* path) { return std::filesystem::exists(path, ignored); });
    return found == kUsual.end() ? "" : *found;
}

} // namespace cluster::app
