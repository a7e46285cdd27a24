use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, presets};

/// Rows for people: columns where there is room, a block a row where there is not, tabs in a pipe.
#[derive(Debug)]
pub(crate) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// What is said instead of no rows.
    none: &'static str,
    right: Vec<usize>,
}

/// Columns need so much each, on the average, to be read as columns.
const READABLE: usize = 14;

impl Table {
    pub(crate) fn new<const N: usize>(headers: [&'static str; N], none: &'static str) -> Self {
        Self {
            headers: headers.to_vec(),
            rows: Vec::new(),
            none,
            right: Vec::new(),
        }
    }

    /// One thing: its fields, a line each.
    pub(crate) fn of_fields<const N: usize>(fields: [(&'static str, String); N]) -> Self {
        Self {
            headers: Vec::new(),
            rows: fields.map(|(name, value)| vec![name.to_owned(), value]).into(),
            none: "",
            right: Vec::new(),
        }
    }

    /// Numbers, in columns by their place.
    pub(crate) fn numbers<const N: usize>(mut self, columns: [usize; N]) -> Self {
        self.right = columns.to_vec();
        self
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// As text that ends with a line break, for a terminal of that width or for a pipe.
    pub(crate) fn render(&self, width: Option<u16>) -> String {
        let Some(width) = width else {
            return self.tabs();
        };
        if self.rows.is_empty() {
            return format!("{}\n", self.none);
        }
        let width = width.max(20);
        if usize::from(width) < self.headers.len() * READABLE {
            return self.blocks(width.into());
        }
        self.columns(width)
    }

    /// For programs that read lines: every row whole, cells apart by tabs.
    fn tabs(&self) -> String {
        let mut text = String::new();
        let headers = self
            .headers
            .iter()
            .map(|header| (*header).to_owned())
            .collect::<Vec<_>>();
        let headers = (!headers.is_empty()).then_some(&headers);
        for row in headers.into_iter().chain(&self.rows) {
            let cells: Vec<String> = row
                .iter()
                .map(|cell| cell.replace(['\t', '\n', '\r'], " "))
                .collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        text
    }

    fn columns(&self, width: u16) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
        if !self.headers.is_empty() {
            table.set_header(&self.headers);
        }
        table.add_rows(&self.rows);
        for column in &self.right {
            if let Some(column) = table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = String::new();
        for line in table.lines() {
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    fn blocks(&self, width: usize) -> String {
        let longest = self
            .headers
            .iter()
            .map(|header| header.len())
            .max()
            .unwrap_or_default();
        let mut text = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            if at > 0 {
                text.push('\n');
            }
            for (header, cell) in self.headers.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
                if longest + 2 + cell.chars().count() <= width {
                    let _ = writeln!(text, "{header:longest$}  {cell}");
                    continue;
                }
                // Lines of its own, as many as it takes.
                let _ = writeln!(text, "{header}");
                let mut rest = cell.chars().peekable();
                while rest.peek().is_some() {
                    let line: String = rest.by_ref().take(width - 2).collect();
                    let _ = writeln!(text, "  {line}");
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Table {
        let mut table = Table::new(["name", "tier", "rows"], "none").numbers([2]);
        table.row(["Acme".into(), "adventurer".into(), "12".into()]);
        table.row(["Vast\tand wide".into(), "champion".into(), "3".into()]);
        table
    }

    #[test]
    fn a_pipe_gets_every_row_whole_on_a_line_of_its_own() {
        assert_eq!(
            two().render(None),
            "name\ttier\trows\nAcme\tadventurer\t12\nVast and wide\tchampion\t3\n"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_a_block_a_row() {
        let text = two().render(Some(30));
        assert!(
            text.starts_with("name  Acme\ntier  adventurer\nrows  12\n\n"),
            "{text}"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 20..120 {
            for line in two().render(Some(width)).lines() {
                assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
            }
        }
    }

    #[test]
    fn nothing_is_said_so_to_people_and_is_no_line_in_a_pipe() {
        let table = Table::new(["name"], "no clients");
        assert_eq!(table.render(Some(80)), "no clients\n");
        assert_eq!(table.render(None), "name\n");
    }
}
