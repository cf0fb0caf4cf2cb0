// Writes a document as PDF (libharu): a page with the title, then each slide on as many pages as it
// takes. Blocking and made for one thread of a Pool at a time; some slides per call, so that the
// caller can tell how far it is and stop in between.
#pragma once

#include "app/base/trouble.hpp"
#include "app/exports/document.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace cluster::app {

class PdfWriter {
public:
    /// `font`: path of a TrueType font for all of Unicode that it has, "": a built-in one with the
    /// letters of western Europe.
    [[nodiscard]] static Result<PdfWriter> begin(Document document, const std::string& font);
    PdfWriter(PdfWriter&&) noexcept;
    PdfWriter& operator=(PdfWriter&&) noexcept;
    ~PdfWriter();

    /// Writes the next slides, at most `count`. false: there are none left.
    Result<bool> write_slides(std::size_t count);
    [[nodiscard]] std::size_t written() const;
    [[nodiscard]] std::size_t total() const;

    /// The file.
    Result<std::string> finish();

private:
    struct Impl;
    explicit PdfWriter(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// The first font of those that systems usually have; "" when there is none.
[[nodiscard]] std::string find_font();

} // namespace cluster::app
