//! Columns for people.
//!
//! Its law: a column is as wide as its widest cell, two spaces apart, nothing trailing; a control
//! character in a cell is shown, not obeyed.

/// A heading and rows as lines, without a final newline.
pub(crate) fn table(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all = vec![heading.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
    all.extend(rows.into_iter().map(|row| row.iter().map(|cell| shown(cell)).collect()));
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let width = |row: &Vec<String>| row.get(column).map_or(0, |cell| cell.chars().count());
            all.iter().map(width).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Names and values, one a line, values in one column.
pub(crate) fn pairs(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(String, String)| {
        format!("{name:<width$}  {}", shown(value)).trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn shown(cell: &str) -> String {
    cell.chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let rows =
            vec![vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["ID", "N"], rows), "ID    N\na     1\nlong");
    }

    #[test]
    fn a_control_character_is_shown_and_not_obeyed() {
        let rows = vec![vec!["x\x1b[2J\n".to_owned()]];
        assert_eq!(table(&["ID"], rows), "ID\nx\\u{1b}[2J\\n");
        assert_eq!(pairs(&[("k".to_owned(), "v\t".to_owned())]), "k  v\\t");
    }
}
