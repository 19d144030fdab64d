// Lays a table out.
#include "engine/reporting/text_table.hpp"

#include <algorithm>

namespace qkd::engine {

void TextTable::add_row(std::vector<Cell> cells) {
    cells.resize(columns_.size(), Cell(""));
    for (auto& cell : cells) cell.text = cell.text.empty() ? "-" : one_line(cell.text);
    rows_.push_back(std::move(cells));
}

std::string TextTable::render(bool colour, std::size_t indent) const {
    std::vector<std::size_t> widths;
    widths.reserve(columns_.size());
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        std::size_t width = display_width(columns_[i].header);
        for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
        widths.push_back(width);
    }
    std::string text;
    const auto line = [&](const auto& cell_at) {
        text.append(indent, ' ');
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const Cell& cell = cell_at(i);
            const std::size_t pad = widths[i] - display_width(cell.text);
            if (columns_[i].align == Align::right) text.append(pad, ' ');
            text += styled(cell.text, cell.style, colour);
            if (i + 1 == columns_.size()) break;
            if (columns_[i].align == Align::left) text.append(pad, ' ');
            text += "  ";
        }
        text += '\n';
    };
    std::vector<Cell> headers;
    headers.reserve(columns_.size());
    for (const auto& column : columns_) headers.emplace_back(column.header, Style::dim);
    line([&](std::size_t i) -> const Cell& { return headers[i]; });
    for (const auto& row : rows_) line([&](std::size_t i) -> const Cell& { return row[i]; });
    return text;
}

}  // namespace qkd::engine
